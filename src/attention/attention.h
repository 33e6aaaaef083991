// Attention of query rows over the paged cache of their sequence.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "attention/key_bias.h"
#include "attention/sas.h"
#include "kv/cache/sequence_cache.h"

namespace throng {
class ThreadPool;
}

namespace throng::attention {

// Query heads of one job over a latent page, which all heads share: several jobs let threads share them.
inline constexpr int kLatentHeadsPerJob = 32;

// Query tokens of one sequence, for one layer and the query heads that share one KV head. Called between the
// cache's Append and FinishLayer of that layer and head, or EndChunk if the layer is kept. key_dim and
// value_dim are those of the layer's shape.
struct AttentionJob {
  const kv::SequenceCache* cache;
  int layer;  // of the cache
  int kv_head;
  int group;             // query heads of this job: all that share the KV head, or some of them
  int first_token;       // within the running chunk
  int num_tokens;        // >= 1
  const float* queries;  // [num_tokens, group, key_dim] after rotation; token first_token + i is at queries
                         // + i * query_stride (floats)
  size_t query_stride;
  float* out;  // [num_tokens, group, value_dim], likewise with out_stride
  size_t out_stride;
  float scale;             // factor of the scores, usually 1 / sqrt(key_dim)
  int window = 0;          // if > 0, a token sees only itself and the window - 1 tokens before it
  int chunk = 0;           // if > 0, a token sees those of its own chunk of so many positions; then no window
  float score_cap = 0.0f;  // if > 0, c tanh(score / c) stands for each score (Gemma 2, arXiv 2408.00118)
  SoftmaxKind softmax = SoftmaxKind::kExact;
  const HeadKeyBias* key_bias = nullptr;  // what the cache's keys lack; null: nothing
  // Learned sinks, [group], finite: the softmax of query head g has one score more, sinks[g], of a key whose
  // value is 0. It is not multiplied by `scale`, and every token sees it whatever the window. Null: none.
  const float* sinks = nullptr;
};

// Buffers that one thread reuses from job to job.
class AttentionScratch {
 public:
  AttentionScratch() = default;
  AttentionScratch(AttentionScratch&&) noexcept = default;
  AttentionScratch& operator=(AttentionScratch&&) noexcept = default;

  // Returns at least `bytes` bytes, aligned to 64, with undefined contents.
  void* Get(size_t bytes);

 private:
  struct Free {
    void operator()(void* p) const;
  };
  std::unique_ptr<void, Free> buffer_;
  size_t bytes_ = 0;
};

// Runs one job. Each row of out depends only on its query and the cache's tokens, in one fixed order of
// operations.
void Attend(const AttentionJob& job, AttentionScratch& scratch);

// Runs all jobs on all threads and splits long ones by tokens. Grows scratch to one per thread.
void AttendAll(std::span<const AttentionJob> jobs, ThreadPool& pool, std::vector<AttentionScratch>& scratch);

}  // namespace throng::attention
