// The weight of a token in a draw: 2^40 e^(-distance / temperature), as an integer. The same operations as in
// engine/sampling/token_weights.cc, which has Highway's exponential for doubles: with fused additions there,
// the same integers.
#pragma once

#include "device/intrinsics.h"

namespace throng::device {

inline constexpr uint64_t kLargestTokenWeight = uint64_t{1} << 40;

// power: (logit - largest logit) / temperature, at most 0; NaN weighs nothing.
THRONG_DEVICE uint64_t TokenWeight(double power) {
  if (!(power > -28.5)) return 0;  // e^-28.5 * 2^40 rounds to 0
  // e^power = 2^twos e^x with |x| <= ln(2) / 2; x in two steps, as ln(2) has more digits than a double.
  const int twos = static_cast<int>(Fma(power, 1.442695040888963407359924681, -0.5));
  double x = Fma(static_cast<double>(twos), -0.6931471805596629565116018, power);
  x = Fma(static_cast<double>(twos), -0.28235290563031577122588448175e-12, x);
  // (e^x - 1 - x) / x^2, as a tree.
  const double x2 = x * x;
  const double x4 = x2 * x2;
  const double x8 = x4 * x4;
  const double p01 = Fma(0.166666666666666851703837, x, 0.5);
  const double p23 = Fma(0.00833333333331652721664984, x, 0.0416666666666665047591422);
  const double p45 = Fma(0.000198412698960509205564975, x, 0.00138888888889774492207962);
  const double p67 = Fma(2.75572362911928827629423e-6, x, 2.4801587159235472998791e-5);
  const double p89 = Fma(2.51112930892876518610661e-8, x, 2.75573911234900471893338e-7);
  const double high = Fma(x2, 2.08860621107283687536341e-9, p89);
  const double low = Fma(x4, Fma(x2, p67, p45), Fma(x2, p23, p01));
  const double y = Fma(Fma(x8, high, low), x2, x) + 1.0;
  // Rounded where doubles are integers. twos >= -42.
  const double unit = static_cast<double>(uint64_t{1} << (twos + 44)) * 0x1p-4;
  constexpr double kIntegers = 0x1p52;
  return static_cast<uint64_t>(Fma(y, unit, kIntegers) - kIntegers);
}

}  // namespace throng::device
