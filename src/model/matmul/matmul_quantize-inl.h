// Rounds activations to 8 bits: per target.

#if defined(THRONG_MODEL_MATMUL_QUANTIZE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef THRONG_MODEL_MATMUL_QUANTIZE_INL_H_
#undef THRONG_MODEL_MATMUL_QUANTIZE_INL_H_
#else
#define THRONG_MODEL_MATMUL_QUANTIZE_INL_H_
#endif

#include "model/matmul/integer_products.h"
#include "model/matmul/matmul_blocks-inl.h"

HWY_BEFORE_NAMESPACE();
namespace throng::model {
namespace HWY_NAMESPACE {

// largest[g] = max |x| of each of `count` groups, at most four; [kLanes] in size.
HWY_INLINE void LargestOfGroups(const float* HWY_RESTRICT x, size_t count, float* HWY_RESTRICT largest) {
  const DF df;
  VF v[4];
#pragma GCC unroll 4
  for (size_t g = 0; g < 4; ++g) {
    v[g] = hn::Zero(df);
    if (g >= count) continue;
#pragma GCC unroll 8
    for (size_t i = 0; i < kGroup; i += kLanes)
      v[g] = hn::Max(v[g], hn::Abs(hn::LoadU(df, x + g * kGroup + i)));
  }
  // Of each 128-bit block of the four, the lanes' largest, in the groups' order; then across blocks.
  const auto pairs = [&](VF a, VF b) HWY_ATTR {
    return hn::Max(hn::InterleaveLower(df, a, b), hn::InterleaveUpper(df, a, b));
  };
  VF all = pairs(pairs(v[0], v[2]), pairs(v[1], v[3]));
  if constexpr (kLanes > 8) all = hn::Max(all, hn::SwapAdjacentBlocks(all));
  if constexpr (kLanes > 4) all = hn::Max(all, hn::ReverseBlocks(df, all));
  hn::Store(all, df, largest);
}

// The sum of 16 codes.
HWY_INLINE int32_t SumOfCodes(const int8_t* codes) {
  const hn::Full128<uint8_t> d8;
  const auto raised = hn::Xor(hn::LoadU(d8, reinterpret_cast<const uint8_t*>(codes)), hn::Set(d8, 0x80));
  const auto sums = hn::SumsOf8(raised);
  return static_cast<int32_t>(hn::ExtractLane(sums, 0) + hn::ExtractLane(sums, 1)) - 16 * 128;
}

// Rounds x to one row of `out`. left: receives what rounding left; may be null.
HWY_INLINE void QuantizeRow(const float* HWY_RESTRICT x, size_t row, QuantizedRows& out, float* left) {
  const DF df;
  const DI di;
  const hn::Rebind<int8_t, DF> d8;
  const size_t end = (row + 1) * out.groups;
  HWY_ALIGN float largest[kLanes];
  for (size_t g = row * out.groups; g < end; ++g, x += kGroup) {
    const size_t in_four = (g - row * out.groups) % 4;
    if (in_four == 0) LargestOfGroups(x, HWY_MIN(4, end - g), largest);
    int8_t* codes = out.codes.data() + g * kGroup;
    const float max = largest[in_four];
    const float scale = max / 127.0f;
    const VF inverse = hn::Set(df, scale > 0.0f ? 127.0f / max : 0.0f);
#pragma GCC unroll 8
    for (size_t i = 0; i < kGroup; i += kLanes) {
      const VI code = hn::NearestInt(hn::Mul(hn::LoadU(df, x + i), inverse));
      // Keeps codes within the range that the products rely on, for any input.
      const VI bounded = hn::Max(hn::Min(code, hn::Set(di, 127)), hn::Set(di, -127));
      hn::StoreU(hn::DemoteTo(d8, bounded), d8, codes + i);
      if (left) {
        const VF rounded = hn::ConvertTo(df, bounded);
        hn::StoreU(hn::NegMulAdd(rounded, hn::Set(df, scale), hn::LoadU(df, x + i)), df, left + i);
      }
    }
    if (left) left += kGroup;
    out.half_sums[2 * g] = SumOfCodes(codes);
    out.half_sums[2 * g + 1] = SumOfCodes(codes + 16);
    out.code_sums[g] = out.half_sums[2 * g] + out.half_sums[2 * g + 1];
    out.scales[g] = scale;
    out.sums[g] = scale * static_cast<float>(out.code_sums[g]);
  }
}

// Copies a row to its place in tiles.
HWY_INLINE void TileRow(const QuantizedRows& x, size_t row, ActivationTile* tiles) {
  tiles += row / kActivationRows * x.groups;
  const size_t at = row % kActivationRows;
  for (size_t g = row * x.groups; g < (row + 1) * x.groups; ++g, ++tiles) {
    std::memcpy(tiles->codes[at], x.codes.data() + g * kGroup, kGroup);
    tiles->scales[at] = x.scales[g];
    tiles->sums[at] = x.sums[g];
    for (size_t half = 0; half < 2; ++half) {
      tiles->half_sums[half][at] = x.scales[g] * static_cast<float>(x.half_sums[2 * g + half]);
    }
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace throng::model
HWY_AFTER_NAMESPACE();

#endif  // THRONG_MODEL_MATMUL_QUANTIZE_INL_H_
