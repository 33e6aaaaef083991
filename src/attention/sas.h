// SAS, the sparse approximation of the softmax's exponential, and the choice between it and the exact one.
//
// For x >= 0 (how far a score lies below the row's maximum), e^-x is 0 beyond a threshold, and otherwise the
// table entry of floor(x) times a cubic of the fraction. Kernels compute it in f32 (softmax-inl.h); the forms
// here specify it.
//
// The published threshold is 6. The error beyond it is small for one key but grows with the number of keys,
// so rows that see n > 1024 keys use 6 + ln(n / 1024). n counts only the row's own visible keys, so the
// result does not depend on other rows.
//
// When a row's running maximum rises from m to m', its sum and output so far are multiplied by SAS(m' - m).
// If m' = m, the factor is exactly 1: the polynomial's 0.9996 at 0 would shrink them with every page.
#pragma once

#include <string_view>

#include "kv/softmax_kind.h"

namespace throng::attention {

using kv::SoftmaxKind;

// "exact" or "sas"; anything else throws kInvalid.
SoftmaxKind ParseSoftmax(std::string_view name);
const char* SoftmaxName(SoftmaxKind kind);

// The cubic for e^-f, f in [0, 1], from the third power down.
inline constexpr float kSasCubic[4] = {-0.1025f, 0.4626f, -0.9922f, 0.9996f};
// The table ends here. No row is that long: 6 + ln(n / 1024) is 15.9 at 20 million keys.
inline constexpr float kLargestSasThreshold = 15.9f;

float SasThreshold(int visible_keys);

// In double precision, with an exact table.
double Sas(double x, double threshold);
// In 16-bit floats: rounds x before comparing it, and every product and sum. The table ends at the threshold,
// 6.
double SasHalf(double x);

}  // namespace throng::attention
