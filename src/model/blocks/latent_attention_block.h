// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1): keys and values of all heads are
// made from one small latent row per token, and that row is what the cache holds.
#pragma once

#include <vector>

#include "model/blocks/attention_block.h"
#include "model/blocks/block.h"
#include "model/blocks/norm.h"
#include "model/rope.h"

namespace throng::model {

struct LatentAttentionConfig {
  int num_heads;
  int plain_dim;     // of a head's query and key, the part that is not rotated
  int value_dim;     // of a head
  int latent_dim;    // of the row that keys and values are made from
  float scale;       // of the scores
  const Rope* rope;  // of the other part of queries, and of one key that all heads share
  AttentionTemperature temperature{};
  int cache_layer;

  int RopeDim() const { return static_cast<int>(2 * rope->Pairs()); }
  int QueryDim() const { return plain_dim + RopeDim(); }  // of a head
  int KeyDim() const { return latent_dim + RopeDim(); }   // in the cache
};

struct LatentAttentionWeights {
  Matrix q_down;     // [rank, dim]; rows 0: none, and q reads the stream
  Norm q_norm;       // [rank]
  Matrix q;          // [heads * (plain_dim + rope), rank or dim]
  Matrix kv_down;    // [latent_dim + rope, dim]
  Norm latent_norm;  // [latent_dim]
  // Of all heads: what makes a query of the latent row out of a head's query, [heads * latent_dim,
  // plain_dim], and a head's result out of a mean of latent rows: [heads * value_dim, latent_dim].
  Matrix to_latent;
  Matrix from_latent;
  // Where to_latent and from_latent are copies: their rows.
  std::vector<float> to_latent_rows, from_latent_rows;
  Matrix output;  // [dim, heads * value_dim]
};

class LatentAttentionBlock final : public Block {
 public:
  LatentAttentionBlock(const LatentAttentionConfig& config, LatentAttentionWeights weights);

  std::string Describe() const override { return "latent attention"; }
  bool MixesTokens() const override { return true; }
  void MixTokens(Step& step, const Rows& in) const override;
  void Finish(Step& step, const Rows& in, Rows& out) const override;
  void ForEachMatrix(const std::function<void(Matrix&)>& visit) override;

 private:
  void Project(Step& step, const Rows& in) const;
  void Attend(Step& step) const;
  // One product for each head, of the first columns of x, [rows, heads, x_dim], to the first of y, [rows,
  // heads, y_dim].
  void ForEachHead(Step& step, const Matrix& matrix, const Rows& x, size_t x_dim, Rows& y, size_t y_dim,
                   bool fine) const;

  const LatentAttentionConfig config_;
  LatentAttentionWeights weights_;
};

}  // namespace throng::model
