#include "model/blocks/norm.h"

#include <algorithm>

#include "model/row_ops.h"

namespace throng::model {

void Norm::Apply(const float* x, size_t n, float* out) const {
  const float* weights = weight.empty() ? nullptr : weight.data();
  switch (kind) {
    case NormKind::kNone:
      if (out != x) std::copy_n(x, n, out);
      return;
    case NormKind::kRms:
      return RmsNorm(x, weights, epsilon, n, out);
    case NormKind::kLayer:
      return LayerNorm(x, weights, bias.empty() ? nullptr : bias.data(), epsilon, n, out);
  }
}

}  // namespace throng::model
