#include "model/blocks/layer.h"

#include <algorithm>

#include "base/check.h"
#include "model/row_ops.h"

namespace throng::model {
namespace {

bool Mixes(const Residual& residual) {
  return std::ranges::any_of(residual.branches, [](const Branch& b) { return b.block->MixesTokens(); });
}

// Rows of branches that run beside others.
struct BranchRows {
  Rows normed;
};

// The part of the blocks that all rows need.
void MixTokens(Step& step, const Residual& residual, const Rows& in) {
  for (const Branch& branch : residual.branches) {
    if (!branch.block->MixesTokens()) continue;
    branch.block->MixTokens(step, Normed(step, branch.norm, in, step.GetBuffers().Of<BranchRows>().normed));
  }
}

void Run(Step& step, const Residual& residual, bool only_last) {
  Buffers& buffers = step.GetBuffers();
  const size_t dim = buffers.stream.Width();
  const Rows* in = &Normed(step, residual.norm, buffers.stream, buffers.normed);
  step.SetOnlyLast(only_last);
  MixTokens(step, residual, *in);
  step.SetOnlyLast(false);
  if (only_last) {
    const bool others =
        std::ranges::any_of(residual.branches, [](const Branch& b) { return !b.block->MixesTokens(); });
    if (others && residual.norm) step.Carry(buffers.normed);
    step.KeepLast();
    if (step.NumRows() == 0) return;
  }
  buffers.added.Resize(step.NumRows(), dim);
  for (const Branch& branch : residual.branches) {
    const bool first = &branch == residual.branches.data();
    Rows& out = first ? buffers.added : buffers.beside;
    out.Resize(step.NumRows(), dim);
    const Rows& of_branch =
        branch.block->MixesTokens() ? *in : Normed(step, branch.norm, *in, buffers.Of<BranchRows>().normed);
    branch.block->Finish(step, of_branch, out);
    if (first && !branch.post_norm) continue;
    step.ForRows(dim / 4, [&](size_t begin, size_t count) {
      for (size_t r = begin; r < begin + count; ++r) {
        branch.post_norm.Apply(out[r], dim, out[r]);
        if (!first) AddTo(buffers.added[r], out[r], dim);
      }
    });
  }
  step.ForRows(dim / 4, [&](size_t begin, size_t count) {
    for (size_t r = begin; r < begin + count; ++r) {
      float* y = buffers.added[r];
      residual.post_norm.Apply(y, dim, y);
      if (residual.scale != 1.0f) Scale(y, residual.scale, dim);
      AddTo(buffers.stream[r], y, dim);
    }
  });
}

}  // namespace

void Layer::ForEachMatrix(const std::function<void(Matrix&)>& visit) {
  ForEachBlock([&](Block& block, const Norm&) { block.ForEachMatrix(visit); });
}

ResidualLayer::ResidualLayer(std::vector<Residual> residuals, float scale)
    : residuals_(std::move(residuals)), scale_(scale), last_mixing_(0) {
  THRONG_CHECK(!residuals_.empty());
  for (size_t i = 0; i < residuals_.size(); ++i) {
    if (Mixes(residuals_[i])) last_mixing_ = i;
  }
}

void ResidualLayer::Run(Step& step, bool last) const {
  for (size_t i = 0; i < residuals_.size(); ++i) {
    model::Run(step, residuals_[i], last && i == last_mixing_);
    if (step.NumRows() == 0) return;
  }
  if (scale_ == 1.0f) return;
  Rows& stream = step.GetBuffers().stream;
  step.ForRows(stream.Width() / 8, [&](size_t first, size_t count) {
    for (size_t r = first; r < first + count; ++r) Scale(stream[r], scale_, stream.Width());
  });
}

void ResidualLayer::ForEachBlock(const std::function<void(Block&, const Norm&)>& visit) {
  for (Residual& residual : residuals_) {
    for (Branch& branch : residual.branches) {
      visit(*branch.block, branch.norm ? branch.norm : residual.norm);
    }
  }
}

}  // namespace throng::model
