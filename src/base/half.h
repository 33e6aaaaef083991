// Conversions between float and the 16-bit formats of files and pages. Vectorised kernels use Highway's own.
#pragma once

#include <cstdint>

namespace throng {

// IEEE binary16, round to nearest even; overflow becomes infinity, NaN stays NaN.
uint16_t FloatToHalf(float value);
float HalfToFloat(uint16_t bits);

// bfloat16, round to nearest even.
uint16_t FloatToBfloat16(float value);
float Bfloat16ToFloat(uint16_t bits);

}  // namespace throng
