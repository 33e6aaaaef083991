#include "model/blocks/norm.h"

#include <algorithm>

#include "model/blocks/step.h"
#include "model/row_ops.h"

namespace throng::model {

void Norm::Apply(const float* x, size_t n, float* out, size_t row) const {
  const auto of_row = [&](const std::vector<float>& values) {
    return values.empty() ? nullptr : values.data() + (values.size() == n ? 0 : row * n);
  };
  const float* weights = of_row(weight);
  switch (kind) {
    case NormKind::kNone:
      if (out != x) std::copy_n(x, n, out);
      return;
    case NormKind::kRms:
      return RmsNorm(x, weights, epsilon, n, out);
    case NormKind::kLayer:
      return LayerNorm(x, weights, of_row(bias), epsilon, n, out);
  }
}

const Rows& Normed(const Step& step, const Norm& norm, const Rows& in, Rows& out) {
  if (!norm) return in;
  const size_t dim = in.Width();
  out.Resize(step.NumRows(), dim);
  step.ForRows(dim / 4, [&](size_t first, size_t count) {
    for (size_t r = first; r < first + count; ++r) norm.Apply(in[r], dim, out[r]);
  });
  return out;
}

}  // namespace throng::model
