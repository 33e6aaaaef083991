// Attention over the sequence's KV cache.
#pragma once

#include <vector>

#include "model/blocks/block.h"
#include "model/blocks/norm.h"
#include "model/rope.h"

namespace throng::model {

// The scores of a token at position p are multiplied by 1 + scale * ln(1 + floor((p + offset) / period))
// (Llama 4, and Mistral 3).
struct AttentionTemperature {
  float scale = 0.0f;  // 0: not used
  int period = 1;
  int offset = 0;

  float At(int position) const;
};

struct AttentionConfig {
  int num_heads, num_kv_heads;  // the second divides the first
  int key_dim, value_dim;       // of a head; those of queries are keys'
  float scale;                  // of the scores
  float score_cap = 0.0f;       // c tanh(score / c) in place of a score; 0: none
  int window = 0;               // tokens that each token sees, itself included; 0: all before it
  int chunk = 0;                // if > 0, a token sees those of its own chunk of so many positions
  AttentionTemperature temperature{};
  const Rope* rope = nullptr;  // null: queries and keys are not rotated
  bool norms_after_rope = false;
  bool gated = false;      // rows of q are, head by head, those of queries and those of gates:
                           // results are multiplied by the sigmoid of the gates
  int cache_layer;         // whose pages are read
  bool owns_cache = true;  // false: a layer before this one has filled them; k and v are empty
};

class AttentionBlock final : public Block {
 public:
  struct Weights {
    // [heads * key_dim or value_dim, dim]. v.rows 0: values are keys as they are projected.
    Matrix q, k, v;
    std::vector<float> q_bias, k_bias, v_bias;  // likewise; empty: none
    // Of each head: weights of [key_dim] for all heads, or of [heads, key_dim]; or of whole rows, then
    // [heads * key_dim] with `norms_rows`.
    Norm q_norm, k_norm;
    bool norms_rows = false;
    Norm v_norm;               // of each head; without weights
    std::vector<float> sinks;  // [num_heads], see AttentionJob; empty: none
    Matrix output;             // [dim, heads * value_dim]
    std::vector<float> output_bias;
  };

  AttentionBlock(const AttentionConfig& config, Weights weights);

  const AttentionConfig& Config() const { return config_; }
  const Weights& GetWeights() const { return weights_; }

  std::string Describe() const override;
  bool MixesTokens() const override { return true; }
  bool FillsCache() const override { return config_.owns_cache; }
  void MixTokens(Step& step, const Rows& in) const override;
  void Finish(Step& step, const Rows& in, Rows& out) const override;
  void ForEachMatrix(const std::function<void(Matrix&)>& visit) override;

 private:
  void Project(Step& step, const Rows& in) const;
  void FinishQueries(float* q, const float* cos_sin, int position) const;
  void FinishKeys(float* k, const StoredKeys* stored, const float* cos_sin) const;
  void NormHeads(float* heads, int count, const Norm& norm) const;
  void Append(Step& step) const;
  void Attend(Step& step) const;

  const AttentionConfig config_;
  Weights weights_;
  size_t query_dim_, kv_dim_, value_dim_;  // of all heads; value_dim_: of KV heads
};

}  // namespace throng::model
