// Measuring attention: synthetic caches of any length, checked against the reference, and what the machine
// itself can do. For benchmarks.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "attention/attention.h"
#include "kv/block_pool.h"
#include "kv/codec_table.h"

namespace throng {
class ThreadPool;
}

namespace throng::attention {

struct MeasureShape {
  int keys;     // tokens that are held, of one layer
  int queries;  // tokens that attend to them and, causally, to each other
  int heads;
  int kv_heads;  // divides heads
  int head_dim;
};

// Normally distributed rows, made once for all codecs.
struct MeasureInput {
  explicit MeasureInput(const MeasureShape& shape);
  MeasureShape shape;
  std::vector<float> rows;     // [tokens, kv_heads, head_dim], used again and again for longer caches
  std::vector<float> queries;  // [queries, heads, head_dim]
};

// One layer's cache, with a chunk of queries begun.
class MeasureCase {
 public:
  // The input and the threads must outlive it. Throws kInvalid for codecs that do not exist.
  MeasureCase(const kv::CodecFlags& codecs, SoftmaxKind softmax, const MeasureInput& input,
              ThreadPool& threads);

  void Run();  // the attention of all queries and heads

  // Of the first token's outputs of the first and the last KV head, against the double-precision reference:
  // the larger relative error.
  double Error();

  size_t CacheBytes() const;  // of the sealed pages
  double Flops() const;       // of the scores and the mixes: a multiplication and an addition each

 private:
  void Begin(int count);
  AttentionJob Job(int head, int count, float* out) const;

  const MeasureInput& input_;
  ThreadPool& threads_;
  const SoftmaxKind softmax_;
  kv::BlockPool pool_;
  kv::SequenceCache cache_;
  std::vector<AttentionScratch> scratch_;
  std::vector<float> out_;
  std::vector<AttentionJob> jobs_;
};

// Bytes per second of all threads reading memory far beyond the caches, and f32 operations per second of all
// threads multiplying and adding in registers. The best of several passes.
double MeasureReadBandwidth(ThreadPool& threads);
double MeasurePeakFlops(ThreadPool& threads);

// Seconds of one call.
double MeasureSeconds(const std::function<void()>& call);
double Median(std::vector<double> values);

}  // namespace throng::attention
