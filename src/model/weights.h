// The tensors of a model, found by name, checked against the config, and typed. Matrices stay where the file
// is mapped, unless they are repacked.
#pragma once

#include <vector>

#include "base/digest.h"
#include "model/config.h"
#include "model/gguf/gguf.h"
#include "model/matmul/matmul.h"
#include "model/matmul/repack.h"

namespace throng {
class ThreadPool;
}

namespace throng::model {

struct LayerWeights {
  std::vector<float> attention_norm;  // [dim]
  Matrix q, k, v;                     // [query_dim or kv_dim, dim]
  std::vector<float> q_bias, k_bias, v_bias;
  std::vector<float> q_norm, k_norm;  // [head_dim]
  Matrix output;                      // [dim, query_dim]
  std::vector<float> post_attention_norm;
  std::vector<float> ffn_norm;
  Matrix gate, up;  // [ffn_dim, dim]
  Matrix down;      // [dim, ffn_dim]
  std::vector<float> post_ffn_norm;
};

struct Weights {
  Matrix embedding;  // [vocab, dim]
  Matrix output;     // [vocab, dim]; the embedding if they are tied
  std::vector<float> output_norm;
  std::vector<float> rope_factors;  // [rope_dim / 2]: each frequency is divided by its factor; empty: none
  std::vector<LayerWeights> layers;
  size_t bytes;                          // of all matrices that a token reads
  std::vector<RepackedMatrix> repacked;  // what matrices point to, once Repack has run
};

// Throws kCorrupt for a missing tensor or a wrong shape, kUnsupported for a type that cannot be multiplied.
Weights ReadWeights(const GgufFile& file, const ModelConfig& config);

// Copies the matrices that are multiplied (repack.h), as far as memory allows, and logs what it did; the
// others stay mapped. allocate: for tests.
void Repack(Weights& weights, ThreadPool& pool, const AllocateFn& allocate = AllocateHuge);

// Bytes of the weights that a forward pass reads: all but an embedding that is not the output matrix too.
size_t WeightBytes(const GgufFile& file);

// Digest of everything that the logits depend on: the config and all tensor data.
Digest DigestOfModel(const GgufFile& file, const ModelConfig& config);

}  // namespace throng::model
