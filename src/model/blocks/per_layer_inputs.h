// Inputs of tokens that each layer reads a part of its own of (Gemma 3n and 4).
#pragma once

#include "model/blocks/layer.h"

namespace throng::model {

// Before the other layers: computes the inputs of all of them from the embeddings in the stream, and from a
// second table of embeddings. For each layer, with n = width and d = the stream's width:
// (norm(projection(embedding) / sqrt(d)) + sqrt(n) * table[token]) / sqrt(2).
class PerLayerInputs final : public Layer {
 public:
  struct Weights {
    Matrix table;       // [vocab, layers * width]
    Matrix projection;  // [layers * width, dim]
    Norm norm;          // of [width]
  };

  PerLayerInputs(Weights weights, int width);
  void Run(Step& step, bool last) const override;
  void ForEachBlock(const std::function<void(Block&, const Norm&)>&) override {}
  void ForEachMatrix(const std::function<void(Matrix&)>& visit) override { visit(weights_.projection); }

 private:
  Weights weights_;
  size_t width_;
};

// projection(gelu(gate(x)) * input of the layer)
class PerLayerInputBlock final : public Block {
 public:
  // layer: whose inputs are read.  gate: [width, dim]; projection: [dim, width]
  PerLayerInputBlock(int layer, Matrix gate, Matrix projection);
  void Finish(Step& step, const Rows& in, Rows& out) const override;
  void ForEachMatrix(const std::function<void(Matrix&)>& visit) override;

 private:
  size_t layer_;
  Matrix gate_, projection_;
};

}  // namespace throng::model
