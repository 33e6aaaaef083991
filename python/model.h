// A model of this process as Python uses it: generation in batches, and raw logits, beside runs of worlds.
// Knows nothing of Python.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "engine/local_llm.h"
#include "engine/request.h"
#include "kv/cache/block_pool.h"
#include "llm/llm.h"
#include "model/transformer.h"

namespace throng::python {

struct GenerateOptions {
  bool chat = false;   // the prompt is a user's message, in the model's chat format
  std::string system;  // with chat
  int max_tokens = 128;
  llm::Sampling sampling;
  llm::Constraint constraint;
  std::vector<std::string> stop;
};

// Any thread may call any method, several at once.
class Model {
 public:
  explicit Model(engine::LocalOptions options);

  // All prompts in one continuous batch. `check` is called some times a second while it waits; what it throws
  // cancels the batch. Prompt i draws its random numbers as call i, so a prompt's answer depends on its
  // place, not on its company.
  std::vector<engine::EngineResult> Generate(const std::vector<std::string>& prompts,
                                             const GenerateOptions& options,
                                             const std::function<void()>& check);

  // Of the last num_rows tokens; logits: [num_rows, vocabulary].
  void Logits(std::span<const int32_t> tokens, int num_rows, float* logits);
  // Throws kInvalid unless Logits can be computed for these tokens.
  void CheckTokens(std::span<const int32_t> tokens, int num_rows) const;

  engine::LocalLlm& Llm() { return *llm_; }
  int VocabSize() const;

  // A run has the backend for itself: a second one at the same time is refused with kInvalid.
  class Lease {
   public:
    explicit Lease(Model& model);
    ~Lease() { model_.in_run_ = false; }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;

   private:
    Model& model_;
  };

 private:
  model::Transformer* transformer_ = nullptr;  // of llm_; takes turns with the engine's thread
  std::unique_ptr<engine::LocalLlm> llm_;
  std::atomic<bool> in_run_ = false;

  std::mutex logits_mutex_;
  std::unique_ptr<ThreadPool>
      logits_threads_;  // guarded by logits_mutex_, made at the first use; so the next
  std::unique_ptr<kv::BlockPool> logits_pool_;
};

}  // namespace throng::python
