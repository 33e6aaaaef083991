// Mamba-2 (arXiv 2405.21060).
#pragma once

#include <vector>

#include "model/blocks/block.h"
#include "model/blocks/causal_conv.h"
#include "model/blocks/norm.h"
#include "model/recurrence.h"

namespace throng::model {

struct Mamba2Config {
  size_t num_heads, head_dim;
  size_t num_groups;  // divides num_heads; the heads of a group, beside each other, share B and C
  size_t state_size;  // of a group's B and C
  int state_layer;    // which recurrent layer of the cache

  size_t Width() const { return num_heads * head_dim; }
};

// x, B and C pass through a convolution and SiLU. Each head has a state that DecayStep changes with
//   weight = softplus(step + step_bias),  decay = exp(rate weight).
// What is read from it is multiplied by silu(gate), and each group's elements pass through a norm.
class Mamba2Block final : public Block {
 public:
  struct Weights {
    Matrix gate;      // [width, dim]
    Matrix mixed;     // [width + 2 * groups * state_size, dim]: of x, B and C
    Matrix step;      // [heads, dim]
    CausalConv conv;  // of `mixed`
    std::vector<float> step_bias, rate, skip;  // [heads]; rates are below 0
    std::vector<Norm> norms;                   // [groups], of width / groups elements; empty: none
    Matrix output;                             // [dim, width]
  };

  Mamba2Block(const Mamba2Config& config, Weights weights);

  // The floats of the layer's state: those of heads, then the convolution's.
  static size_t StateFloats(const Mamba2Config& config, const CausalConv& conv);

  bool MixesTokens() const override { return true; }
  void MixTokens(Step& step, const Rows& in) const override;
  void Finish(Step& step, const Rows& in, Rows& out) const override;
  void ForEachMatrix(const std::function<void(Matrix&)>& visit) override;

 private:
  void Project(Step& step, const Rows& in) const;
  void Recur(Step& step) const;

  const Mamba2Config config_;
  const StateShape head_;
  Weights weights_;
};

}  // namespace throng::model
