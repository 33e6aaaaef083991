#include "kv/float/e4m3.h"

#include <cmath>

namespace throng::kv {

E4m3 FloatToE4m3(float x) {
  const uint8_t sign = std::signbit(x) ? 0x80 : 0;
  const float size = std::abs(x);
  int exponent;
  std::frexp(size, &exponent);  // size is in [2^(exponent - 1), 2^exponent)
  // Steps of 2^-9 below 2^-6, where numbers are subnormal; above, 8 to each power of two.
  const int place = size < 0x1p-6f ? -9 : exponent - 4;
  const auto steps = static_cast<int>(std::nearbyint(std::ldexp(size, -place)));
  // Without the leading bit, and with it carried into the exponent if rounding reached the next power.
  const int bits = size < 0x1p-6f ? steps : (exponent + 6) * 8 + steps - 8;
  return {static_cast<uint8_t>(sign | bits)};
}

}  // namespace throng::kv
