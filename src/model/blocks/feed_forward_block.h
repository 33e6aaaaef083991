// The feed-forward block: two matrices, or three with a gate.
#pragma once

#include <optional>
#include <vector>

#include "model/blocks/block.h"
#include "model/row_ops.h"

namespace throng::model {

// down(activation(gate(x)) * up(x)), or down(activation(up(x))) without a gate.
struct FeedForwardWeights {
  Matrix gate, up;                                   // [ffn_dim, dim]; gate.rows 0: none
  Matrix down;                                       // [dim, ffn_dim]
  std::vector<float> gate_bias, up_bias, down_bias;  // empty: none
  Matrix
      result_gate{};  // [1, dim]: results are multiplied by the sigmoid of its product with x; rows 0: none
  // Only the largest products of `gate` go on, as KeepOutliers (row_ops.h) says with so many deviations.
  std::optional<float> outliers{};
};

class FeedForwardBlock final : public Block {
 public:
  FeedForwardBlock(FeedForwardWeights weights, Activation activation);

  const FeedForwardWeights& GetWeights() const { return weights_; }
  Activation GetActivation() const { return activation_; }

  void Finish(Step& step, const Rows& in, Rows& out) const override;
  void ForEachMatrix(const std::function<void(Matrix&)>& visit) override;

 private:
  FeedForwardWeights weights_;
  const Activation activation_;
};

}  // namespace throng::model
