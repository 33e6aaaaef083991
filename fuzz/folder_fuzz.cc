// Any bytes as the files of a folder with a model give an Error or a model's config, vocabulary and tensors:
// the first byte says which file they are.

#include "base/error.h"
#include "model/folder/families.h"
#include "model/folder/folder_tensors.h"
#include "model/folder/safetensors.h"
#include "model/folder/vocabulary.h"
#include "model/gguf/gguf_writer.h"
#include "model/tokenizer/tokenizer.h"

using throng::Error;
using namespace throng::model;
using nlohmann::json;

namespace {

// With the tensors of a file, as if they were those of the class that the config below names.
void UseWeights(std::span<const uint8_t> bytes) {
  static const json kLlama = {{"architectures", {"MixtralForCausalLM"}}, {"num_attention_heads", 4}};
  static const json kGptOss = {{"architectures", {"GptOssForCausalLM"}}};
  const std::vector<StoredTensor> stored = ReadSafetensors(bytes, "input");
  for (const json& config : {kLlama, kGptOss}) {
    try {
      for (const auto& tensor : ConvertTensors(ReadFolderConfig(JsonObject("config", config)), stored)) {
        const std::span<const uint8_t> data = tensor.made.empty() ? tensor.data : std::span(tensor.made);
        if (data.size() != TensorBytes(tensor.type, tensor.dims)) __builtin_trap();
      }
    } catch (const Error&) {
    }
  }
}

void UseConfig(std::string_view text) {
  const json config = ParseJson(text, "input");
  const JsonObject object("input", config);
  GgufWriter writer;
  WriteConfig(ReadFolderConfig(object), writer);
  const std::vector<uint8_t> metadata = writer.Finish();
  const GgufFile file(metadata, "input");
}

void UseVocabulary(std::string_view text) {
  GgufWriter writer;
  writer.Add("general.architecture", "llama");
  WriteVocabulary({.folder = "input", .tokenizer = std::string(text)}, 0, writer);
  const std::vector<uint8_t> metadata = writer.Finish();
  const GgufFile file(metadata, "input");
  const Tokenizer tokenizer(file);
  tokenizer.Decode(tokenizer.Encode("Abab  <|end|> \u00E9\xFF 111\n\n"));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::span<const uint8_t> bytes(data + 1, size - 1);
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  try {
    if (data[0] == 'w') UseWeights(bytes);
    if (data[0] == 'c') UseConfig(text);
    if (data[0] == 'v') UseVocabulary(text);
  } catch (const Error&) {
  }
  return 0;
}
