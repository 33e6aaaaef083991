// What a model's file says about it, as the rest of the program needs it.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "kv/block_layout.h"

namespace throng::model {

// How the states of a text's tokens, which the last layer leaves after its norm, become the text's embedding:
// their mean, or that of the first or the last token.
enum class Pooling { kMean, kFirst, kLast };

struct ModelConfig {
  std::string name;          // general.name, for people
  std::string architecture;  // "llama", "qwen2", ...
  int context_length;        // tokens that the model was trained for
  int dim;                   // width of the residual stream
  int num_layers;
  int vocab_size;
  float norm_epsilon;

  // Of most layers; a block may have others.
  int num_heads;
  int num_kv_heads;  // divides num_heads
  int head_dim;
  int ffn_dim;
  int rope_dim;  // elements of each head that are rotated
  float rope_base;
  float rope_scale;  // positions are multiplied by this
  std::optional<bool>
      long_factors;  // of LongRoPE: whether those for long contexts are used, or the short ones

  // Windowed layers see only the last `window` tokens, the current one included; 0: all layers see
  // everything. With window_pattern n, every n-th layer sees everything; with 1, none does.
  int window;
  int window_pattern;
  float window_rope_base;  // rope_base of windowed layers

  std::vector<kv::LayerShape> cache_layers;  // of the layers that have pages of their own, in order
  std::vector<kv::Reach> cache_reaches;      // of those layers: what tokens see, in any block that reads them

  // The number of f32 of each recurrent layer's state, in the layers' order (kv::WithStates).
  std::vector<size_t> state_floats;

  std::optional<Pooling> pooling;  // empty: the model ranks, and makes no embeddings
};

}  // namespace throng::model
