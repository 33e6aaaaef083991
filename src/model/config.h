// A model's architecture as its file describes it, checked and in our terms.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace throng::model {

class GgufFile;

enum class Activation { kSilu, kGeluTanh };

// How the states of a text's tokens, which the last layer leaves after its norm, become the text's embedding:
// their mean, or that of the first or the last token.
enum class Pooling { kMean, kFirst, kLast };

struct ModelConfig {
  std::string name;          // general.name, for people
  std::string architecture;  // "llama", "qwen2", ...
  int context_length;        // tokens that the model was trained for
  int dim;                   // width of the residual stream
  int num_layers;
  int num_heads;
  int num_kv_heads;  // divides num_heads
  int head_dim;
  int ffn_dim;
  int vocab_size;
  float rms_epsilon;

  // Rotary embedding of the first rope_dim elements of each head: angle = position * rope_scale * base^(-2i /
  // rope_dim).
  int rope_dim;
  bool rope_neox;  // pairs (i, i + rope_dim / 2); else (2i, 2i + 1)
  float rope_base;
  float rope_scale;

  Activation activation;
  float embedding_scale;  // 1 for most models
  float attention_scale;  // factor of the scores
  bool qkv_bias;
  bool qk_norm;     // RMSNorm of each head's query and key, before rotation
  bool fused_qkv;   // one tensor holds the rows of q, k and v, another those of gate and up
  bool post_norms;  // RMSNorm of the outputs of attention and feed-forward

  // Windowed layers see only the last `window` tokens, the current one included; 0: all layers see
  // everything. With window_pattern n, every n-th layer sees everything; with 1, none does.
  int window;
  int window_pattern;
  float window_rope_base;  // rope_base of windowed layers; their rope_scale is 1 if window_pattern > 1

  // The number of f32 of each recurrent layer's state, in the layers' order (kv::WithStates).
  std::vector<size_t> state_floats;

  std::optional<Pooling> pooling;  // empty: the model ranks, and makes no embeddings

  bool IsWindowed(int layer) const {
    return window > 0 && (window_pattern <= 1 || (layer + 1) % window_pattern != 0);
  }
  int QueryDim() const { return num_heads * head_dim; }
  int KvDim() const { return num_kv_heads * head_dim; }
};

// Throws kUnsupported for an architecture or scaling that this program does not compute, kCorrupt for numbers
// that fit no model.
ModelConfig ReadConfig(const GgufFile& file);

}  // namespace throng::model
