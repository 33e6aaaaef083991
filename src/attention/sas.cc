#include "attention/sas.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/half.h"

namespace throng::attention {
namespace {

double RoundToHalf(double x) { return HalfToFloat(FloatToHalf(static_cast<float>(x))); }

}  // namespace

SoftmaxKind ParseSoftmax(std::string_view name) {
  if (name == "exact") return SoftmaxKind::kExact;
  if (name == "sas") return SoftmaxKind::kSas;
  throw MakeError(ErrorCode::kInvalid, "unknown softmax \"{}\" (allowed: exact, sas)", name);
}

const char* SoftmaxName(SoftmaxKind kind) { return kind == SoftmaxKind::kSas ? "sas" : "exact"; }

float SasThreshold(int visible_keys) {
  if (visible_keys <= 1024) return 6.0f;
  return std::min(kLargestSasThreshold, static_cast<float>(6.0 + std::log(visible_keys / 1024.0)));
}

double Sas(double x, double threshold) {
  if (x > threshold) return 0.0;
  const double whole = std::floor(x);
  const double f = x - whole;
  return std::exp(-whole) * (((-0.1025 * f + 0.4626) * f - 0.9922) * f + 0.9996);
}

double SasHalf(double x) {
  x = RoundToHalf(x);
  if (x > 6.0) return 0.0;
  const double whole = std::floor(x);
  const double f = x - whole;  // exact
  double e = RoundToHalf(-0.1025);
  for (const double coefficient : {0.4626, -0.9922, 0.9996}) {
    e = RoundToHalf(RoundToHalf(e * f) + RoundToHalf(coefficient));
  }
  return RoundToHalf(RoundToHalf(std::exp(-whole)) * e);
}

}  // namespace throng::attention
