// The scales and minimums of blocks of several groups, for all rows at once: per target. Minimums are
// negated, as kernels add them.

#if defined(THRONG_MODEL_MATMUL_SCALES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef THRONG_MODEL_MATMUL_SCALES_INL_H_
#undef THRONG_MODEL_MATMUL_SCALES_INL_H_
#else
#define THRONG_MODEL_MATMUL_SCALES_INL_H_
#endif

#include "model/matmul/matmul_codes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace throng::model {
namespace HWY_NAMESPACE {

// Numbers of 4 bits of exponent and 3 of mantissa.
HWY_INLINE VF E4M3(VU bytes) {
  const DU d;
  const VF value = HalvesOf(hn::ShiftLeft<7>(hn::And(bytes, hn::Set(d, 0x7f))));
  const auto is_nan = hn::RebindMask(DF(), hn::Eq(bytes, hn::Set(d, 0x7f)));
  return hn::IfThenZeroElse(is_nan, hn::Mul(value, hn::Set(DF(), 256.0f)));
}

// Scales and minimums of Q4_K and Q5_K: block_formats.h UnpackScaleMin, for all rows at once. The minimum is
// negated, as the kernel adds it.
template <class Blocks>
HWY_INLINE void UnpackScaleMins(const Blocks& blocks, const Packed& out) {
  const DU d;
  const DF df;
  const Words head = LoadWords(blocks, 0);
  const VF scale = HalvesOf(head.w[0]);
  const VF min = hn::Neg(HalvesOf(hn::ShiftRight<16>(head.w[0])));
  const VU six = hn::Set(d, 0x3f3f3f3f);
  const VU two = hn::Set(d, 0x03030303);
  VU scales[2], mins[2];
  scales[0] = hn::And(head.w[1], six);
  mins[0] = hn::And(head.w[2], six);
  scales[1] = hn::Or(LowNibbles(head.w[3]), hn::ShiftLeft<4>(hn::And(hn::ShiftRight<6>(head.w[1]), two)));
  mins[1] = hn::Or(HighNibbles(head.w[3]), hn::ShiftLeft<4>(hn::And(hn::ShiftRight<6>(head.w[2]), two)));
  const VU byte = hn::Set(d, 0xff);
#pragma GCC unroll 8
  for (size_t g = 0; g < 8; ++g) {
    hn::Store(hn::Mul(scale, FloatsOf(hn::And(scales[g / 4], byte))), df, out.scales + g * kLanes);
    hn::Store(hn::Mul(min, FloatsOf(hn::And(mins[g / 4], byte))), df, out.mins + g * kLanes);
    scales[g / 4] = hn::ShiftRight<8>(scales[g / 4]);
    mins[g / 4] = hn::ShiftRight<8>(mins[g / 4]);
  }
}

template <class Blocks>
HWY_INLINE void UnpackQ6Scales(const Blocks& blocks, const Packed& out) {
  const DI di;
  const DF df;
  const VF scale = LoadHalves(blocks, 208);
  Words scales = LoadWords(blocks, 192);
#pragma GCC unroll 16
  for (size_t i = 0; i < 16; ++i) {
    VU& bytes = scales.w[i / 4];
    const VI signed_byte = hn::ShiftRight<24>(hn::BitCast(di, hn::ShiftLeft<24>(bytes)));
    hn::Store(hn::Mul(scale, hn::ConvertTo(df, signed_byte)), df, out.scales + i * kLanes);
    bytes = hn::ShiftRight<8>(bytes);
  }
}

// Q3_K: k_formats.cc UnpackQ3Scale, for all rows at once.
template <class Blocks>
HWY_INLINE void UnpackQ3Scales(const Blocks& blocks, const Packed& out) {
  const DU d;
  const DF df;
  const VF scale = LoadHalves(blocks, 108);
  const Words words = LoadWords(blocks, 92);  // the last three
#pragma GCC unroll 4
  for (size_t i = 0; i < 4; ++i) {
    const VU low = i < 2 ? LowNibbles(words.w[1 + i]) : HighNibbles(words.w[i - 1]);
    const VU high = hn::And(hn::ShiftRightSame(words.w[3], static_cast<int>(2 * i)), hn::Set(d, 0x03030303));
    VU bytes = hn::Or(low, hn::ShiftLeft<4>(high));
#pragma GCC unroll 4
    for (size_t k = 0; k < 4; ++k) {
      const VF code = hn::Sub(FloatsOf(hn::And(bytes, hn::Set(d, 0xff))), hn::Set(df, 32.0f));
      hn::Store(hn::Mul(scale, code), df, out.scales + (4 * i + k) * kLanes);
      bytes = hn::ShiftRight<8>(bytes);
    }
  }
}

template <class Blocks>
HWY_INLINE void UnpackQ2Scales(const Blocks& blocks, const Packed& out) {
  const DF df;
  const VU nibble = hn::Set(DU(), 15);
  const VU factors = LoadWord(blocks, 80);
  const VF scale = HalvesOf(factors);
  const VF min = hn::Neg(HalvesOf(hn::ShiftRight<16>(factors)));
  Words words = LoadWords(blocks, 0);
#pragma GCC unroll 16
  for (size_t i = 0; i < 16; ++i) {
    VU& bytes = words.w[i / 4];
    hn::Store(hn::Mul(scale, FloatsOf(hn::And(bytes, nibble))), df, out.scales + i * kLanes);
    hn::Store(hn::Mul(min, FloatsOf(hn::And(hn::ShiftRight<4>(bytes), nibble))), df, out.mins + i * kLanes);
    bytes = hn::ShiftRight<8>(bytes);
  }
}

template <class Blocks>
HWY_INLINE void UnpackIq4XsScales(const Blocks& blocks, const Packed& out) {
  const DU d;
  const DF df;
  const VU head = LoadWord(blocks, 0);
  const VF scale = HalvesOf(head);
  VU high = hn::ShiftRight<16>(head);
  VU low = LoadWord(blocks, 4);
#pragma GCC unroll 8
  for (size_t g = 0; g < 8; ++g) {
    const VU code = hn::Or(hn::And(low, hn::Set(d, 15)), hn::ShiftLeft<4>(hn::And(high, hn::Set(d, 3))));
    hn::Store(hn::Mul(scale, hn::Sub(FloatsOf(code), hn::Set(df, 32.0f))), df, out.scales + g * kLanes);
    low = hn::ShiftRight<4>(low);
    high = hn::ShiftRight<2>(high);
  }
}

template <class Blocks>
HWY_INLINE void UnpackNvFp4Scales(const Blocks& blocks, const Packed& out) {
  VU bytes = LoadWord(blocks, 0);
#pragma GCC unroll 4
  for (size_t i = 0; i < 4; ++i) {
    const VF scale = E4M3(hn::And(bytes, hn::Set(DU(), 0xff)));
    hn::Store(hn::Mul(scale, hn::Set(DF(), 0.5f)), DF(), out.scales + i * kLanes);
    bytes = hn::ShiftRight<8>(bytes);
  }
}

// All scales and minimums of a block.
template <TensorType kType, class Blocks>
HWY_INLINE void UnpackScales(const Blocks& blocks, const Packed& out) {
  if constexpr (kType == TensorType::kQ6_K) {
    UnpackQ6Scales(blocks, out);
  } else if constexpr (kType == TensorType::kQ3_K) {
    UnpackQ3Scales(blocks, out);
  } else if constexpr (kType == TensorType::kQ2_K) {
    UnpackQ2Scales(blocks, out);
  } else if constexpr (kType == TensorType::kIQ4_XS) {
    UnpackIq4XsScales(blocks, out);
  } else if constexpr (kType == TensorType::kNVFP4) {
    UnpackNvFp4Scales(blocks, out);
  } else if constexpr (kType == TensorType::kTQ1_0 || kType == TensorType::kTQ2_0) {
    constexpr size_t kEnd = BlockSizeOf(kType)->bytes;
    const VF scale = LoadHalves(blocks, kEnd - 2);
    for (size_t g = 0; g < 8; ++g) hn::Store(scale, DF(), out.scales + g * kLanes);
  } else if constexpr (kType == TensorType::kQ1_0 || kType == TensorType::kQ2_0) {
    const VF scale = LoadHalves(blocks, 0);
    for (size_t g = 0; g < BlockSizeOf(kType)->elements / kGroup; ++g) {
      hn::Store(scale, DF(), out.scales + g * kLanes);
    }
  } else {
    UnpackScaleMins(blocks, out);
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace throng::model
HWY_AFTER_NAMESPACE();

#endif  // THRONG_MODEL_MATMUL_SCALES_INL_H_
