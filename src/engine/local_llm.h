// The model of this process behind the seam llm.h: a GGUF file, its tokenizer and chat template, and the
// engine over them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "llm/llm.h"

namespace throng::model {
class ChatTemplate;
class Tokenizer;
}  // namespace throng::model

namespace throng::engine {

class Engine;

struct LocalOptions {
  std::string model;             // a GGUF file; empty: the embedded model, town/model.gguf of the data folder
  std::string kv = "f16";        // codec of keys and values
  std::string keys;              // if not empty, the codec of keys instead
  std::string values;            // if not empty, the codec of values instead
  uint64_t kv_budget_bytes = 0;  // of all caches together, hard; 0: half of the memory that is free now
  int threads = 0;               // 0: as many as the hardware has
  int max_batch = 128;           // sequences that run at once
  int step_tokens = 512;         // tokens of one forward pass
  int chunk_tokens = 256;        // of one prompt in one forward pass
  int max_context = 0;           // prompt and answer together; 0: what the model was trained for
  bool prefix_cache = true;
};

// Submit, Wait and GetStats are for one thread; GetEngine gives what serves several.
class LocalLlm : public llm::Llm {
 public:
  virtual Engine& GetEngine() = 0;
  virtual const model::Tokenizer& GetTokenizer() const = 0;
  virtual const model::ChatTemplate* GetChatTemplate() const = 0;  // null: the model has none
  virtual const LocalOptions& Options() const = 0;                 // with the defaults filled in
  virtual double KvBytesPerToken() const = 0;                      // of sealed blocks
  virtual double F16BytesPerToken() const = 0;
};

// Throws kIo, kCorrupt, kUnsupported or kInvalid with one sentence.
std::unique_ptr<LocalLlm> MakeLocalLlm(const LocalOptions& options);

}  // namespace throng::engine
