// A codec under test: its name, what it takes, and one sequence's cache in it.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "engine/loaded_model.h"
#include "kv/cache/block_pool.h"
#include "kv/cache/sequence_cache.h"

namespace throng {
class ThreadPool;
}

namespace throng::eval {

inline constexpr int kChunk = 128;  // tokens of one forward pass

struct Sizes {
  double bits = 0.0;             // of one element of a sealed page, all included
  double bytes_per_token = 0.0;  // of sealed blocks as the pool takes them
  double ratio_to_f16 = 0.0;     // how many times smaller than f16
};

class Subject {
 public:
  // spec: a codec for both, or two as KEYS+VALUES; those of the table, flashq-mixed, or compose:... . Throws
  // kInvalid or kUnsupported.
  Subject(const std::string& spec, kv::SoftmaxKind softmax, const engine::LoadedModel& model,
          ThreadPool& threads);

  const std::string& Name() const { return name_; }
  const Sizes& GetSizes() const { return sizes_; }
  kv::SequenceCache& Cache() { return cache_; }

  // Goes on by at most kChunk tokens in `cache`, one of this subject's; num_logits rows for the last of them.
  void Forward(std::span<const int32_t> tokens, kv::SequenceCache& cache, int num_logits, float* logits);

 private:
  std::string name_;
  model::Transformer& transformer_;
  ThreadPool& threads_;
  kv::BlockPool pool_;
  kv::SequenceCache cache_;
  Sizes sizes_;
};

}  // namespace throng::eval
