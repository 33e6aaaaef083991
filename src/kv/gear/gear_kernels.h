// Score and Mix on pages of gear.h.
#pragma once

#include "kv/gear/gear_layout.h"

namespace throng::kv {

// out[r, lane] = sum over rows k of weights[r, k] * element (k, lane), plus rescale[r] * out[r, lane] where
// rescale is not null. weights: [num_rows, weight_stride], 32-byte aligned or not; out: [num_rows, lanes].
// Each row's result is independent of the others.
void ApplyGear(const GearLayout& layout, const uint8_t* encoded, const float* weights, size_t weight_stride,
               int num_rows, const float* rescale, float* out);

}  // namespace throng::kv
