// Any bytes as a model file give an Error or a file whose vocabulary works.

#include "base/error.h"
#include "model/chat_template.h"
#include "model/gguf/gguf.h"
#include "model/tokenizer/tokenizer.h"

using throng::Error;
using namespace throng::model;

namespace {

void UseFile(const GgufFile& file) {
  size_t sum = 0;
  for (const TensorInfo& tensor : file.Tensors()) {
    if (file.FindTensor(tensor.name) == nullptr) __builtin_trap();
    sum += tensor.Shape().size();
    // Views must lie within the file: the sanitizer checks it.
    if (!tensor.data.empty()) sum += tensor.data.front() + tensor.data.back();
  }
  for (const std::string_view key : file.Keys()) sum += file.IsArray(key);
  volatile size_t used = sum;
  static_cast<void>(used);
}

void UseVocabulary(const GgufFile& file) {
  const ChatTemplate chat_template = ChatTemplate::FromGguf(file);
  const Tokenizer tokenizer = LoadTokenizer(file, chat_template);
  const std::vector<int32_t> ids = tokenizer.Encode("Abab  <|end|> \u00E9\xFF 111\n\n", {true, true});
  Detokenizer stream(tokenizer);
  for (const int32_t id : ids) stream.Push(id);
  stream.Flush();
  tokenizer.Decode(ids);
  const std::vector<ChatMessage> chat = {{"system", "a"}, {"user", "b"}};
  chat_template.Encode(chat, tokenizer);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const GgufFile file({data, size}, "input");
    UseFile(file);
    UseVocabulary(file);
  } catch (const Error&) {
  }
  return 0;
}
