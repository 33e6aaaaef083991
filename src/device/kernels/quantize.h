// Rounding to integers as the codecs of kv do it.
#pragma once

#include "device/intrinsics.h"

namespace throng::device {

// round(x / scale) in [-range, range], ties to even, as if the quotient were exact: what is left of x tells
// whether the rounded quotient is the nearest integer. `scale` > 0.
THRONG_DEVICE int QuantizeExactly(float x, float scale, int range) {
  int code =
      static_cast<int>(Round(Max(Min(x / scale, static_cast<float>(range)), static_cast<float>(-range))));
  const float left = Fma(-static_cast<float>(code), scale, x);  // exact: its bits are bits of x and scale
  const float twice = 2.0f * Abs(left);
  const int away = left > 0.0f ? 1 : -1;
  if (twice > scale || (twice == scale && code % 2 != 0)) code += away;
  return code < -range ? -range : code > range ? range : code;
}

// A scale, or the largest element of a row, below this counts as 0 (kv/finite.h).
inline constexpr float kLeastScale = 1e-30f;

// NaN counts as 0, and values too large for f16 as its largest one (kv/finite.h).
THRONG_DEVICE float Finite(float x) { return x == x ? Max(Min(x, 65504.0f), -65504.0f) : 0.0f; }

}  // namespace throng::device
