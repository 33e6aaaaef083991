// Continuous batching over one model: requests of token ids queue by priority, are admitted by bytes,
// prefilled in chunks and decoded together, one forward pass per step, on the engine's own thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "engine/metrics.h"
#include "engine/request.h"

namespace throng {
class ThreadPool;
}
namespace throng::kv {
class BlockPool;
}
namespace throng::model {
class Transformer;
}

namespace throng::engine {

class Vocabulary;

struct EngineOptions {
  int max_batch = 128;       // sequences that run at once
  int step_tokens = 512;     // of one forward pass: decoding sequences first, prefill chunks share the rest
  int chunk_tokens = 256;    // of these, at most so many of one prompt
  bool prefix_cache = true;  // keep sealed blocks of finished sequences for later prompts that begin alike
  int max_context = 2048;    // prompt and answer of one request together
  // Where blocks of the prefix cache go when memory is short, instead of being computed again; empty: nowhere
  std::string spill_folder{};
  uint64_t spill_bytes = uint64_t{16} << 30;  // at most
};

// What the engine holds now.
struct EngineState {
  int waiting = 0;
  int running = 0;
  uint64_t kv_bytes = 0;
  uint64_t kv_bytes_peak = 0;
  uint64_t recomputed_tokens = 0;  // that had been in the prefix cache before
  uint64_t evicted_blocks = 0;     // from the prefix cache,
  uint64_t spilled_blocks = 0;     // of these, to disk,
  uint64_t restored_blocks = 0;    // and back
};

class Engine {
 public:
  // All references outlive the engine, which alone uses them. The vocabulary has as many tokens as a row of
  // logits.
  Engine(model::Transformer& transformer, std::shared_ptr<const Vocabulary> vocabulary, kv::BlockPool& blocks,
         ThreadPool& threads, const EngineOptions& options);
  ~Engine();  // cancels what is in flight
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Any thread. Throws kInvalid, with one sentence, for a request that can never be served; kCancelled once
  // the engine is being destroyed.
  uint64_t Submit(EngineRequest request);

  // Any thread. The request ends soon with kCancelled, unless it has ended; unknown ids are ignored.
  void Cancel(uint64_t id);

  // Any thread. This agent is not expected to ask again before this step: requests with a purpose say who
  // asks. Blocks that are needed soonest stay in the prefix cache.
  void ExpectNext(uint32_t agent, int32_t step);

  EngineState State() const;
  MetricsRegistry& Metrics();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace throng::engine
