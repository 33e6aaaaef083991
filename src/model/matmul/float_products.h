// Inside matmul: what products with weights in F32, F16 and BF16 take.
#pragma once

#include <cstddef>
#include <cstdint>

namespace throng::model {

struct FloatActivations {
  const float* exact;      // [rows, cols]
  size_t stride;           // floats from row to row
  const uint8_t* rounded;  // to BF16, [rows, cols], as a target's kernels want them; null: not needed
  size_t rounded_stride;   // numbers from row to row
};

}  // namespace throng::model
