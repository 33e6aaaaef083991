// Alternating updates (AltUp, arXiv 2301.13310, as Gemma 3n has it): tokens have several streams; each layer
// predicts all of them from all of them, computes with the first, the active one, and corrects all.
#pragma once

#include <memory>
#include <vector>

#include "model/blocks/layer.h"

namespace throng::model {

// Before the layers: the first stream is the embedding; each other one is a projection of it that is made as
// long as it.
class AltUpSplit final : public Layer {
 public:
  // projections: of all streams but the first, one after the other: [(streams - 1) * dim, dim]
  explicit AltUpSplit(Matrix projections) : projections_(projections) {}
  void Run(Step& step, bool last) const override;
  void ForEachBlock(const std::function<void(Block&, const Norm&)>&) override {}
  void ForEachMatrix(const std::function<void(Matrix&)>& visit) override { visit(projections_); }

 private:
  Matrix projections_;
};

// After the layers: the mean of the first stream and of projections of the others that are made as long as
// it.
class AltUpMerge final : public Layer {
 public:
  explicit AltUpMerge(Matrix projections) : projections_(projections) {}  // as those of AltUpSplit
  void Run(Step& step, bool last) const override;
  void ForEachBlock(const std::function<void(Block&, const Norm&)>&) override {}
  void ForEachMatrix(const std::function<void(Matrix&)>& visit) override { visit(projections_); }

 private:
  Matrix projections_;
};

// With m(x) = tanh(router(router_norm(x))), streams s, predictions p and what `layers` make of p[0], y:
// p[i] = s[i] + sum over j of (predict m(s[0]))[i, j] s[j];
// s[i] = p[i] + (1 + (correct m(y))[i]) (y - p[0]);
// then input_norm(input(s[0] * input_scale)) is added to all streams but the first.
class AltUpLayer final : public Layer {
 public:
  struct Weights {
    Norm router_norm;            // of [dim]
    Matrix router;               // [streams, dim]
    std::vector<float> predict;  // [streams * streams, streams]
    std::vector<float> correct;  // [streams, streams]
    std::unique_ptr<Block> input;
    std::vector<float> input_scale;  // [dim]
    Norm input_norm;
  };

  // Of `layers`, only the first may fill a cache.
  AltUpLayer(std::vector<std::unique_ptr<Layer>> layers, Weights weights);
  void Run(Step& step, bool last) const override;
  void ForEachBlock(const std::function<void(Block&, const Norm&)>& visit) override;
  void ForEachMatrix(const std::function<void(Matrix&)>& visit) override;

 private:
  size_t NumStreams() const { return weights_.router.rows; }
  void FindModalities(Step& step) const;
  void Predict(Step& step) const;
  void Correct(Step& step) const;
  void AddInput(Step& step) const;

  std::vector<std::unique_ptr<Layer>> layers_;
  Weights weights_;
  Norm no_norm_;
};

}  // namespace throng::model
