#include "model/blocks/feed_forward_block.h"

#include <cmath>

namespace throng::model {
namespace {

struct FeedForwardRows {
  Rows gate, up;      // [rows, ffn_dim]
  Rows result_gates;  // [rows, 1]
};

}  // namespace

FeedForwardBlock::FeedForwardBlock(FeedForwardWeights weights, Activation activation)
    : weights_(std::move(weights)), activation_(activation) {}

void FeedForwardBlock::ForEachMatrix(const std::function<void(Matrix&)>& visit) {
  if (weights_.gate.rows != 0) visit(weights_.gate);
  visit(weights_.up);
  visit(weights_.down);
  if (weights_.result_gate.rows != 0) visit(weights_.result_gate);
}

void FeedForwardBlock::Finish(Step& step, const Rows& in, Rows& out) const {
  FeedForwardRows& rows = step.GetBuffers().Of<FeedForwardRows>();
  const size_t ffn_dim = weights_.up.rows;
  const bool gated = weights_.gate.rows != 0;
  rows.up.Resize(step.NumRows(), ffn_dim);
  rows.gate.Resize(step.NumRows(), ffn_dim);
  const Product products[] = {{weights_.gate, rows.gate[0], ffn_dim}, {weights_.up, rows.up[0], ffn_dim}};
  step.Multiply(in, std::span(products).subspan(gated ? 0 : 1));
  const Activation activation = step.Computed(activation_);
  step.ForRows(ffn_dim, [&](size_t first, size_t count) {
    for (size_t r = first; r < first + count; ++r) {
      if (!weights_.up_bias.empty()) AddTo(rows.up[r], weights_.up_bias.data(), ffn_dim);
      if (!weights_.gate_bias.empty()) AddTo(rows.gate[r], weights_.gate_bias.data(), ffn_dim);
      if (weights_.outliers) KeepOutliers(rows.gate[r], *weights_.outliers, ffn_dim);
      if (gated) {
        Gate(activation, rows.gate[r], rows.up[r], ffn_dim);
      } else {
        Activate(activation, rows.up[r], ffn_dim);
      }
    }
  });
  const Product down{weights_.down, out[0], out.Width()};
  step.Multiply(gated ? rows.gate : rows.up, {&down, 1});
  AddBias(step, weights_.down_bias, out);
  if (weights_.result_gate.rows == 0) return;
  rows.result_gates.Resize(step.NumRows(), 1);
  const Product gates{weights_.result_gate, rows.result_gates[0], 1};
  step.Multiply(in, {&gates, 1});
  for (size_t r = 0; r < step.NumRows(); ++r) {
    Scale(out[r], 1.0f / (1.0f + std::exp(-*rows.result_gates[r])), out.Width());
  }
}

}  // namespace throng::model
