#include "model/blocks/attention_block.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/thread_pool.h"
#include "kv/cache/block_pool.h"
#include "kv/cache/sequence_cache.h"
#include "model/key_bias.h"
#include "model/row_ops.h"

namespace throng::model {
namespace {

struct AttentionRows {
  Rows q;         // [rows, heads * key_dim]
  Rows gates;     // [rows, heads * value_dim]
  Rows k, v;      // [rows, KV heads * key_dim or value_dim]
  Rows attended;  // [rows, heads * value_dim]
};

// Encoding a full page is real work; copying rows to an open page is not.
bool FillsPages(std::span<const BatchItem> items) {
  return std::ranges::any_of(items, [](const BatchItem& item) {
    const int before = item.cache->NumTokens();
    return before / kv::kPageTokens != (before + static_cast<int>(item.tokens.size())) / kv::kPageTokens;
  });
}

// Calls body(item, head) for all.
void ForHeads(const Step& step, int heads, bool pays, const std::function<void(size_t, int)>& body) {
  const auto num_heads = static_cast<size_t>(heads);
  step.ForEach(step.Items().size() * num_heads, pays,
               [&](size_t i) { body(i / num_heads, static_cast<int>(i % num_heads)); });
}

}  // namespace

float AttentionTemperature::At(int position) const {
  if (scale == 0.0f) return 1.0f;
  const int periods = (position + offset) / period;
  return 1.0f + scale * std::log(1.0f + static_cast<float>(periods));
}

AttentionBlock::AttentionBlock(const AttentionConfig& config, Weights weights)
    : config_(config),
      weights_(std::move(weights)),
      query_dim_(static_cast<size_t>(config.num_heads) * static_cast<size_t>(config.key_dim)),
      kv_dim_(static_cast<size_t>(config.num_kv_heads) * static_cast<size_t>(config.key_dim)),
      value_dim_(static_cast<size_t>(config.num_kv_heads) * static_cast<size_t>(config.value_dim)) {
  THRONG_CHECK(config.num_heads % config.num_kv_heads == 0);
  THRONG_CHECK(!config.gated || config.key_dim == config.value_dim);
  THRONG_CHECK(!config.owns_cache || weights_.v.rows == value_dim_ || value_dim_ == kv_dim_);
}

std::string AttentionBlock::Describe() const {
  std::string text = "attention";
  if (config_.window > 0) text += fmt::format(", window of {}", config_.window);
  if (config_.chunk > 0) text += fmt::format(", chunks of {}", config_.chunk);
  if (config_.rope == nullptr) text += ", without rotation";
  if (!config_.owns_cache) text += ", keys and values of an earlier layer";
  return text;
}

void AttentionBlock::ForEachMatrix(const std::function<void(Matrix&)>& visit) {
  visit(weights_.q);
  if (config_.owns_cache) {
    visit(weights_.k);
    if (weights_.v.rows != 0) visit(weights_.v);
  }
  visit(weights_.output);
}

void AttentionBlock::NormHeads(float* heads, int count, const Norm& norm) const {
  if (!norm) return;
  const auto size = static_cast<size_t>(config_.key_dim);
  if (weights_.norms_rows) return norm.Apply(heads, static_cast<size_t>(count) * size, heads);
  for (int h = 0; h < count; ++h) {
    float* head = heads + static_cast<size_t>(h) * size;
    norm.Apply(head, size, head, static_cast<size_t>(h));
  }
}

void AttentionBlock::FinishQueries(float* q, const float* cos_sin, int position) const {
  if (!config_.norms_after_rope) NormHeads(q, config_.num_heads, weights_.q_norm);
  if (config_.rope != nullptr) {
    for (int h = 0; h < config_.num_heads; ++h) {
      config_.rope->Rotate(q + static_cast<size_t>(h) * static_cast<size_t>(config_.key_dim), cos_sin);
    }
  }
  if (config_.norms_after_rope) NormHeads(q, config_.num_heads, weights_.q_norm);
  const float factor = config_.temperature.At(position);
  if (factor != 1.0f) Scale(q, factor, query_dim_);
}

void AttentionBlock::FinishKeys(float* k, const StoredKeys* stored, const float* cos_sin) const {
  const std::vector<float>& bias =
      stored == nullptr ? weights_.k_bias : stored->layers[static_cast<size_t>(config_.cache_layer)].added;
  if (!bias.empty()) AddTo(k, bias.data(), kv_dim_);
  if (!config_.norms_after_rope) NormHeads(k, config_.num_kv_heads, weights_.k_norm);
  const auto add_offset = [&] {
    if (stored == nullptr) return;
    const std::vector<float>& offset = stored->layers[static_cast<size_t>(config_.cache_layer)].offset;
    if (!offset.empty()) AddTo(k, offset.data(), kv_dim_);
  };
  if (!config_.norms_after_rope) add_offset();
  if (config_.rope != nullptr) {
    for (int h = 0; h < config_.num_kv_heads; ++h) {
      config_.rope->Rotate(k + static_cast<size_t>(h) * static_cast<size_t>(config_.key_dim), cos_sin);
    }
  }
  if (!config_.norms_after_rope) return;
  NormHeads(k, config_.num_kv_heads, weights_.k_norm);
  add_offset();
}

void AttentionBlock::Project(Step& step, const Rows& in) const {
  AttentionRows& rows = step.GetBuffers().Of<AttentionRows>();
  const auto key_dim = static_cast<size_t>(config_.key_dim);
  rows.q.Resize(step.NumRows(), weights_.q.rows);
  rows.k.Resize(step.NumRows(), kv_dim_);
  rows.v.Resize(step.NumRows(), value_dim_);
  // The softmax multiplies errors of queries and keys: with 8 bits alone they made nine tenths of the
  // logits' error.
  constexpr bool kFine = true;
  const Product products[] = {{weights_.q, rows.q[0], rows.q.Width(), kFine},
                              {weights_.k, rows.k[0], kv_dim_, kFine},
                              {weights_.v, rows.v[0], value_dim_}};
  const bool values_from_keys = weights_.v.rows == 0;
  step.Multiply(in, std::span(products).first(!config_.owns_cache ? 1 : values_from_keys ? 2 : 3));
  if (config_.gated) {
    // Queries to the front of each row, gates to rows of their own.
    rows.gates.Resize(step.NumRows(), query_dim_);
    step.ForRows(query_dim_ / 4, [&](size_t first, size_t count) {
      for (size_t r = first; r < first + count; ++r) {
        float* q = rows.q[r];
        for (size_t h = 0; h < static_cast<size_t>(config_.num_heads); ++h) {
          std::copy_n(q + (2 * h + 1) * key_dim, key_dim, rows.gates[r] + h * key_dim);
          std::copy_n(q + 2 * h * key_dim, key_dim, q + h * key_dim);
        }
      }
    });
  }
  Rows* ropes = config_.rope == nullptr ? nullptr : &step.GetBuffers().ropes[config_.rope->index];
  step.ForEachItemRow(query_dim_, [&](size_t item, size_t r) {
    const float* cos_sin = ropes == nullptr ? nullptr : (*ropes)[r];
    float* q = rows.q[r];
    if (!weights_.q_bias.empty()) AddTo(q, weights_.q_bias.data(), query_dim_);
    FinishQueries(q, cos_sin,
                  step.Items()[item].cache->NumTokens() + static_cast<int>(r - step.FirstRow(item)));
    if (!config_.owns_cache) return;
    float* v = rows.v[r];
    if (values_from_keys) std::copy_n(rows.k[r], value_dim_, v);
    FinishKeys(rows.k[r], step.stored_keys[item], cos_sin);
    if (!weights_.v_bias.empty()) AddTo(v, weights_.v_bias.data(), value_dim_);
    if (!weights_.v_norm) return;
    const auto size = static_cast<size_t>(config_.value_dim);
    for (size_t h = 0; h < static_cast<size_t>(config_.num_kv_heads); ++h) {
      weights_.v_norm.Apply(v + h * size, size, v + h * size);
    }
  });
}

void AttentionBlock::Append(Step& step) const {
  AttentionRows& rows = step.GetBuffers().Of<AttentionRows>();
  ForHeads(step, config_.num_kv_heads, FillsPages(step.Items()), [&](size_t i, int head) {
    const size_t row = step.FirstRow(i);
    const auto h = static_cast<size_t>(head);
    step.Items()[i].cache->Append(config_.cache_layer, head,
                                  {rows.k[row] + h * static_cast<size_t>(config_.key_dim), kv_dim_},
                                  {rows.v[row] + h * static_cast<size_t>(config_.value_dim), value_dim_});
  });
}

void AttentionBlock::Attend(Step& step) const {
  AttentionRows& rows = step.GetBuffers().Of<AttentionRows>();
  const int group = config_.num_heads / config_.num_kv_heads;
  std::vector<attention::AttentionJob> jobs;
  ForHeads(step, config_.num_kv_heads, false, [&](size_t i, int head) {
    const BatchItem& item = step.Items()[i];
    const size_t tokens = item.tokens.size();
    const size_t first = step.OnlyLast() ? tokens - LastRows(item) : step.FirstToken(i);
    if (first == tokens) return;
    const size_t row = step.FirstRow(i) + first - step.FirstToken(i);
    attention::AttentionJob job{};
    job.cache = item.cache;
    job.layer = config_.cache_layer;
    job.kv_head = head;
    job.group = group;
    job.first_token = static_cast<int>(first);
    job.num_tokens = static_cast<int>(tokens - first);
    const auto first_head = static_cast<size_t>(head * group);
    job.queries = rows.q[row] + first_head * static_cast<size_t>(config_.key_dim);
    job.query_stride = rows.q.Width();
    job.out = rows.attended[row] + first_head * static_cast<size_t>(config_.value_dim);
    job.out_stride = rows.attended.Width();
    job.scale = config_.scale;
    job.window = config_.window;
    job.chunk = config_.chunk;
    job.score_cap = config_.score_cap;
    job.softmax = item.cache->Pool().Softmax();
    if (!weights_.sinks.empty()) job.sinks = weights_.sinks.data() + first_head;
    if (const StoredKeys* stored = step.stored_keys[i]) {
      job.key_bias =
          &(*stored->bias)[static_cast<size_t>(config_.cache_layer)].heads[static_cast<size_t>(head)];
      if (job.key_bias->pairs.empty()) job.key_bias = nullptr;
    }
    jobs.push_back(job);
  });
  step.Attend(jobs);
}

void AttentionBlock::MixTokens(Step& step, const Rows& in) const {
  AttentionRows& rows = step.GetBuffers().Of<AttentionRows>();
  Project(step, in);
  rows.attended.Resize(step.NumRows(), static_cast<size_t>(config_.num_heads * config_.value_dim));
  if (config_.owns_cache) Append(step);
  Attend(step);
  if (config_.owns_cache) {
    ForHeads(step, config_.num_kv_heads, false,
             [&](size_t i, int head) { step.Items()[i].cache->FinishLayer(config_.cache_layer, head); });
  }
  if (!step.OnlyLast()) return;
  step.Carry(rows.attended);
  if (config_.gated) step.Carry(rows.gates);
}

void AttentionBlock::Finish(Step& step, const Rows&, Rows& out) const {
  AttentionRows& rows = step.GetBuffers().Of<AttentionRows>();
  if (config_.gated) {
    step.ForRows(rows.attended.Width(), [&](size_t first, size_t count) {
      for (size_t r = first; r < first + count; ++r) {
        TimesSigmoid(rows.attended[r], rows.gates[r], rows.attended.Width());
      }
    });
  }
  const Product product{weights_.output, out[0], out.Width()};
  step.Multiply(rows.attended, {&product, 1});
  AddBias(step, weights_.output_bias, out);
}

}  // namespace throng::model
