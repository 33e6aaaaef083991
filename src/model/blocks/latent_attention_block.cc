#include "model/blocks/latent_attention_block.h"

#include <algorithm>
#include <cmath>

#include "kv/cache/block_pool.h"
#include "kv/cache/sequence_cache.h"
#include "model/row_ops.h"

namespace throng::model {
namespace {

struct LatentRows {
  Rows down;                           // [rows, rank]
  Rows heads;                          // queries as projected: [rows, heads, plain_dim + rope]
  Rows queries;                        // of the latent row: [rows, heads, latent_dim + rope]
  Rows keys;                           // [rows, latent_dim + rope]
  Rows attended;                       // [rows, heads, latent_dim]
  Rows values;                         // [rows, heads, value_dim]
  std::vector<MatMulScratch> scratch;  // [heads]
};

}  // namespace

LatentAttentionBlock::LatentAttentionBlock(const LatentAttentionConfig& config,
                                           LatentAttentionWeights weights)
    : config_(config), weights_(std::move(weights)) {}

void LatentAttentionBlock::ForEachMatrix(const std::function<void(Matrix&)>& visit) {
  if (weights_.q_down.rows != 0) visit(weights_.q_down);
  for (Matrix* matrix :
       {&weights_.q, &weights_.kv_down, &weights_.to_latent, &weights_.from_latent, &weights_.output}) {
    visit(*matrix);
  }
}

void LatentAttentionBlock::ForEachHead(Step& step, const Matrix& matrix, const Rows& x, size_t x_dim, Rows& y,
                                       size_t y_dim, bool fine) const {
  LatentRows& rows = step.GetBuffers().Of<LatentRows>();
  const auto heads = static_cast<size_t>(config_.num_heads);
  const size_t outputs = matrix.rows / heads;
  rows.scratch.resize(heads);
  const bool pays = step.NumRows() * matrix.rows * matrix.cols > 100000;
  step.ForEach(heads, pays, [&](size_t head) {
    rows.scratch[head].exact_activations = step.GetBuffers().matmul.exact_activations;
    const Product product{matrix.Rows(head * outputs, outputs), y[0] + head * y_dim, y.Width(), fine};
    MatMul(x[0] + head * x_dim, step.NumRows(), matrix.cols, x.Width(), {&product, 1}, rows.scratch[head],
           nullptr);
  });
}

void LatentAttentionBlock::Project(Step& step, const Rows& in) const {
  LatentRows& rows = step.GetBuffers().Of<LatentRows>();
  const auto heads = static_cast<size_t>(config_.num_heads);
  const auto query_dim = static_cast<size_t>(config_.QueryDim());
  const auto plain_dim = static_cast<size_t>(config_.plain_dim);
  const auto key_dim = static_cast<size_t>(config_.KeyDim());
  const auto latent_dim = static_cast<size_t>(config_.latent_dim);
  const bool has_down = weights_.q_down.rows != 0;
  const Matrix& first = has_down ? weights_.q_down : weights_.q;
  Rows& queries = has_down ? rows.down : rows.heads;
  queries.Resize(step.NumRows(), first.rows);
  rows.keys.Resize(step.NumRows(), key_dim);
  // Arguments of the softmax.
  constexpr bool kFine = true;
  const Product products[] = {{first, queries[0], first.rows, kFine},
                              {weights_.kv_down, rows.keys[0], key_dim, kFine}};
  step.Multiply(in, products);
  if (has_down) {
    const size_t rank = rows.down.Width();
    step.ForRows(rank / 4, [&](size_t begin, size_t count) {
      for (size_t r = begin; r < begin + count; ++r) weights_.q_norm.Apply(rows.down[r], rank, rows.down[r]);
    });
    rows.heads.Resize(step.NumRows(), heads * query_dim);
    const Product up{weights_.q, rows.heads[0], heads * query_dim, kFine};
    step.Multiply(rows.down, {&up, 1});
  }
  rows.queries.Resize(step.NumRows(), heads * key_dim);
  ForEachHead(step, weights_.to_latent, rows.heads, query_dim, rows.queries, key_dim, kFine);
  const Rows& ropes = step.GetBuffers().ropes[config_.rope->index];
  step.ForEachItemRow(heads * query_dim, [&](size_t item, size_t r) {
    const int position = step.Items()[item].cache->NumTokens() + static_cast<int>(r - step.FirstRow(item));
    for (size_t h = 0; h < heads; ++h) {
      float* query = rows.queries[r] + h * key_dim;
      std::copy_n(rows.heads[r] + h * query_dim + plain_dim, query_dim - plain_dim, query + latent_dim);
      config_.rope->Rotate(query + latent_dim, ropes[r]);
    }
    const float factor = config_.temperature.At(position);
    if (factor != 1.0f) Scale(rows.queries[r], factor, heads * key_dim);
    float* key = rows.keys[r];
    weights_.latent_norm.Apply(key, latent_dim, key);
    config_.rope->Rotate(key + latent_dim, ropes[r]);
  });
}

void LatentAttentionBlock::Attend(Step& step) const {
  LatentRows& rows = step.GetBuffers().Of<LatentRows>();
  std::vector<attention::AttentionJob> jobs;
  for (size_t i = 0; i < step.Items().size(); ++i) {
    const BatchItem& item = step.Items()[i];
    item.cache->Append(config_.cache_layer, 0, {rows.keys[step.FirstRow(i)], rows.keys.Width()});
    const int tokens = static_cast<int>(item.tokens.size());
    const int first = step.OnlyLast() ? tokens - static_cast<int>(LastRows(item)) : 0;
    if (first == tokens) continue;
    const size_t row = step.FirstRow(i) + static_cast<size_t>(first);
    for (int head = 0; head < config_.num_heads; head += attention::kLatentHeadsPerJob) {
      attention::AttentionJob job{};
      job.cache = item.cache;
      job.layer = config_.cache_layer;
      job.group = std::min(attention::kLatentHeadsPerJob, config_.num_heads - head);
      job.first_token = first;
      job.num_tokens = tokens - first;
      job.queries = rows.queries[row] + static_cast<size_t>(head) * static_cast<size_t>(config_.KeyDim());
      job.query_stride = rows.queries.Width();
      job.out = rows.attended[row] + static_cast<size_t>(head) * static_cast<size_t>(config_.latent_dim);
      job.out_stride = rows.attended.Width();
      job.scale = config_.scale;
      job.softmax = item.cache->Pool().Softmax();
      jobs.push_back(job);
    }
  }
  step.Attend(jobs);
  for (const BatchItem& item : step.Items()) item.cache->FinishLayer(config_.cache_layer, 0);
}

void LatentAttentionBlock::MixTokens(Step& step, const Rows& in) const {
  LatentRows& rows = step.GetBuffers().Of<LatentRows>();
  Project(step, in);
  rows.attended.Resize(step.NumRows(), static_cast<size_t>(config_.num_heads * config_.latent_dim));
  Attend(step);
  if (step.OnlyLast()) step.Carry(rows.attended);
}

void LatentAttentionBlock::Finish(Step& step, const Rows&, Rows& out) const {
  LatentRows& rows = step.GetBuffers().Of<LatentRows>();
  const auto value_dim = static_cast<size_t>(config_.value_dim);
  rows.values.Resize(step.NumRows(), static_cast<size_t>(config_.num_heads) * value_dim);
  ForEachHead(step, weights_.from_latent, rows.attended, static_cast<size_t>(config_.latent_dim), rows.values,
              value_dim, /*fine=*/false);
  const Product product{weights_.output, out[0], out.Width()};
  step.Multiply(rows.values, {&product, 1});
}

}  // namespace throng::model
