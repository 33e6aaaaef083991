// Builds a model's layers from a file. Architectures (architectures/) say which blocks layers are made of;
// what most of them share is found here: sizes, names of tensors, biases where a file has them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/blocks/attention_block.h"
#include "model/blocks/experts_block.h"
#include "model/blocks/feed_forward_block.h"
#include "model/blocks/layer.h"
#include "model/load/metadata.h"
#include "model/load/tensors.h"
#include "model/model.h"

namespace throng::model {

// What architectures say of an attention block; the file says the rest. Norms of queries and keys
// (attn_q_norm, attn_k_norm), biases and sinks (attn_sinks) are found where the file has them; one tensor
// attn_qkv may stand for three.
struct AttentionTraits {
  const Rope* rope = nullptr;  // null: not rotated
  int window = 0;
  int chunk = 0;
  AttentionTemperature temperature{};
  float scale = 0.0f;  // 0: attention.scale of the file, or 1 / sqrt(key_dim)
  float score_cap = 0.0f;
  NormKind head_norm = NormKind::kRms;  // of queries and keys
  bool norms_after_rope = false;
  bool plain_head_norm = false;  // norms of queries and keys without weights
  bool gated = false;
  int head_dim = 0;               // 0: that of the config
  bool norms_values = false;      // each head of them, without weights
  bool values_from_keys = false;  // values are keys as they are projected
  int cache_layer = -1;           // that of an earlier block, whose pages this one reads too; -1: its own
};

struct FeedForwardTraits {
  Activation activation = Activation::kSilu;
  int ffn_dim = 0;  // 0: that of the file for the layer
  bool gated = true;
  std::string_view suffix = "";       // of the tensors' names: "_shexp"
  std::string_view result_gate = "";  // of a tensor: results are multiplied by the sigmoid of its product
  std::optional<float> outliers{};    // as in FeedForwardWeights
};

struct ExpertsTraits {
  RouterConfig router;
  ExpertsBlock::Options options{};
  int ffn_dim = 0;                   // 0: expert_feed_forward_length, or that of the config
  Norm router_norm{}, input_norm{};  // as in ExpertsWeights
};

class ModelBuilder {
 public:
  // Reads the sizes that all architectures have.
  ModelBuilder(const GgufFile& file, std::string_view architecture, Refusals& refusals, int context,
               Model& model);

  const Metadata& Keys() const { return keys_; }
  const Tensors& GetTensors() const { return tensors_; }
  Model& GetModel() { return model_; }
  const ModelConfig& Config() const { return model_.config; }
  int NumLayers() const { return model_.config.num_layers; }
  // Those of the file: some have blocks after the layers that are not computed (nextn_predict_layers).
  int NumBlocks() const { return num_blocks_; }
  // Of one layer; 0 where it has none of them.
  int NumHeads(int layer) const { return num_heads_[static_cast<size_t>(layer)]; }
  int NumKvHeads(int layer) const { return num_kv_heads_[static_cast<size_t>(layer)]; }
  int FfnDim(int layer) const { return ffn_dims_[static_cast<size_t>(layer)]; }

  // "blk.3.attn_q.weight" for layer 3, "attn_q", ".weight".
  static std::string Name(int layer, std::string_view tensor, std::string_view suffix = ".weight");

  // A norm whose weight is NAME.weight and whose bias is NAME.bias, if there is one.
  Norm FindNorm(const std::string& name, int size, NormKind kind = NormKind::kRms) const;
  // Of rows of the stream: blk.LAYER.NAME.
  Norm LayerNorm(int layer, std::string_view name, NormKind kind = NormKind::kRms) const;

  // Which layers are windowed: attention.sliding_window_pattern, for each layer or as a period (0: all), or
  // else all but each `period`-th one.
  std::vector<bool> WindowedLayers(int period) const;

  // A rope as the file's keys say: rope.dimension_count, rope.freq_base, rope.scaling.*, and the factors of
  // rope_freqs.weight.
  const Rope* FileRope(bool halves) { return FileRope(halves, "rope.freq_base"); }
  // The same for windowed layers: with the base rope.freq_base_swa where the file has it, or else `rope`.
  const Rope* WindowRope(bool halves, const Rope* rope);
  const Rope* AddRope(bool halves, int dim, double base, const RopeScaling& scaling, double magnitude = 1.0);

  std::unique_ptr<Block> Attention(int layer, const AttentionTraits& traits);
  std::unique_ptr<Block> FeedForward(int layer, const FeedForwardTraits& traits = {});
  // ffn_gate_inp, ffn_{gate,up,down}_exps.
  std::unique_ptr<Block> Experts(int layer, const ExpertsTraits& traits);
  // expert_count, expert_used_count, expert_group_count, expert_weights_scale and so on; `router` says how
  // the architecture chooses where the file does not. Throws kCorrupt for numbers that fit no router.
  RouterConfig ReadRouter(RouterConfig router = {}) const;
  // Without experts, what else a file says of them is left out.
  bool HasExperts() const;

  void Add(std::unique_ptr<Layer> layer) { model_.layers.push_back(std::move(layer)); }
  void Add(std::vector<Residual> residuals, float scale = 1.0f) {
    Add(std::make_unique<ResidualLayer>(std::move(residuals), scale));
  }

  // Returns the index of a new layer of the cache. reach: what tokens see.
  int AddCacheLayer(const kv::LayerShape& shape, const kv::Reach& reach = {});
  // The same of a recurrent layer. floats: of its state.
  int AddRecurrentLayer(size_t floats);

  // After the layers: the output's norm and matrix (the embedding if the file has none), and refusals of what
  // nobody asked for.
  void Finish(NormKind output_norm = NormKind::kRms);

 private:
  void ReadSizes();
  const Rope* FileRope(bool halves, std::string_view base_key);
  double ReadYarn(RopeScaling& scaling) const;
  std::vector<float> FindRopeFactors();
  int ShareCacheLayer(int layer, int cache_layer, const kv::LayerShape& shape, const kv::Reach& reach);
  Norm HeadNorm(int layer, std::string_view name, NormKind kind, int heads, int size, bool& whole_rows) const;
  void FindProjections(int layer, const AttentionConfig& config, bool values_from_keys,
                       AttentionBlock::Weights& weights) const;

  const GgufFile& file_;
  const int context_;  // LoadOptions::context
  Metadata keys_;
  Tensors tensors_;
  Model& model_;
  int num_blocks_ = 0;
  std::vector<int> num_heads_, num_kv_heads_, ffn_dims_;  // [layers]
};

}  // namespace throng::model
