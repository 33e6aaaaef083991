#include "model/blocks/low_rank_block.h"

#include "model/row_ops.h"

namespace throng::model {
namespace {

struct LowRankRows {
  Rows left;  // [rows, rank]
};

}  // namespace

LowRankBlock::LowRankBlock(Matrix left, Matrix right, Norm norm)
    : left_(left), right_(right), norm_(std::move(norm)) {}

void LowRankBlock::ForEachMatrix(const std::function<void(Matrix&)>& visit) {
  visit(left_);
  visit(right_);
}

void LowRankBlock::Finish(Step& step, const Rows& in, Rows& out) const {
  Rows& left = step.GetBuffers().Of<LowRankRows>().left;
  left.Resize(step.NumRows(), left_.rows);
  const Product first{left_, left[0], left_.rows};
  step.Multiply(in, {&first, 1});
  const Product second{right_, out[0], out.Width()};
  step.Multiply(left, {&second, 1});
  const size_t dim = out.Width();
  step.ForRows(dim / 4, [&](size_t begin, size_t count) {
    for (size_t r = begin; r < begin + count; ++r) {
      norm_.Apply(out[r], dim, out[r]);
      AddTo(out[r], in[r], dim);
    }
  });
}

}  // namespace throng::model
