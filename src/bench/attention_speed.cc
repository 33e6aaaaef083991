#include "bench/attention_speed.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <set>

#include "attention/reference.h"
#include "attention/testing/codec_errors.h"
#include "base/check.h"
#include "base/thread_pool.h"
#include "kv/testing/random_rows.h"

namespace throng::bench {
namespace {

constexpr int kChunk = 1024;

// Elements of one head in the input's rows, of which keys and values take the first.
size_t RowSize(const MeasureShape& shape) {
  return static_cast<size_t>(std::max(shape.head_dim, shape.ValueDim()));
}

size_t Stride(const MeasureShape& shape) { return static_cast<size_t>(shape.kv_heads) * RowSize(shape); }

size_t OutStride(const MeasureShape& shape) { return static_cast<size_t>(shape.heads) * shape.ValueDim(); }

// A bias as long as a pair of elements on average, so that scores stay what they are without one.
std::shared_ptr<const attention::KeyBias> MakeBias(const MeasureShape& shape) {
  attention::Rotation rotation;
  const auto pairs = static_cast<size_t>(shape.head_dim) / 2;
  for (size_t i = 0; i < pairs; ++i) {
    rotation.frequencies.push_back(std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(pairs)));
  }
  std::vector<float> bias(static_cast<size_t>(shape.kv_heads) * shape.head_dim);
  for (size_t i = 0; i < bias.size(); ++i) {
    if (i % (2 * pairs) < static_cast<size_t>(shape.bias_pairs)) bias[i] = 1.4f;
  }
  const attention::BiasOfLayer layer{bias, std::vector<double>(static_cast<size_t>(shape.kv_heads), 0.0),
                                     &rotation};
  return attention::MakeKeyBias({&layer, 1}, shape.keys + shape.queries);
}

}  // namespace

double LargestError(std::string_view codec, const MeasureShape& shape) {
  const double slack = shape.heads * shape.ValueDim() < 512 ? 4.0 : 1.5;
  // Sums over pages are rounded to f32, measured 3e-9 a page: with exact codecs and many pages, that is most.
  const double sums = 4e-9 * shape.keys / kv::kPageTokens;
  return slack * (attention::CodecErrorOf(codec).high + sums);
}

MeasureInput::MeasureInput(const MeasureShape& shape_in)
    : shape(shape_in),
      rows(kv::Normal(Stride(shape) * std::max(std::min(kChunk, shape.keys), shape.queries), 1)),
      queries(kv::Normal(static_cast<size_t>(shape.queries) * shape.heads * shape.head_dim, 2)),
      bias(MakeBias(shape)) {}

MeasureCase::MeasureCase(const kv::CodecFlags& codecs, attention::SoftmaxKind softmax,
                         const MeasureInput& input, ThreadPool& threads, size_t least_bytes)
    : input_(input),
      threads_(threads),
      softmax_(softmax),
      pool_(kv::MakeLayout(codecs, std::vector{input.shape.Layer()}), std::numeric_limits<size_t>::max() / 2),
      out_(static_cast<size_t>(input.shape.queries) * OutStride(input.shape)) {
  const MeasureShape& shape = input.shape;
  kv::SequenceCache& first = caches_.emplace_back(pool_);
  for (int done = 0; done < shape.keys;) {
    const int chunk = std::min(kChunk, shape.keys - done);
    Begin(first, chunk);
    for (int head = 0; head < shape.kv_heads; ++head) first.FinishLayer(0, head);
    first.EndChunk();
    done += chunk;
  }
  const size_t copies = CacheBytes() == 0 ? 0 : least_bytes / CacheBytes();
  for (size_t i = 0; i < copies; ++i) CopySealed(first, caches_.emplace_back(pool_));
  for (kv::SequenceCache& cache : caches_) {
    Begin(cache, shape.queries);
    std::vector<attention::AttentionJob>& jobs = jobs_.emplace_back();
    const int group = shape.heads / shape.kv_heads;
    const int most = shape.latent ? std::min(group, attention::kLatentHeadsPerJob) : group;
    for (int head = 0; head < shape.heads;) {
      const int count = std::min(most, group - head % group);
      jobs.push_back(Job(cache, head, count, shape.queries, out_.data()));
      head += count;
    }
  }
}

