#include "model/quantize/quantize_row.h"

#include <cstring>
#include <span>

#include "base/check.h"
#include "base/half.h"
#include "model/matmul/block_formats.h"
#include "model/quantize/fit.h"
#include "model/quantize/super_blocks.h"

namespace throng::model {
namespace {

// Scale, and 16 bytes of codes from -8 to 7 as 0 to 15: the low nibbles are the first half.
void QuantizeQ4(const float* x, uint8_t* block) {
  constexpr WholeCodes kCodes{-8.0f, 7.0f};
  const uint16_t half = FloatToHalf(FitScale(std::span(x, 32), kCodes));
  std::memcpy(block, &half, sizeof half);
  const float inverse = Inverse(HalfToFloat(half));
  const auto code = [&](size_t i) { return static_cast<int>(kCodes(x[i] * inverse)) + 8; };
  for (size_t i = 0; i < 16; ++i) block[2 + i] = static_cast<uint8_t>(code(i) | code(i + 16) << 4);
}

}  // namespace

void QuantizeRow(TensorType type, const float* x, size_t count, uint8_t* row) {
  const BlockSize block = *BlockSizeOf(type);
  THRONG_CHECK(count % block.elements == 0);
  if (type == TensorType::kQ8_0) return QuantizeRowQ8_0(x, count, row);
  if (type == TensorType::kF32) {
    std::memcpy(row, x, count * sizeof(float));
    return;
  }
  for (size_t i = 0; i < count; i += block.elements, row += block.bytes) {
    switch (type) {
      case TensorType::kF16:
      case TensorType::kBF16: {
        const uint16_t bits = type == TensorType::kF16 ? FloatToHalf(x[i]) : FloatToBfloat16(x[i]);
        std::memcpy(row, &bits, sizeof bits);
        break;
      }
      case TensorType::kQ4_0:
        QuantizeQ4(x + i, row);
        break;
      case TensorType::kQ4_K:
        QuantizeQ4K(x + i, row);
        break;
      case TensorType::kQ6_K:
        QuantizeQ6K(x + i, row);
        break;
      case TensorType::kIQ4_XS:
        QuantizeIq4Xs(x + i, row);
        break;
      default:
        THRONG_CHECK(false);
    }
  }
}

}  // namespace throng::model
