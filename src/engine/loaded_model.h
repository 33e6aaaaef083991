// A model file, loaded: tokenizer, chat template and weights. No engine and no cache.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/memory.h"
#include "llm/tools/answer_format.h"
#include "model/chat_template.h"
#include "model/gguf/gguf.h"
#include "model/tokenizer/tokenizer.h"
#include "model/transformer.h"

namespace throng {
class ThreadPool;
}

namespace throng::engine {

struct CodecChoice;
struct CodecOptions;
class Vocabulary;

// The prompt of an answer: a text, a chat for the model's template, or token ids.
using Prompt = std::variant<std::string, model::ChatInput, std::vector<int32_t>>;

// A user message, preceded by a system message unless `system` is empty.
model::ChatInput ChatOf(std::string_view system, std::string_view user);

struct LoadedModel {
  std::unique_ptr<model::GgufFile> file;  // holds the weights
  std::unique_ptr<model::Tokenizer> tokenizer;
  model::ChatTemplate chat;
  std::unique_ptr<model::Transformer> transformer;

  std::vector<int32_t> Encode(const Prompt& prompt) const;

  // engine::ChooseCodecs for this model.
  CodecChoice ChooseCodecs(const CodecOptions& options, ThreadPool& threads) const;

  // How the model writes thoughts and calls of tools, with marks for the tokens that the vocabulary has.
  llm::AnswerFormat Answers() const;

  // As long as a row of logits, which for some models is longer than the tokenizer's vocabulary. Throws
  // kCorrupt if it is shorter.
  std::shared_ptr<const Vocabulary> MakeVocabulary() const;
  // The same, in which the format's tokens are its marks, and no other token has their bytes.
  std::shared_ptr<const Vocabulary> MakeVocabulary(const llm::AnswerFormat& format) const;

 private:
  std::vector<std::string> TokenTexts() const;
};

// The path of the model that comes with the program.
std::string EmbeddedModelPath();

// repack: "on", "off" or "auto", which copies weights if they take at most half of the free memory, and no
// more than what kv_budget_bytes (0: not known yet) leave of it. Throws kInvalid for another, kExhausted for
// "on" if the free memory has no room for the copy.
bool ShouldRepack(std::string_view repack, const model::GgufFile& file, uint64_t kv_budget_bytes = 0,
                  uint64_t free_bytes = AvailableBytes());

// device: as gpu::OpenDevice takes it; repack, kv_budget_bytes: of the processor's, see ShouldRepack;
// context: as in model::LoadOptions. The file must outlive it. Throws what gpu::OpenDevice,
// gpu::LoadTransformer and ShouldRepack throw.
std::unique_ptr<model::Transformer> LoadTransformer(const model::GgufFile& file, std::string_view device,
                                                    std::string_view repack, uint64_t kv_budget_bytes = 0,
                                                    int context = 0);

// path: empty: EmbeddedModelPath. repack, kv_budget_bytes: see ShouldRepack. chat_template: a file with the
// template to use instead of the model's; empty: none. context: as in model::LoadOptions. Throws kIo,
// kCorrupt, kUnsupported or kInvalid with one sentence; what LoadTransformer throws for device.
LoadedModel LoadModel(const std::string& path, std::string_view repack = "auto", uint64_t kv_budget_bytes = 0,
                      const std::string& chat_template = "", int context = 0,
                      std::string_view device = "cpu");

}  // namespace throng::engine