void MeasureCase::CopySealed(const kv::SequenceCache& from, kv::SequenceCache& to) {
  std::vector<kv::SealedBlock> blocks;
  for (const kv::SealedBlock& block : from.SealedBlocks()) {
    std::optional<kv::SealedBlock> copy = kv::TryCopy(pool_, block);
    THRONG_CHECK(copy.has_value());
    blocks.push_back(*std::move(copy));
  }
  to.Adopt(blocks);
}

void MeasureCase::Begin(kv::SequenceCache& cache, int count) {
  const MeasureShape& shape = input_.shape;
  THRONG_CHECK(cache.Reserve(count));
  cache.BeginChunk(count);
  const float* rows = input_.rows.data();
  threads_.ParallelFor(static_cast<size_t>(shape.kv_heads), [&](size_t head, int) {
    const size_t values_head = shape.kv_heads - 1 - head;
    cache.Append(0, static_cast<int>(head), {rows + head * RowSize(shape), Stride(shape)},
                 {rows + values_head * RowSize(shape), Stride(shape)});
  });
}

attention::AttentionJob MeasureCase::Job(const kv::SequenceCache& cache, int head, int group, int count,
                                         float* out) const {
  const MeasureShape& shape = input_.shape;
  const auto first = static_cast<size_t>(head);
  const int kv_head = head / (shape.heads / shape.kv_heads);
  return {
      .cache = &cache,
      .layer = 0,
      .kv_head = kv_head,
      .group = group,
      .first_token = 0,
      .num_tokens = count,
      .queries = input_.queries.data() + first * shape.head_dim,
      .query_stride = static_cast<size_t>(shape.heads) * shape.head_dim,
      .out = out + first * shape.ValueDim(),
      .out_stride = OutStride(shape),
      .scale = 1.0f / std::sqrt(static_cast<float>(shape.head_dim)),
      .window = 0,
      .softmax = softmax_,
      .key_bias = input_.bias == nullptr ? nullptr : &(*input_.bias)[0].heads[static_cast<size_t>(kv_head)]};
}

void MeasureCase::Run() {
  attention::AttendAll(jobs_[next_], threads_, scratch_);
  next_ = (next_ + 1) % jobs_.size();
}

std::span<const float> MeasureCase::Outputs() {
  next_ = 0;
  Run();
  return out_;
}

double MeasureCase::ErrorOf(std::span<const float> out) const {
  const MeasureShape& shape = input_.shape;
  const std::set<int> tokens = {0, shape.queries / 2, shape.queries - 1};
  std::vector<attention::AttentionJob> jobs;
  std::vector<float> expected(out.size());
  for (const int token : tokens) {
    for (int head = 0; head < shape.kv_heads; ++head) {
      const int group = shape.heads / shape.kv_heads;
      jobs.push_back(Job(caches_.front(), head * group, group, 1, expected.data()));
      attention::AttentionJob& job = jobs.back();
      job.first_token = token;
      job.queries += static_cast<size_t>(token) * job.query_stride;
      job.out += static_cast<size_t>(token) * job.out_stride;
    }
  }
  threads_.ParallelFor(jobs.size(), [&](size_t i, int) { attention::AttendReference(jobs[i]); });
  double worst = 0.0;
  for (const int token : tokens) {
    const size_t size = OutStride(shape);
    const auto of_token = [&](std::span<const float> all) {
      const auto part = all.subspan(token * size, size);
      return std::vector<float>(part.begin(), part.end());
    };
    worst = std::max(worst, kv::RelativeError(of_token(out), of_token(expected)));
  }
  return worst;
}

size_t MeasureCase::CacheBytes() const {
  const kv::BlockLayout& layout = pool_.Layout();
  size_t bytes = 0;
  for (const kv::SealedBlock& block : caches_.front().SealedBlocks()) {
    bytes += block.fine != nullptr ? layout.fine_bytes : layout.bytes;
  }
  return bytes;
}

double MeasureCase::Flops() const {
  const MeasureShape& shape = input_.shape;
  const double pairs = static_cast<double>(shape.queries) * shape.keys +
                       0.5 * shape.queries * (static_cast<double>(shape.queries) + 1.0);
  return 2.0 * pairs * shape.heads * (shape.head_dim + shape.ValueDim());
}

}  // namespace throng::bench
