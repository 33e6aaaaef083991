// A learned, low-rank residual beside attention (LAuReL, arXiv 2411.07501, section 3.2).
#pragma once

#include "model/blocks/block.h"
#include "model/blocks/norm.h"

namespace throng::model {

// x + norm(right(left(x)))
class LowRankBlock final : public Block {
 public:
  // left: [rank, dim]; right: [dim, rank]
  LowRankBlock(Matrix left, Matrix right, Norm norm);
  void Finish(Step& step, const Rows& in, Rows& out) const override;
  void ForEachMatrix(const std::function<void(Matrix&)>& visit) override;

 private:
  Matrix left_, right_;
  Norm norm_;
};

}  // namespace throng::model
