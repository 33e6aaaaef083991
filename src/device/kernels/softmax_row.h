// The online softmax of a row's scores of a page, spread over four lanes as page_row.h says.
#pragma once

#include "device/intrinsics.h"
#include "device/kernels/page_row.h"

namespace throng::device {

constexpr float kHidden = -__builtin_huge_valf();

THRONG_DEVICE float Exponential(float x) { return Exp2(x * 1.44269504f); }

// The state of a row, the same in its four lanes but for `sum`, which each has of its tokens.
template <int kDim>
struct OutputState {
  float max = kHidden;
  float sum = 0.0f;
  OutputRow<kDim> out = {};
};

// Tokens of the page before `begin` and from `end` on.
THRONG_DEVICE void Hide(int begin, int end, PageRow& scores) {
  if (begin <= 0 && end >= kPageTokens) return;
  THRONG_UNROLL
  for (int e = 0; e < 16; ++e) {
    const int token = TokenOf(e / 8, e / 2 % 4, e % 2);
    if (token < begin || token >= end) scores[e / 8][e / 2 % 4][e % 2] = kHidden;
  }
}

struct SoftmaxStep {
  float top;      // the row's largest probability on this page
  float rescale;  // of its output so far
};

// e^-x of x >= 0, two at a time.
struct ExactSoftmax {
  static constexpr bool kFalls = true;  // larger scores have larger probabilities
  THRONG_DEVICE void Pair(float x0, float x1, float& p0, float& p1) const {
    p0 = Exponential(-x0);
    p1 = Exponential(-x1);
  }
};

// The same as SAS in f16 (SasHalf of attention/sas.h): products and sums are rounded one by one.
struct SasSoftmax {
  static constexpr bool kFalls = false;
  static constexpr int kPowers = 16;  // beyond the largest threshold
  const uint16_t* powers;             // e^-k in f16, in shared memory
  float threshold;                    // above which e^-x is 0

  // e^-k in f16, for the table.
  static THRONG_DEVICE uint16_t Power(int k) { return FloatToHalfBits(Exponential(-static_cast<float>(k))); }

  THRONG_DEVICE void Pair(float x0, float x1, float& p0, float& p1) const {
    constexpr uint32_t kCubic[4] = {0xae8fae8fu, 0x37673767u, 0xbbf0bbf0u, 0x3bff3bffu};
    float f0;
    float f1;
    uint32_t power = 0;
    const bool vanishes0 = Reduce(x0, f0, power, 0);
    const bool vanishes1 = Reduce(x1, f1, power, 16);
    const uint32_t f = FloatToHalfBits(f0) | static_cast<uint32_t>(FloatToHalfBits(f1)) << 16;  // exact
    uint32_t e = kCubic[0];
    THRONG_UNROLL
    for (int i = 1; i < 4; ++i) e = AddHalves(MultiplyHalves(e, f), kCubic[i]);
    e = MultiplyHalves(power, e);
    p0 = vanishes0 ? 0.0f : HalfBitsToFloat(static_cast<uint16_t>(e));
    p1 = vanishes1 ? 0.0f : HalfBitsToFloat(static_cast<uint16_t>(e >> 16));
  }

 private:
  // x, rounded to f16, as a whole number, whose power goes to `shift` of a pair, and a fraction. True if e^-x
  // is 0.
  THRONG_DEVICE bool Reduce(float x, float& fraction, uint32_t& power, int shift) const {
    x = HalfBitsToFloat(FloatToHalfBits(x));
    const bool vanishes = !(x >= 0.0f && x <= threshold);  // scores that are no numbers too
    if (vanishes) x = 0.0f;
    const int whole = static_cast<int>(x);
    fraction = x - static_cast<float>(whole);
    power |= static_cast<uint32_t>(powers[whole]) << shift;
    return vanishes;
  }
};

// Turns scores into probabilities relative to the row's running maximum.
template <typename Kind, int kDim>
THRONG_DEVICE SoftmaxStep Softmax(const Kind& kind, PageRow& scores, OutputState<kDim>& row) {
  float page_max = kHidden;
  THRONG_UNROLL
  for (int e = 0; e < 16; ++e) page_max = Max(page_max, scores[e / 8][e / 2 % 4][e % 2]);
  page_max = RowMax(page_max);
  const float max = Max(row.max, page_max);
  // Where a row sees nothing yet, all of it is 0. Its lanes go on, because the warp combines values below.
  const float base = max == kHidden ? 0.0f : max;
  float rescale;
  float top;
  kind.Pair(base - row.max, base - page_max, rescale, top);
  if (row.max == max) rescale = 1.0f;
  float sum = 0.0f;
  THRONG_UNROLL
  for (int e = 0; e < 16; e += 2) {
    float(&pair)[2] = scores[e / 8][e / 2 % 4];
    kind.Pair(base - pair[0], base - pair[1], pair[0], pair[1]);
    sum += pair[0] + pair[1];
  }
  row.sum = Fma(row.sum, rescale, sum);
  row.max = max;
  if constexpr (!Kind::kFalls) {  // then the largest score need not have the largest probability
    top = 0.0f;
    THRONG_UNROLL
    for (int e = 0; e < 16; ++e) top = Max(top, scores[e / 8][e / 2 % 4][e % 2]);
    top = RowMax(top);
  }
  return {top, rescale};
}

// Which softmax a kernel has, 1 for SAS, and what its block shares for it.
template <int kSas>
struct SoftmaxOfKernel {
  struct Shared {};
  static THRONG_DEVICE void Prepare(Shared&) {}
  static THRONG_DEVICE ExactSoftmax Of(const Shared&, float) { return {}; }
};
template <>
struct SoftmaxOfKernel<1> {
  struct Shared {
    uint16_t powers[SasSoftmax::kPowers];
  };
  // Before a barrier.
  static THRONG_DEVICE void Prepare(Shared& shared) {
    if (ThreadIndex() < SasSoftmax::kPowers) shared.powers[ThreadIndex()] = SasSoftmax::Power(ThreadIndex());
  }
  static THRONG_DEVICE SasSoftmax Of(const Shared& shared, float threshold) {
    return {shared.powers, threshold};
  }
};

// How what a row has of some keys and of a further part of them become one. All kernels merge in one order
// (decode.h), so that a row has the same bits in each.
struct MergeStep {
  float max;
  float before, part;  // factors

  THRONG_DEVICE float Of(float value_before, float value_of_part) const {
    return Fma(value_of_part, part, value_before * before);
  }
};
template <typename Kind>
THRONG_DEVICE MergeStep Merge(const Kind& kind, float max, float part_max) {
  MergeStep step{.max = Max(max, part_max), .before = 1.0f, .part = 1.0f};
  float before;
  float part;
  kind.Pair(step.max - max, step.max - part_max, before, part);
  if (max != step.max) step.before = before;
  if (part_max != step.max) step.part = part;
  return step;
}

}  // namespace throng::device
