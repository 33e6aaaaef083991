// What the models of the Gemma family share.
#pragma once

#include "model/load/builder.h"

namespace throng::model {

inline constexpr FeedForwardTraits kGemmaFeedForward{.activation = Activation::kGeluTanh};

void BuildGemma3n(ModelBuilder& builder);
void BuildGemma4(ModelBuilder& builder);

// Embeddings are multiplied by the root of their size.
void ScaleEmbedding(ModelBuilder& builder);

// The rope of windowed layers: rope.freq_base_swa (or `base`) and rope.dimension_count_swa (or that of all
// layers, at most head_dim). linear: as in RopeScaling. Call it after FileRope.
const Rope* WindowRope(ModelBuilder& builder, double base, double linear, int head_dim);

// The cache layer that a layer reads instead of its own, where only the first num_own layers have one: the
// last of them that is windowed as it is. -1: its own.
int SharedCacheLayer(const ModelBuilder& builder, const std::vector<bool>& windowed, int layer, int num_own);

// Per-layer inputs of this width (model/blocks/per_layer_inputs.h): the layer that computes them, to be the
// first, and the block that reads those of one layer.
void AddPerLayerInputs(ModelBuilder& builder, int width);
std::unique_ptr<Block> PerLayerInput(const ModelBuilder& builder, int layer, int width);

}  // namespace throng::model
