// A model of this process as Python uses it: answers in batches, and raw logits, beside runs of worlds.
// Knows nothing of Python.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "engine/local_model.h"
#include "kv/cache/block_pool.h"

namespace throng::python {

// Any thread may call any method, several at once.
class Model {
 public:
  explicit Model(const engine::LocalOptions& options);

  // All in one continuous batch. `check` is called some times a second while it waits; what it throws cancels
  // the batch. Request i draws its random numbers as call i, so its answer depends on its place, not on its
  // company.
  std::vector<engine::EngineResult> Generate(std::vector<engine::TextRequest> texts,
                                             const std::function<void()>& check);

  // Of the last num_rows tokens; logits: [num_rows, vocabulary].
  void Logits(std::span<const int32_t> tokens, int num_rows, float* logits);
  // Throws kInvalid unless Logits can be computed for these tokens.
  void CheckTokens(std::span<const int32_t> tokens, int num_rows) const;

  const std::shared_ptr<engine::LocalModel>& Local() const { return model_; }
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
  const std::shared_ptr<engine::LocalModel> model_;
  std::atomic<bool> in_run_ = false;

  std::mutex logits_mutex_;
  std::unique_ptr<ThreadPool>
      logits_threads_;  // guarded by logits_mutex_, made at the first use; so the next
  std::unique_ptr<kv::BlockPool> logits_pool_;
};

}  // namespace throng::python
