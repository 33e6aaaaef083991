// Floats of 8 bits: a sign, 4 bits of exponent with offset 7, 3 bits of mantissa (OCP FP8 E4M3, without
// infinities).
#pragma once

#include <cstdint>

namespace throng::kv {

struct E4m3 {
  uint8_t bits;
};

inline constexpr float kLargestE4m3 = 448.0f;

}  // namespace throng::kv
