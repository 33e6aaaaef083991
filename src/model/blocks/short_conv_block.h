// The gated short convolution of LFM2.
#pragma once

#include "model/blocks/block.h"
#include "model/blocks/causal_conv.h"

namespace throng::model {

// output(after(x) * conv(before(x) * input(x)))
class ShortConvBlock final : public Block {
 public:
  struct Weights {
    Matrix before, after, input;  // [channels, dim]
    CausalConv conv;
    Matrix output;  // [dim, channels]
  };

  // state_layer: which recurrent layer of the cache; its state is that of the convolution.
  ShortConvBlock(int state_layer, Weights weights);

  bool MixesTokens() const override { return true; }
  void MixTokens(Step& step, const Rows& in) const override;
  void Finish(Step& step, const Rows& in, Rows& out) const override;
  void ForEachMatrix(const std::function<void(Matrix&)>& visit) override;

 private:
  const int state_layer_;
  Weights weights_;
};

}  // namespace throng::model
