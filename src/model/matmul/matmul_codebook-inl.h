// Codes of the formats whose entries stand for 8 or 4 weights (codebooks.h): looked up by gathers, lane =
// row.

#if defined(THRONG_MODEL_MATMUL_CODEBOOK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef THRONG_MODEL_MATMUL_CODEBOOK_INL_H_
#undef THRONG_MODEL_MATMUL_CODEBOOK_INL_H_
#else
#define THRONG_MODEL_MATMUL_CODEBOOK_INL_H_
#endif

#include "model/matmul/codebooks.h"
#include "model/matmul/matmul_codes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace throng::model {
namespace HWY_NAMESPACE {

// `mask` of each lane's bits from `shift` on.
HWY_INLINE VU BitsAt(VU word, size_t shift, uint32_t mask) {
  return hn::And(hn::ShiftRightSame(word, static_cast<int>(shift)), hn::Set(DU(), mask));
}

// Entries of 8 weights: the first 4 bytes and the others. index: below kEntries.
template <size_t kEntries>
HWY_INLINE void LookUp(const std::array<uint64_t, kEntries>& grid, VU index, VU& first, VU& last) {
  const DU d;
  const DU64 d64;
  const auto gather = [&](auto lanes) HWY_ATTR {
    const auto at = hn::BitCast(hn::RebindToSigned<DU64>(), lanes);
    return hn::BitCast(d, hn::GatherIndex(d64, grid.data(), at));
  };
  const VU lower = gather(hn::PromoteTo(d64, hn::LowerHalf(hn::Half<DU>(), index)));
  const VU upper = gather(hn::PromoteTo(d64, hn::UpperHalf(hn::Half<DU>(), index)));
  first = hn::ConcatEven(d, upper, lower);
  last = hn::ConcatOdd(d, upper, lower);
}

// Of 4 weights.
template <size_t kEntries>
HWY_INLINE VU LookUp(const std::array<uint32_t, kEntries>& grid, VU index) {
  return hn::GatherIndex(DU(), grid.data(), hn::BitCast(DI(), index));
}

// The signs of 32 weights of which each byte lacks the last bit: codebooks.h WithParity.
HWY_INLINE VU WithParities(VU signs) {
  const DU d;
  VU parity = hn::Xor(signs, hn::ShiftRight<4>(signs));
  parity = hn::Xor(parity, hn::ShiftRight<2>(parity));
  parity = hn::Xor(parity, hn::ShiftRight<1>(parity));
  return hn::Or(signs, hn::ShiftLeft<7>(hn::And(parity, hn::Set(d, 0x01010101))));
}

// The same from 4 times 7 bits.
HWY_INLINE VU SignsOf28Bits(VU word) {
  const VU low = hn::Or(BitsAt(word, 0, 0x7f), hn::ShiftLeft<8>(BitsAt(word, 7, 0x7f)));
  const VU high = hn::Or(BitsAt(word, 14, 0x7f), hn::ShiftLeft<8>(BitsAt(word, 21, 0x7f)));
  return WithParities(hn::Or(low, hn::ShiftLeft<16>(high)));
}

// Codes of a group from sizes, 4 in a word, and a sign bit each: offset plus or minus size.
template <int kOffset>
HWY_INLINE Codes WithSigns(const VU (&sizes)[8], VU signs) {
  // Byte k of each lane, four times.
  alignas(16) static constexpr uint8_t kFourTimes[4][16] = {
      {0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12},
      {1, 1, 1, 1, 5, 5, 5, 5, 9, 9, 9, 9, 13, 13, 13, 13},
      {2, 2, 2, 2, 6, 6, 6, 6, 10, 10, 10, 10, 14, 14, 14, 14},
      {3, 3, 3, 3, 7, 7, 7, 7, 11, 11, 11, 11, 15, 15, 15, 15}};
  const DU8 d8;
  const VU8 offset = hn::Set(d8, kOffset);
  const VU8 bit[2] = {hn::BitCast(d8, hn::Set(DU(), 0x08040201)), hn::BitCast(d8, hn::Set(DU(), 0x80402010))};
  Codes codes;
#pragma GCC unroll 4
  for (size_t k = 0; k < 4; ++k) {
    const VU8 of_eight = hn::TableLookupBytes(hn::BitCast(d8, signs), hn::LoadDup128(d8, kFourTimes[k]));
#pragma GCC unroll 2
    for (size_t i = 0; i < 2; ++i) {
      const VU8 size = hn::BitCast(d8, sizes[2 * k + i]);
      const auto is_negative = hn::TestBit(of_eight, bit[i]);
      codes.half[k / 2].v[k % 2 * 2 + i] =
          hn::IfThenElse(is_negative, hn::Sub(offset, size), hn::Add(offset, size));
    }
  }
  return codes;
}

// scale * (2 * code + 1)
HWY_INLINE VF OddScale(VF scale, VU code) {
  const VU odd = hn::Add(hn::Add(code, code), hn::Set(DU(), 1));
  return hn::Mul(scale, hn::ConvertTo(DF(), hn::BitCast(DI(), odd)));
}

// codebook_formats.cc has the formats. i: the group of the blocks. d: their scale, times the unit of the
// format's numbers.
template <TensorType kType, class Blocks>
HWY_INLINE void UnpackIq2(const Blocks& blocks, VF d, size_t i, Codes& codes, Scales& scales) {
  VU sizes[8];
  VU signs, scale_pair;
  if constexpr (kType == TensorType::kIQ2_XS) {
    const VU entries[2] = {LoadWord(blocks, 2 + 8 * i), LoadWord(blocks, 6 + 8 * i)};
#pragma GCC unroll 4
    for (size_t k = 0; k < 4; ++k) {
      LookUp(kIq2XsGrid, BitsAt(entries[k / 2], k % 2 * 16, 511), sizes[2 * k], sizes[2 * k + 1]);
    }
    const auto two_signs = [&](VU pair) HWY_ATTR {
      return hn::Or(BitsAt(pair, 9, 0x7f), hn::ShiftLeft<8>(BitsAt(pair, 25, 0x7f)));
    };
    signs = WithParities(hn::Or(two_signs(entries[0]), hn::ShiftLeft<16>(two_signs(entries[1]))));
    scale_pair = BitsAt(LoadWord(blocks, 66 + i / 4 * 4), i % 4 * 8, 0xff);
  } else {
    const VU low = LoadWord(blocks, 2 + 4 * i);
    const VU high = BitsAt(LoadWord(blocks, 66 + i / 4 * 4), i % 4 * 8, 0xff);
#pragma GCC unroll 4
    for (size_t k = 0; k < 4; ++k) {
      const VU index = hn::Or(BitsAt(low, 8 * k, 0xff), hn::ShiftLeft<8>(BitsAt(high, 2 * k, 3)));
      LookUp(kIq2SGrid, index, sizes[2 * k], sizes[2 * k + 1]);
    }
    signs = LoadWord(blocks, 34 + 4 * i);
    scale_pair = BitsAt(LoadWord(blocks, 74 + i / 4 * 4), i % 4 * 8, 0xff);
  }
  codes = WithSigns<KindOf<kType>().offset>(sizes, signs);
  scales.scale[0] = OddScale(d, BitsAt(scale_pair, 0, 15));
  scales.scale[1] = OddScale(d, BitsAt(scale_pair, 4, 15));
}

template <class Blocks>
HWY_INLINE void UnpackIq2Xxs(const Blocks& blocks, VF d, size_t i, Codes& codes, Scales& scales) {
  const VU entries = LoadWord(blocks, 2 + 8 * i);
  const VU word = LoadWord(blocks, 6 + 8 * i);
  VU sizes[8];
#pragma GCC unroll 4
  for (size_t k = 0; k < 4; ++k) {
    LookUp(kIq2XxsGrid, BitsAt(entries, 8 * k, 0xff), sizes[2 * k], sizes[2 * k + 1]);
  }
  codes = WithSigns<KindOf<TensorType::kIQ2_XXS>().offset>(sizes, SignsOf28Bits(word));
  scales.scale[0] = OddScale(d, hn::ShiftRight<28>(word));
}

template <TensorType kType, class Blocks>
HWY_INLINE void UnpackIq3(const Blocks& blocks, VF d, size_t i, Codes& codes, Scales& scales) {
  const VU low[2] = {LoadWord(blocks, 2 + 8 * i), LoadWord(blocks, 6 + 8 * i)};
  VU sizes[8];
  VU signs;
  if constexpr (kType == TensorType::kIQ3_XXS) {
#pragma GCC unroll 8
    for (size_t k = 0; k < 8; ++k) sizes[k] = LookUp(kIq3XxsGrid, BitsAt(low[k / 4], k % 4 * 8, 0xff));
    const VU word = LoadWord(blocks, 66 + 4 * i);
    signs = SignsOf28Bits(word);
    scales.scale[0] = OddScale(d, hn::ShiftRight<28>(word));
  } else {
    const VU ninth = BitsAt(LoadWord(blocks, 66 + i / 4 * 4), i % 4 * 8, 0xff);
#pragma GCC unroll 8
    for (size_t k = 0; k < 8; ++k) {
      const VU high = hn::ShiftLeft<8>(BitsAt(ninth, k, 1));
      sizes[k] = LookUp(kIq3SGrid, hn::Or(BitsAt(low[k / 4], k % 4 * 8, 0xff), high));
    }
    signs = LoadWord(blocks, 74 + 4 * i);
    scales.scale[0] = OddScale(d, BitsAt(LoadWord(blocks, 106), 4 * i, 15));
  }
  codes = WithSigns<KindOf<kType>().offset>(sizes, signs);
}

// Codes are eighths: those of the codebook, and one more or less for each entry.
template <TensorType kType, class Blocks>
HWY_INLINE void UnpackIq1(const Blocks& blocks, VF d, size_t i, Codes& codes, Scales& scales) {
  constexpr bool kIsS = kType == TensorType::kIQ1_S;
  const VU low = LoadWord(blocks, (kIsS ? 2 : 0) + 4 * i);
  const VU high = BitsAt(LoadWord(blocks, (kIsS ? 34 : 32) + i / 2 * 4), i % 2 * 16, 0xffff);
  const VU up = hn::Set(DU(), 0x02020202);
#pragma GCC unroll 4
  for (size_t k = 0; k < 4; ++k) {
    const VU bits = hn::ShiftLeft<8>(BitsAt(high, (kIsS ? 3 : 4) * k, 7));
    VU eighths[2];
    LookUp(kIq1Grid, hn::Or(BitsAt(low, 8 * k, 0xff), bits), eighths[0], eighths[1]);
    const auto is_down = hn::Ne(BitsAt(high, kIsS ? 15 : 4 * k + 3, 1), hn::Zero(DU()));
    const VU shift = hn::IfThenZeroElse(is_down, up);
#pragma GCC unroll 2
    for (size_t j = 0; j < 2; ++j) {
      codes.half[k / 2].v[k % 2 * 2 + j] = hn::BitCast(DU8(), hn::Add(eighths[j], shift));
    }
  }
  if constexpr (kIsS) {
    scales.scale[0] = OddScale(d, BitsAt(high, 12, 7));
  } else {
    const VU pair = BitsAt(LoadWord(blocks, 48 + i / 4 * 4), i / 2 % 2 * 16 + i % 2 * 6, 0x3f);
    scales.scale[0] = OddScale(d, BitsAt(pair, 0, 7));
    scales.scale[1] = OddScale(d, BitsAt(pair, 3, 7));
  }
}

// The scale of the blocks, times the unit of the format's numbers.
template <TensorType kType, class Blocks>
HWY_INLINE VF CodebookScale(const Blocks& blocks) {
  if constexpr (kType == TensorType::kIQ1_M) {
    // The top nibbles of four numbers of 16 bits.
    const VU low = LoadWord(blocks, 48), high = LoadWord(blocks, 52);
    const VU first = hn::Or(BitsAt(low, 12, 0xf), BitsAt(low, 24, 0xf0));
    const VU last = hn::Or(BitsAt(high, 4, 0xf00), BitsAt(high, 16, 0xf000));
    return hn::Mul(HalvesOf(hn::Or(first, last)), hn::Set(DF(), 0.125f));
  } else {
    constexpr float kUnit = kType == TensorType::kIQ3_S     ? 1.0f
                            : kType == TensorType::kIQ3_XXS ? 0.25f
                                                            : 0.125f;
    return hn::Mul(LoadHalves(blocks, 0), hn::Set(DF(), kUnit));
  }
}

// As matmul_unpack-inl.h VisitGroups. blocks: in lanes.
template <TensorType kType, class Blocks, class Use>
HWY_INLINE void VisitCodebookBlocks(Blocks blocks, size_t groups, Use& use) {
  static_assert(Blocks::kInLanes);
  for (size_t g = 0; g < groups; g += 8, blocks.Next()) {
    use.template Fetch<0, 1>(blocks);
    const VF d = CodebookScale<kType>(blocks);
    for (size_t i = 0; i < 8; ++i) {
      Codes codes;
      Scales scales;
      if constexpr (kType == TensorType::kIQ2_XXS) {
        UnpackIq2Xxs(blocks, d, i, codes, scales);
      } else if constexpr (kType == TensorType::kIQ2_XS || kType == TensorType::kIQ2_S) {
        UnpackIq2<kType>(blocks, d, i, codes, scales);
      } else if constexpr (kType == TensorType::kIQ3_XXS || kType == TensorType::kIQ3_S) {
        UnpackIq3<kType>(blocks, d, i, codes, scales);
      } else {
        UnpackIq1<kType>(blocks, d, i, codes, scales);
      }
      use.Add(g + i, codes, scales);
    }
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace throng::model
HWY_AFTER_NAMESPACE();

#endif  // THRONG_MODEL_MATMUL_CODEBOOK_INL_H_
