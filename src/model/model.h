// A loaded model: what a forward pass computes with.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/digest.h"
#include "model/blocks/attention_block.h"
#include "model/blocks/layer.h"
#include "model/blocks/norm.h"
#include "model/config.h"
#include "model/matmul/matmul.h"
#include "model/matmul/repack.h"
#include "model/rope.h"

namespace throng {
class ThreadPool;
}

namespace throng::model {

class GgufFile;
class Refusals;

struct Model {
  Model() = default;
  Model(const Model&) = delete;  // blocks point to ropes

  ModelConfig config;
  Matrix embedding;  // [vocab, dim]
  float embedding_scale = 1.0f;
  std::vector<float> positions;  // [context_length, dim], added to embeddings; empty: none
  std::vector<std::unique_ptr<Rope>> ropes;
  // Those of the file, and where the architecture says so others before and after them.
  std::vector<std::unique_ptr<Layer>> layers;
  size_t last_filling = 0;  // index of the last layer that fills a cache
  Norm output_norm;
  Matrix output;                   // [vocab, dim]; the embedding if they are tied
  std::vector<float> output_bias;  // [vocab]; empty: none
  float logit_scale = 1.0f;
  float logit_cap = 0.0f;                // c tanh(logit / c) in place of a logit; 0: none
  size_t bytes = 0;                      // of all matrices that a token reads
  std::vector<RepackedMatrix> repacked;  // what matrices point to, once Repack has run
  // Keys that were read and that `config` does not hold.
  std::vector<std::string> other_keys;

  // All matrices that a token reads, in a fixed order.
  void ForEachMatrix(const std::function<void(Matrix&)>& visit);
  // Attention blocks with pages of their own, by cache layer; null for layers of another kind.
  struct CacheLayer {
    const AttentionBlock* block = nullptr;
    const Norm* input = nullptr;
  };
  std::vector<CacheLayer> CacheLayers();
};

// Throws kCorrupt for a missing tensor, a wrong shape or numbers that fit no model; kUnsupported for what is
// not computed.
// context: as in LoadOptions.
std::unique_ptr<Model> BuildModel(const GgufFile& file, int context = 0);
// The same with refusals, which may be gathered; then what is missing throws no more, but a number that other
// sizes depend on still does. If there are any, or the file was opened for its header, nothing can be
// computed with the model.
std::unique_ptr<Model> BuildModel(const GgufFile& file, Refusals& refusals, int context = 0);

// Copies the matrices that are multiplied (repack.h), as far as memory allows, and logs what it did; the
// others stay mapped. allocate: for tests.
void Repack(Model& model, ThreadPool& pool, const AllocateFn& allocate = AllocateHuge);

// Bytes of the weights that a forward pass reads: all but tables of embeddings that are not the output matrix
// too.
size_t WeightBytes(const GgufFile& file);

// Digest of everything that the logits depend on: the config, what else was read, and all tensor data.
Digest DigestOfModel(const GgufFile& file, const Model& model);

}  // namespace throng::model
