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

// Whether a forward pass also checks guesses of the tokens that follow (lookup/prompt_lookup.h), which saves
// passes. Answers are the same.
enum class Lookup {
  kOff,
  kAuto,    // as far as guesses come true so often, and rows cost so little, that it saves time
  kAlways,  // whatever it costs, for tests
};

struct EngineOptions {
  int max_batch = 128;  // sequences that run at once
  // Most tokens in a forward pass: decoding sequences first, prefill chunks share the rest.
  int step_tokens = 512;
  int chunk_tokens = 256;  // most tokens of one prompt in a forward pass
  Lookup lookup = Lookup::kAuto;
  bool prefix_cache = true;  // keep sealed blocks of finished sequences for later prompts that begin alike
  int max_context = 2048;    // most tokens of one request, prompt and answer together
  // Folder for blocks of the prefix cache when memory is short, which saves recomputing them; empty: none.
  std::string spill_folder{};
  uint64_t spill_bytes = uint64_t{16} << 30;  // most bytes in that folder
};

// What the engine holds now, and counts since its start.
struct EngineState {
  int waiting = 0;
  int running = 0;
  uint64_t kv_bytes = 0;
  uint64_t kv_bytes_peak = 0;
  uint64_t recomputed_tokens = 0;  // tokens that had been in the prefix cache before
  uint64_t evicted_blocks = 0;     // blocks evicted from the prefix cache
  uint64_t spilled_blocks = 0;     // evicted blocks written to disk
  uint64_t restored_blocks = 0;    // blocks read back from disk
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

  // Any thread. Throws, with one sentence, kExhausted for a request that is too long for the context or the
  // KV budget, kInvalid for any other that can never be served; kCancelled once the engine is being
  // destroyed.
  uint64_t Submit(EngineRequest request);

  // Any thread. The request ends soon with kCancelled, unless it has ended; unknown ids are ignored.
  void Cancel(uint64_t id);

  // Any thread. The request is served by this priority from the next forward pass on; unknown ids are
  // ignored.
  void Raise(uint64_t id, int priority);

  // Any thread. This agent is not expected to ask again before this step. Requests with a purpose name their
  // agent. The blocks needed soonest stay in the prefix cache.
  void ExpectNext(uint32_t agent, int32_t step);

  EngineState State() const;
  MetricsRegistry& Metrics();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace throng::engine
