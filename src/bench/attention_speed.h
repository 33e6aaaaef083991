// Measures attention over synthetic caches of any length, and checks it against the reference.
#pragma once

#include <deque>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "attention/attention.h"
#include "kv/cache/block_pool.h"
#include "kv/layer_codecs.h"

namespace throng {
class ThreadPool;
}

namespace throng::bench {

struct MeasureShape {
  int keys;     // tokens held, in one layer
  int queries;  // tokens that attend to them and, causally, to each other
  int heads;
  int kv_heads;         // divides heads
  int head_dim;         // of queries and keys
  int value_dim = 0;    // of values and outputs; 0: head_dim
  bool latent = false;  // values are the first elements of the keys (kv::LayerShape::values_in_keys)
  int bias_pairs =
      0;  // pairs of each head in which keys are stored without their bias (attention/key_bias.h)

  int ValueDim() const { return value_dim == 0 ? head_dim : value_dim; }
  kv::LayerShape Layer() const { return {kv_heads, head_dim, ValueDim(), latent}; }
};

// Normally distributed rows, made once for all codecs.
struct MeasureInput {
  explicit MeasureInput(const MeasureShape& shape);
  MeasureShape shape;
  std::vector<float> rows;     // [tokens, kv_heads, the larger of both sizes], repeated for longer caches
  std::vector<float> queries;  // [queries, heads, head_dim]
  std::shared_ptr<const attention::KeyBias> bias;  // null without bias_pairs
};

// The largest error allowed in a codec's outputs: about what was measured (attention/testing/codec_errors.h),
// and more where few elements make the error vary.
double LargestError(std::string_view codec, const MeasureShape& shape);

// One layer's cache, with a chunk of queries begun; or equal caches of as many sequences as take least_bytes,
// so that attending to one after the other never finds them in a processor cache.
class MeasureCase {
 public:
  // The input and the threads must outlive it. Throws kInvalid for codecs that do not exist, kUnsupported for
  // sizes that no codec has.
  MeasureCase(const kv::CodecFlags& codecs, attention::SoftmaxKind softmax, const MeasureInput& input,
              ThreadPool& threads, size_t least_bytes = 0);

  void Run();  // the attention of all queries and heads of one sequence, the next one at each call

  // What Run computes of the first sequence: [queries, heads, ValueDim()].
  std::span<const float> Outputs();
  // The largest relative error against the double-precision reference, over all heads' outputs at the first,
  // the middle and the last query. out: [queries, heads, ValueDim()].
  double ErrorOf(std::span<const float> out) const;
  double Error() { return ErrorOf(Outputs()); }

  size_t CacheBytes() const;  // bytes of a sequence's sealed pages, in the form that the next query sees
  double Flops() const;       // operations of the scores and mixes: a multiplication and an addition each

 private:
  void Begin(kv::SequenceCache& cache, int count);
  void CopySealed(const kv::SequenceCache& from, kv::SequenceCache& to);
  // Query heads [head, head + group) that share a KV head.
  attention::AttentionJob Job(const kv::SequenceCache& cache, int head, int group, int count,
                              float* out) const;

  const MeasureInput& input_;
  ThreadPool& threads_;
  const attention::SoftmaxKind softmax_;
  kv::BlockPool pool_;
  std::deque<kv::SequenceCache> caches_;
  std::vector<attention::AttentionScratch> scratch_;
  std::vector<float> out_;
  std::vector<std::vector<attention::AttentionJob>> jobs_;  // [sequence, KV head]
  size_t next_ = 0;                                         // the next sequence to run
};

}  // namespace throng::bench
