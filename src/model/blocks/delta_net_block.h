// The gated delta net of Qwen 3.5 and Qwen 3 Next (arXiv 2412.06464).
#pragma once

#include <vector>

#include "model/blocks/block.h"
#include "model/blocks/causal_conv.h"
#include "model/blocks/norm.h"
#include "model/recurrence.h"

namespace throng::model {

struct DeltaNetConfig {
  size_t num_key_heads, num_value_heads;  // the first divides the second
  size_t head_dim;                        // of queries, keys and values
  // Which value heads have one key head: those beside each other, or each num_key_heads-th.
  bool neighbours_share = false;
  float norm_epsilon;  // of queries and keys
  int state_layer;     // which recurrent layer of the cache
};

// Queries, keys and values pass through a convolution and SiLU; queries and keys are brought to length 1, then
// queries divided by sqrt(head_dim). Each value head has a state that DeltaStep changes with
//   decay = exp(rate softplus(alpha + alpha_bias)),  beta = sigmoid(beta).
// What is read from it passes through a norm and is multiplied by silu(gate).
class DeltaNetBlock final : public Block {
 public:
  struct Weights {
    Matrix mixed;  // [(2 key heads + value heads) * head_dim, dim]: of queries, keys and values
    Matrix gate;   // [value heads * head_dim, dim]
    // [value heads, dim]. Or, with neighbours_share, beta holds both: for each key head, the rows of its value
    // heads for beta, then those for alpha; and alpha has no rows.
    Matrix beta, alpha;
    CausalConv conv;                            // of `mixed`
    std::vector<float> alpha_bias, rate;        // [value heads]; rates are below 0
    Norm norm;                                  // of head_dim
    Matrix output;                              // [dim, value heads * head_dim]
  };

  DeltaNetBlock(const DeltaNetConfig& config, Weights weights);

  // The floats of the layer's state: those of heads, then the convolution's.
  static size_t StateFloats(const DeltaNetConfig& config, const CausalConv& conv);

  bool MixesTokens() const override { return true; }
  void MixTokens(Step& step, const Rows& in) const override;
  void Finish(Step& step, const Rows& in, Rows& out) const override;
  void ForEachMatrix(const std::function<void(Matrix&)>& visit) override;

 private:
  void Project(Step& step, const Rows& in) const;
  void FinishMixed(float* mixed) const;
  void FinishControls(float* controls) const;
  void Recur(Step& step) const;
  size_t KeyHead(size_t value_head) const;

  const DeltaNetConfig config_;
  const StateShape head_;
  Weights weights_;
};

}  // namespace throng::model
