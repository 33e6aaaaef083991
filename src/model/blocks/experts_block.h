// A mixture of experts: a router chooses a few feed-forward blocks for each token.
#pragma once

#include <vector>

#include "model/blocks/block.h"
#include "model/blocks/norm.h"
#include "model/row_ops.h"

namespace throng::model {

// How a router's scores become choices and weights.
struct RouterConfig {
  enum class Scoring {
    kSoftmax,          // probabilities over all experts
    kSigmoid,          // of each score by itself
    kSoftmaxOfChosen,  // over the chosen; choices are by the scores themselves
  };
  int num_experts = 0;
  int num_chosen = 0;
  Scoring scoring = Scoring::kSoftmax;
  bool normalised = false;  // the weights of the chosen are divided by their sum
  float scale = 1.0f;       // of the weights
  // Experts come in groups of equal size; only those of the best groups are chosen from. A group is as good
  // as the sum of its two best scores (DeepSeek-V3, arXiv 2412.19437, section 2.1.2).
  int num_groups = 1;
  int num_chosen_groups = 1;
};

struct ExpertsWeights {
  Norm router_norm, input_norm;       // of what the router and the experts read
  Matrix router;                      // [experts, dim]
  std::vector<float> router_bias;     // [experts], part of the scores; empty: none
  std::vector<float> selection_bias;  // [experts], for choices only; empty: none
  // Those of all experts, one after the other: [experts * ffn_dim, dim]. With a fused gate, `up` holds for
  // each expert the rows of its gate, then those of up: [experts * 2 * ffn_dim, dim].
  Matrix gate, up;
  Matrix down;                                       // [experts * dim, ffn_dim]
  std::vector<float> gate_bias, up_bias, down_bias;  // [experts, rows]; empty: none
};

class ExpertsBlock final : public Block {
 public:
  struct Options {
    Activation activation = Activation::kSilu;
    bool fused_gate = false;
    bool weighs_inputs = false;  // weights multiply what experts read instead of their results
  };

  ExpertsBlock(const RouterConfig& router, const Options& options, ExpertsWeights weights);
  const RouterConfig& Router() const { return router_; }
  const Options& GetOptions() const { return options_; }
  const ExpertsWeights& GetWeights() const { return weights_; }

  std::string Describe() const override;
  void Finish(Step& step, const Rows& in, Rows& out) const override;
  void ForEachMatrix(const std::function<void(Matrix&)>& visit) override;

  struct Choice {
    int expert;
    float weight;
  };
  // The experts of one token, the best first. scores: [experts]; changed.
  static void Choose(const RouterConfig& router, const std::vector<float>& selection_bias, float* scores,
                     Choice* choices);

 private:
  size_t NumExperts() const { return static_cast<size_t>(router_.num_experts); }
  Matrix GateOf(size_t expert) const;
  Matrix UpOf(size_t expert) const;
  Matrix DownOf(size_t expert) const;
  void Activate(const Step& step, size_t expert, float* gate, float* up) const;
  void RunExpert(Step& step, size_t expert, std::span<const size_t> slots, const Rows& in) const;
  void RunOneRow(Step& step, const Rows& in) const;

  const RouterConfig router_;
  const Options options_;
  ExpertsWeights weights_;
  size_t ffn_dim_;
};

}  // namespace throng::model
