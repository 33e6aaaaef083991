#include "model/blocks/delta_net_block.h"

#include <cmath>
#include <utility>

#include "base/check.h"
#include "model/blocks/recurrent_state.h"
#include "model/row_ops.h"

namespace throng::model {
namespace {

struct DeltaNetRows {
  Rows mixed;      // [rows, channels of the convolution]
  Rows convolved;  // likewise; then queries, keys and values
  Rows gates;      // [rows, value heads * head_dim]
  Rows controls;   // [rows, 2 * value heads]: as products give them; then, for each value head, beta and decay
  Rows read;       // [rows, value heads * head_dim]
};

}  // namespace

DeltaNetBlock::DeltaNetBlock(const DeltaNetConfig& config, Weights weights)
    : config_(config), head_{config.head_dim, config.head_dim}, weights_(std::move(weights)) {
  THRONG_CHECK(config.num_value_heads % config.num_key_heads == 0);
}

size_t DeltaNetBlock::StateFloats(const DeltaNetConfig& config, const CausalConv& conv) {
  return config.num_value_heads * StateShape{config.head_dim, config.head_dim}.Floats() + conv.StateFloats();
}

void DeltaNetBlock::ForEachMatrix(const std::function<void(Matrix&)>& visit) {
  visit(weights_.mixed);
  visit(weights_.gate);
  visit(weights_.beta);
  if (weights_.alpha.rows != 0) visit(weights_.alpha);
  visit(weights_.output);
}

size_t DeltaNetBlock::KeyHead(size_t value_head) const {
  return config_.neighbours_share ? value_head / (config_.num_value_heads / config_.num_key_heads)
                                  : value_head % config_.num_key_heads;
}

void DeltaNetBlock::Project(Step& step, const Rows& in) const {
  DeltaNetRows& rows = step.GetBuffers().Of<DeltaNetRows>();
  const size_t heads = config_.num_value_heads;
  rows.mixed.Resize(step.NumRows(), weights_.mixed.rows);
  rows.gates.Resize(step.NumRows(), weights_.gate.rows);
  rows.controls.Resize(step.NumRows(), 2 * heads);
  // Errors of decays grow with the distance between tokens.
  constexpr bool kFine = true;
  const Product products[] = {{weights_.mixed, rows.mixed[0], rows.mixed.Width()},
                              {weights_.gate, rows.gates[0], rows.gates.Width()},
                              {weights_.beta, rows.controls[0], 2 * heads, kFine},
                              {weights_.alpha, rows.controls[0] + heads, 2 * heads, kFine}};
  step.Multiply(in, std::span(products).first(weights_.alpha.rows == 0 ? 3 : 4));
}

void DeltaNetBlock::FinishMixed(float* mixed) const {
  const size_t dim = config_.head_dim;
  const size_t keys = config_.num_key_heads;
  Activate(Activation::kSilu, mixed, weights_.mixed.rows);
  const auto size = static_cast<float>(dim);
  for (size_t h = 0; h < 2 * keys; ++h) {
    float* head = mixed + h * dim;
    RmsNorm(head, nullptr, config_.norm_epsilon / size, dim, head);
    // To length 1; and what scores are divided by.
    Scale(head, h < keys ? 1.0f / size : 1.0f / std::sqrt(size), dim);
  }
}

void DeltaNetBlock::FinishControls(float* controls) const {
  const size_t heads = config_.num_value_heads;
  const size_t shared = heads / config_.num_key_heads;
  std::vector<float> finished(2 * heads);
  for (size_t h = 0; h < heads; ++h) {
    const size_t at = config_.neighbours_share ? h / shared * 2 * shared + h % shared : h;
    const float beta = controls[at];
    const float alpha = controls[at + (config_.neighbours_share ? shared : heads)];
    finished[2 * h] = 1.0f / (1.0f + std::exp(-beta));
    finished[2 * h + 1] = std::exp(weights_.rate[h] * Softplus(alpha + weights_.alpha_bias[h]));
  }
  std::ranges::copy(finished, controls);
}

void DeltaNetBlock::Recur(Step& step) const {
  DeltaNetRows& rows = step.GetBuffers().Of<DeltaNetRows>();
  const size_t dim = config_.head_dim;
  const size_t keys = config_.num_key_heads;
  const size_t heads = config_.num_value_heads;
  rows.read.Resize(step.NumRows(), heads * dim);
  const bool pays = step.NumRows() * heads * head_.Floats() > 50000;
  step.ForEach(step.Items().size() * heads, pays, [&](size_t i) {
    const BatchItem& item = step.Items()[i / heads];
    const size_t h = i % heads;
    const StatePart part{config_.state_layer, h * head_.Floats(), head_.Floats()};
    float* state = part.Of(item);
    UpdateState(item, part, [&](size_t first, size_t count) {
      for (size_t r = step.FirstRow(i / heads) + first, end = r + count; r < end; ++r) {
        const float* mixed = rows.convolved[r];
        const float* controls = rows.controls[r] + 2 * h;
        DeltaStep(head_, controls[1], controls[0], mixed + KeyHead(h) * dim, mixed + (keys + KeyHead(h)) * dim,
                  mixed + (2 * keys + h) * dim, state, rows.read[r] + h * dim);
      }
    });
  });
}

void DeltaNetBlock::MixTokens(Step& step, const Rows& in) const {
  DeltaNetRows& rows = step.GetBuffers().Of<DeltaNetRows>();
  Project(step, in);
  weights_.conv.Run(step, config_.state_layer, config_.num_value_heads * head_.Floats(), rows.mixed,
                    rows.convolved);
  step.ForRows(rows.convolved.Width(), [&](size_t first, size_t count) {
    for (size_t r = first; r < first + count; ++r) {
      FinishMixed(rows.convolved[r]);
      FinishControls(rows.controls[r]);
    }
  });
  Recur(step);
  if (!step.OnlyLast()) return;
  step.Carry(rows.gates);
  step.Carry(rows.read);
}

void DeltaNetBlock::Finish(Step& step, const Rows&, Rows& out) const {
  DeltaNetRows& rows = step.GetBuffers().Of<DeltaNetRows>();
  const size_t dim = config_.head_dim;
  step.ForRows(rows.read.Width(), [&](size_t first, size_t count) {
    for (size_t r = first; r < first + count; ++r) {
      for (size_t h = 0; h < config_.num_value_heads; ++h) {
        weights_.norm.Apply(rows.read[r] + h * dim, dim, rows.read[r] + h * dim);
      }
      Gate(Activation::kSilu, rows.gates[r], rows.read[r], rows.read.Width());
    }
  });
  const Product product{weights_.output, out[0], out.Width()};
  step.Multiply(rows.gates, {&product, 1});
}

}  // namespace throng::model
