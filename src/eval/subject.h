// A codec under test: its name, its sizes, and one sequence's cache in it.
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

// With sink= or recent=, of all sealed pages of the longest sequence so far, in all forms that are held.
struct Sizes {
  double bits = 0.0;             // per element of a sealed page, everything included
  double bytes_per_token = 0.0;  // in sealed blocks, as the pool allocates them
  double ratio_to_f16 = 0.0;     // how many times smaller than f16
};

class Subject {
 public:
  // spec: one codec for keys and values, or two as KEYS+VALUES: codecs of the table, flashq-mixed, or
  // compose:... . Throws kInvalid or kUnsupported.
  Subject(const std::string& spec, kv::SoftmaxKind softmax, const engine::LoadedModel& model,
          ThreadPool& threads);

  const std::string& Name() const { return name_; }
  Sizes GetSizes() const;
  kv::SequenceCache& Cache() { return cache_; }

  // Extends `cache`, one of this subject's, by at most kChunk tokens, and writes num_logits rows of logits
  // for the last of them.
  void Forward(std::span<const int32_t> tokens, kv::SequenceCache& cache, int num_logits, float* logits);

  // Extends `cache` by any number of tokens, and writes logits for the last of them, [vocab], unless empty.
  void Read(std::span<const int32_t> tokens, kv::SequenceCache& cache, std::span<float> logits);

  // Extends `cache` by the tokens that `exact` has beyond it, with the keys and values that are there: as if
  // attention had read them in full precision, and they were encoded only then. exact: a cache of the same
  // model in f32.
  void Encode(const kv::SequenceCache& exact, kv::SequenceCache& cache);

 private:
  void Reserve(size_t num_tokens, kv::SequenceCache& cache);
  void NoteLength(const kv::SequenceCache& cache);

  std::string name_;
  model::Transformer& transformer_;
  ThreadPool& threads_;
  kv::BlockPool pool_;
  kv::SequenceCache cache_;
  int most_blocks_ = 0;  // sealed ones of the longest sequence so far
};

}  // namespace throng::eval
