// A model in this process as Python uses it: answers in batches, and raw logits, beside runs of worlds. Knows
// of Python only its forks.
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
#include "engine/local_model.h"
#include "kv/cache/block_pool.h"
#include "python/module/fork.h"

namespace throng::python {

// Thread-safe: any number of threads may call any methods at once.
class Model {
 public:
  explicit Model(const engine::LocalOptions& options);
  ~Model();  // in a forked process, leaves everything as it is

  // Answers all requests in one continuous batch. `check` is called several times a second while waiting; an
  // exception from it cancels the batch. Request i draws random numbers of its own, so its answer depends
  // on its place, not on its company.
  std::vector<engine::EngineResult> Generate(std::vector<engine::TextRequest> texts,
                                             const std::function<void()>& check);

  // The embeddings of the texts, each in its result's `embedding`. Throws kUnsupported for a model that makes
  // none, and kExhausted for a text beyond its context.
  std::vector<engine::EngineResult> Embed(const std::vector<std::string>& texts,
                                          const std::function<void()>& check);

  // Computes the logits of the last num_rows tokens; logits: [num_rows, vocabulary].
  void Logits(std::span<const int32_t> tokens, int num_rows, float* logits);
  // Throws kInvalid unless Logits can be computed for these tokens.
  void CheckTokens(std::span<const int32_t> tokens, int num_rows) const;

  const std::shared_ptr<engine::LocalModel>& Local() const {
    CheckForked();
    return model_;
  }
  int VocabSize() const;

  // Reserves the backend for one run: a second lease at the same time is refused with kInvalid.
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
  // The results of all, computed in one batch.
  std::vector<engine::EngineResult> Await(std::vector<engine::EngineRequest> requests,
                                          const std::function<void()>& check);

  const LostByFork lost_by_fork_;
  std::shared_ptr<engine::LocalModel> model_;
  std::atomic<bool> in_run_ = false;

  std::mutex logits_mutex_;
  // Both are guarded by logits_mutex_ and made on first use.
  std::unique_ptr<ThreadPool> logits_threads_;
  std::unique_ptr<kv::BlockPool> logits_pool_;
};

}  // namespace throng::python
