#include "engine/loaded_model.h"

#include <algorithm>
#include <utility>

#include "base/data_dir.h"
#include "base/error.h"
#include "base/mapped_file.h"
#include "base/text/human_bytes.h"
#include "engine/codecs/codec_config.h"
#include "engine/sampling/constrain.h"
#include "gpu/transformer.h"
#include "model/config.h"
#include "model/folder/folder.h"
#include "model/model.h"

namespace throng::engine {

namespace {

model::ChatTemplate LoadTemplate(const model::GgufFile& file, bool is_embedded,
                                 const std::string& chat_template) {
  if (!chat_template.empty()) {
    try {
      return model::ChatTemplate::FromGguf(file, ReadFile(chat_template));
    } catch (const Error& error) {
      throw Error(error.Code(), chat_template + ": " + error.what());
    }
  }
  return is_embedded ? model::ChatTemplate()
                     : model::ChatTemplate::FromGguf(file);  // the town's has none, on purpose
}

}  // namespace

model::ChatInput ChatOf(std::string_view system, std::string_view user) {
  std::vector<model::ChatMessage> messages;
  if (!system.empty()) messages.push_back({"system", std::string(system)});
  messages.push_back({"user", std::string(user)});
  return messages;
}

std::vector<int32_t> LoadedModel::Encode(const Prompt& prompt) const {
  if (const auto* text = std::get_if<std::string>(&prompt)) return tokenizer->EncodePrompt(*text);
  if (const auto* messages = std::get_if<model::ChatInput>(&prompt))
    return chat.Encode(*messages, *tokenizer);
  return std::get<std::vector<int32_t>>(prompt);
}

CodecChoice LoadedModel::ChooseCodecs(const CodecOptions& options, ThreadPool& threads) const {
  const Encoder encode = [this](std::string_view text) { return tokenizer->EncodePrompt(text); };
  return engine::ChooseCodecs(options, *transformer, encode, threads);
}

llm::AnswerFormat LoadedModel::Answers() const {
  llm::AnswerFormat format = llm::FormatOf(chat.Source(), chat.KnowsTools());
  std::vector<llm::FormatToken> known;
  for (const llm::FormatToken& token : format.tokens) {
    const int32_t id = tokenizer->Find(token.name);
    if (id < 0 || tokenizer->IsEndOfGeneration(id)) continue;
    const model::TokenType type = tokenizer->Type(id);
    if (type == model::TokenType::kControl || type == model::TokenType::kUserDefined)
      known.push_back({token.name, tokenizer->TokenBytes(id)});
  }
  return llm::WithTokens(std::move(format), std::move(known));
}

std::vector<std::string> LoadedModel::TokenTexts() const {
  const int num_logits = transformer->Config().vocab_size;
  if (tokenizer->VocabSize() > num_logits) {
    throw MakeError(ErrorCode::kCorrupt, "model: the vocabulary has {} tokens, a row of logits {}",
                    tokenizer->VocabSize(), num_logits);
  }
  std::vector<std::string> bytes(static_cast<size_t>(num_logits));
  for (int32_t id = 0; id < tokenizer->VocabSize(); ++id)
    bytes[static_cast<size_t>(id)] = tokenizer->TokenBytes(id);
  return bytes;
}

std::shared_ptr<const Vocabulary> LoadedModel::MakeVocabulary() const {
  return std::make_shared<Vocabulary>(TokenTexts(), tokenizer->EndOfGeneration());
}

std::shared_ptr<const Vocabulary> LoadedModel::MakeVocabulary(const llm::AnswerFormat& format) const {
  constexpr char kNoUtf8 = '\xc0';  // as the marks' bytes are none
  std::vector<std::string> texts = TokenTexts();
  for (std::string& text : texts) std::ranges::replace_if(text, llm::AnswerFormat::IsMark, kNoUtf8);
  for (size_t i = 0; i < format.tokens.size(); ++i) {
    const int32_t id = tokenizer->Find(format.tokens[i].name);
    texts[static_cast<size_t>(id)] = llm::AnswerFormat::MarkOf(i);
  }
  return std::make_shared<Vocabulary>(texts, tokenizer->EndOfGeneration());
}

std::string EmbeddedModelPath() { return DataDir() + "/town/model.gguf"; }

bool ShouldRepack(std::string_view repack, const model::GgufFile& file, uint64_t kv_budget_bytes,
                  uint64_t free_bytes) {
  if (repack == "off") return false;
  const uint64_t bytes = model::WeightBytes(file);
  if (repack == "auto")
    return bytes <= std::min(free_bytes / 2, free_bytes - std::min(free_bytes, kv_budget_bytes));
  if (repack != "on") {
    throw MakeError(ErrorCode::kInvalid, "engine: repack is {}, allowed is auto, on or off", repack);
  }
  if (bytes > free_bytes) {
    throw MakeError(
        ErrorCode::kExhausted,
        "engine: repack on copies {} of weights, and {} of memory are free: free more, or take repack "
        "auto or off, which read weights where the file is mapped",
        HumanBytes(static_cast<double>(bytes)), HumanBytes(static_cast<double>(free_bytes)));
  }
  return true;
}

std::unique_ptr<model::Transformer> LoadTransformer(const model::GgufFile& file, std::string_view device_name,
                                                    std::string_view repack, uint64_t kv_budget_bytes,
                                                    int context) {
  if (auto device = gpu::OpenDevice(device_name))
    return gpu::LoadTransformer(std::move(device), file, {.context = context});
  return model::LoadTransformer(file,
                                {.repack = ShouldRepack(repack, file, kv_budget_bytes), .context = context});
}

LoadedModel LoadModel(const std::string& path, std::string_view repack, uint64_t kv_budget_bytes,
                      const std::string& chat_template, int context, std::string_view device) {
  LoadedModel model;
  model.file = model::OpenModel(path.empty() ? EmbeddedModelPath() : path);
  model.chat = LoadTemplate(*model.file, path.empty() || path == EmbeddedModelPath(), chat_template);
  model.tokenizer = std::make_unique<model::Tokenizer>(model::LoadTokenizer(*model.file, model.chat));
  model.transformer = LoadTransformer(*model.file, device, repack, kv_budget_bytes, context);
  return model;
}

}  // namespace throng::engine
