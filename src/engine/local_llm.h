// The model of this process behind the seam llm.h: a GGUF file, its tokenizer and chat template, and the
// engine over them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "engine/codecs/codec_config.h"
#include "engine/engine.h"
#include "llm/llm.h"
#include "model/chat_template.h"
#include "model/gguf/gguf.h"
#include "model/tokenizer/tokenizer.h"
#include "model/transformer.h"

namespace throng::engine {

struct LocalOptions {
  std::string model{};         // a GGUF file; empty: the embedded model, town/model.gguf of the data folder
  std::string kv = "f16";      // codec of keys and values, or another form of codec_config.h
  std::string keys{};          // if not empty, the codec of keys instead
  std::string values{};        // if not empty, the codec of values instead
  std::string calibration{};   // text file for auto and flashq-mixed; empty: the built-in text
  std::string kv_out{};        // where to write which codecs were chosen; empty: nowhere
  std::string kv_choice{};     // a choice made before, as JSON: used instead of kv, keys and values
  std::string kv_choice_in{};  // where it comes from, for messages
  std::string softmax = "exact";  // or "sas": an approximation that computes less
  uint64_t kv_budget_bytes = 0;   // of all caches together, hard; 0: half of the memory that is free now
  int threads = 0;                // 0: as many as the hardware has
  int max_batch = 128;            // sequences that run at once
  int step_tokens = 512;          // tokens of one forward pass
  int chunk_tokens = 256;         // of one prompt in one forward pass
  int max_context = 0;            // prompt and answer together; 0: what the model was trained for
  bool prefix_cache = true;
  // What leaves the prefix cache first: next-use: the blocks that are needed last, as far as ExpectNext and
  // former prompts tell; lru: the least recently used ones.
  std::string eviction = "next-use";
  std::string spill{};                        // folder for blocks that memory has no room for; empty: none
  uint64_t spill_bytes = uint64_t{16} << 30;  // at most so many there
};

CodecOptions CodecsOf(const LocalOptions& options);

// What a model file gives.
struct LoadedModel {
  std::unique_ptr<model::GgufFile> file;  // the weights stay in it
  std::unique_ptr<model::Tokenizer> tokenizer;
  model::ChatTemplate chat{model::ChatFamily::kPlain};
  std::unique_ptr<model::Transformer> transformer;
};

// As every backend, for one thread, except for Cancel and where noted.
class LocalLlm : public llm::Llm {
 public:
  virtual Engine& GetEngine() = 0;  // may be used by any thread, beside this interface
  virtual EngineState State() const = 0;
  virtual const model::Tokenizer& GetTokenizer() const = 0;
  virtual const model::ChatTemplate& GetChatTemplate() const = 0;  // kPlain: the model has none
  virtual const model::ModelConfig& GetModelConfig() const = 0;
  virtual const LocalOptions& Options() const = 0;  // with the defaults filled in
  virtual std::string ModelName() const = 0;        // of the file's metadata, or the file's name

  // For requests to the engine. Any thread.
  virtual std::vector<int32_t> EncodeChat(std::span<const model::ChatMessage> messages) const = 0;
  virtual std::vector<int32_t> EncodeText(std::string_view text) const = 0;  // no template
  // One message of a user in the chat template, after one of the system unless that is empty.
  std::vector<int32_t> EncodePrompt(std::string_view system, std::string_view prompt) const;
  virtual std::shared_ptr<Constraint> Compile(const llm::Constraint& constraint) = 0;  // null if empty

  // For kv::SavePages and kv::LoadPages, and for requests that start from such pages.
  virtual kv::BlockPool& GetBlocks() = 0;
  virtual kv::PageSource GetPageSource() const = 0;

  virtual const CodecChoice& Codecs() const = 0;
  virtual double KvBytesPerToken() const = 0;   // of sealed blocks
  virtual double F16BytesPerToken() const = 0;  // what 16-bit keys and values would take
};

// Throws kIo, kCorrupt or kUnsupported with one sentence.
LoadedModel LoadModel(const std::string& path);

// Throws as LoadModel does, and kInvalid for options that cannot work.
std::unique_ptr<LocalLlm> MakeLocalLlm(LocalOptions options);
std::unique_ptr<LocalLlm> MakeLocalLlm(LocalOptions options, LoadedModel model);

}  // namespace throng::engine
