// The specification of matmul.h, in scalar double precision.
#include <algorithm>
#include <cmath>

#include "base/half.h"
#include "model/matmul/block_formats.h"
#include "model/matmul/matmul.h"

namespace throng::model {

void MatMulReference(const float* x, size_t rows, size_t x_stride, bool exact, const Product& product) {
  const size_t cols = product.w.cols;
  std::vector<double> rounded(rows * cols);
  for (size_t r = 0; r < rows; ++r) {
    const float* row = x + r * x_stride;
    for (size_t k = 0; k < cols; ++k) {
      double value = row[k];
      if (!exact && product.w.type == TensorType::kBF16) {
        value = Bfloat16ToFloat(FloatToBfloat16(row[k]));
      } else if (!exact && IsQuantized(product.w.type)) {
        const size_t group = k / 32 * 32;
        float max = 0.0f;
        for (size_t i = group; i < group + 32; ++i) max = std::max(max, std::abs(row[i]));
        value = max > 0.0f ? std::nearbyint(row[k] * (127.0f / max)) * (max / 127.0f) : 0.0;
      }
      rounded[r * cols + k] = value;
    }
  }
  std::vector<float> weights(cols);
  for (size_t o = 0; o < product.w.rows; ++o) {
    DequantizeRow(product.w.type, product.w.data + o * product.w.RowBytes(), cols, weights.data());
    for (size_t r = 0; r < rows; ++r) {
      double sum = 0;
      for (size_t k = 0; k < cols; ++k) sum += rounded[r * cols + k] * weights[k];
      if (product.w.scales != nullptr) sum *= product.w.ScaleOf(o);
      product.y[r * product.y_stride + o] = static_cast<float>(sum);
    }
  }
}

}  // namespace throng::model
