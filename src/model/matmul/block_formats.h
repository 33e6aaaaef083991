// The block formats of GGUF tensors in scalar code: the specification of every kernel that multiplies them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "model/gguf/gguf.h"

namespace throng::model {

// row: count elements, whole blocks; BlockSizeOf(type) is known.
void DequantizeRow(TensorType type, const uint8_t* row, size_t count, float* out);

// Q8_0 blocks of count (a multiple of 32) elements: scale = max |x| / 127.
void QuantizeRowQ8_0(const float* x, size_t count, uint8_t* row);

// The 6-bit scale and minimum of sub-block i < 8 in the 12 packed bytes of Q4_K and Q5_K.
struct ScaleMin {
  uint8_t scale;
  uint8_t min;
};
ScaleMin UnpackScaleMin(const uint8_t packed[12], int i);

}  // namespace throng::model
