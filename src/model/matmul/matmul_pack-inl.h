// Repacks groups of 32 weights of several rows so that one vector lane belongs to one row (one output): per
// target. Codes of a group: [8][lanes] words of 4 consecutive codes. All formats come out as code * scale (+
// min), so one integer kernel serves them.

#if defined(THRONG_MODEL_MATMUL_PACK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef THRONG_MODEL_MATMUL_PACK_INL_H_
#undef THRONG_MODEL_MATMUL_PACK_INL_H_
#else
#define THRONG_MODEL_MATMUL_PACK_INL_H_
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <cstring>

#include "model/gguf/gguf.h"
#include "model/matmul/repack.h"

HWY_BEFORE_NAMESPACE();
namespace throng::model {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::CappedTag<float, 16>;
using DI = hn::RebindToSigned<DF>;
using DU = hn::RebindToUnsigned<DF>;
using DU64 = hn::Repartition<uint64_t, DF>;
using DU8 = hn::Repartition<uint8_t, DF>;
using DI8 = hn::Repartition<int8_t, DF>;
using VF = hn::Vec<DF>;
using VI = hn::Vec<DI>;
using VU = hn::Vec<DU>;
using VU8 = hn::Vec<DU8>;

constexpr size_t kLanes = hn::MaxLanes(DF());  // 4, 8 or 16
constexpr size_t kVectorBytes = kLanes * 4;
constexpr size_t kGroup = 32;

// How the kernel multiplies a format.
struct Kind {
  bool is_signed;  // codes are int8; else uint8
  bool has_min;
  bool halves;  // one scale per 16 codes
  int offset;   // subtracted from each code
  int largest;  // no code is larger in size
};

// With VNNI, codes of Q8_0 are biased to uint8: one instruction multiplies uint8 by int8.
#if HWY_TARGET == HWY_AVX3_DL
constexpr bool kBiasSigned = true;
#else
constexpr bool kBiasSigned = false;
#endif

template <TensorType kType>
constexpr Kind KindOf() {
  switch (kType) {
    case TensorType::kQ8_0:
      return kBiasSigned ? Kind{false, false, false, 128, 255} : Kind{true, false, false, 0, 128};
    case TensorType::kQ4_0:
      return Kind{false, false, false, 8, 15};
    case TensorType::kQ5_0:
      return Kind{false, false, false, 16, 31};
    case TensorType::kQ6_K:
      return Kind{false, false, true, 32, 63};
    case TensorType::kQ5_1:
    case TensorType::kQ5_K:
      return Kind{false, true, false, 0, 31};
    default:
      return Kind{false, true, false, 0, 15};
  }
}

// Destination of packed groups: codes [groups, 8, lanes] words, scales [groups, 1 or 2, lanes], mins [groups,
// lanes].
struct Packed {
  uint8_t* codes;
  float* scales;
  float* mins;
};

// Blocks at the same place of kLanes rows, in row-major order: `offset` bytes after the pointers.
template <TensorType kType>
struct RowBlocks {
  static constexpr bool kInLanes = false;
  static constexpr size_t kBytes = BlockSizeOf(kType)->bytes;

  HWY_INLINE void Next() { offset += kBytes; }

  const uint8_t* const* rows;  // [kLanes]
  size_t offset;
  size_t ahead;  // distance in bytes to the data needed after these
};

// The same of rows in a strip (repack.h): words of 4 bytes lie as the lanes of vectors.
template <TensorType kType>
struct StripBlocks {
  static constexpr bool kInLanes = true;
  static constexpr size_t kBytes = BlockSizeOf(kType)->bytes;

  // strip: its blocks; our lanes are those from first_lane on.
  HWY_INLINE StripBlocks(const uint8_t* strip, size_t first_lane)
      : words(strip + 4 * first_lane), lane(first_lane) {}

  HWY_INLINE void Next() { words += kStripRows * kBytes; }
  HWY_INLINE const uint8_t* WordAt(size_t offset) const {
    return words + kStripRows * StripPlace(kType, offset);
  }
  HWY_INLINE const uint8_t* Half() const { return words - 2 * lane; }

  const uint8_t* words;  // of our first lane
  size_t lane;           // of the strip: our first
};

// Fetches the data ahead of these blocks while they are in use: the hardware does not follow as many short
// streams as there are lanes. Harmless beyond the end of a tensor.
template <TensorType kType>
HWY_INLINE void PrefetchAhead(const RowBlocks<kType>& blocks) {
  const size_t begin = blocks.offset + blocks.ahead;
  for (size_t line = (begin + 63) / 64 * 64; line < begin + blocks.kBytes; line += 64) {
#pragma GCC unroll 16
    for (size_t lane = 0; lane < kLanes; ++lane) hwy::Prefetch(blocks.rows[lane] + line);
  }
}

template <TensorType kType>
HWY_INLINE void PrefetchAhead(const StripBlocks<kType>&) {}  // while they are multiplied: StripTile::AheadOf

// 16 bytes of each row. Of RowBlocks, vector i holds the rows i, i + 4, i + 8, ... in its 128-bit blocks. Of
// StripBlocks, vector i holds word i, lane = row.
struct Field {
  VU8 v[4];
};

template <class D>
HWY_INLINE hn::Vec<D> LoadColumn(D d, const uint8_t* const* rows, size_t offset) {
  if constexpr (hn::MaxLanes(D()) <= 16) {
    return hn::LoadU(d, rows[0] + offset);
  } else {
    const hn::Half<D> dh;
    constexpr size_t kRowsPerHalf = hn::MaxLanes(hn::Half<D>()) / 4;
    return hn::Combine(d, LoadColumn(dh, rows + kRowsPerHalf, offset), LoadColumn(dh, rows, offset));
  }
}

template <TensorType kType>
HWY_INLINE Field LoadField(const RowBlocks<kType>& blocks, size_t offset) {
  const DU8 d;
  Field field;
#pragma GCC unroll 4
  for (size_t i = 0; i < 4; ++i) field.v[i] = LoadColumn(d, blocks.rows + i, blocks.offset + offset);
  return field;
}

template <TensorType kType>
HWY_INLINE Field LoadField(const StripBlocks<kType>& blocks, size_t offset) {
  const DU8 d;
  Field field;
#pragma GCC unroll 4
  for (size_t i = 0; i < 4; ++i) field.v[i] = hn::LoadU(d, blocks.WordAt(offset + 4 * i));
  return field;
}

// The four words of a field, lane = row.
struct Words {
  VU w[4];
};

HWY_INLINE Words Transpose(const Field& f) {
  const DU d;
  const DU64 d64;
  const VU a = hn::BitCast(d, f.v[0]), b = hn::BitCast(d, f.v[1]);
  const VU c = hn::BitCast(d, f.v[2]), e = hn::BitCast(d, f.v[3]);
  const auto ab_low = hn::BitCast(d64, hn::InterleaveLower(d, a, b));
  const auto ab_high = hn::BitCast(d64, hn::InterleaveUpper(d, a, b));
  const auto ce_low = hn::BitCast(d64, hn::InterleaveLower(d, c, e));
  const auto ce_high = hn::BitCast(d64, hn::InterleaveUpper(d, c, e));
  Words words;
  words.w[0] = hn::BitCast(d, hn::InterleaveLower(d64, ab_low, ce_low));
  words.w[1] = hn::BitCast(d, hn::InterleaveUpper(d64, ab_low, ce_low));
  words.w[2] = hn::BitCast(d, hn::InterleaveLower(d64, ab_high, ce_high));
  words.w[3] = hn::BitCast(d, hn::InterleaveUpper(d64, ab_high, ce_high));
  return words;
}

template <TensorType kType>
HWY_INLINE Words LoadWords(const RowBlocks<kType>& blocks, size_t offset) {
  return Transpose(LoadField(blocks, offset));
}

template <TensorType kType>
HWY_INLINE Words LoadWords(const StripBlocks<kType>& blocks, size_t offset) {
  Words words;
#pragma GCC unroll 4
  for (size_t i = 0; i < 4; ++i) {
    words.w[i] = hn::BitCast(DU(), hn::LoadU(DU8(), blocks.WordAt(offset + 4 * i)));
  }
  return words;
}

HWY_INLINE void StoreWord(VU w, uint8_t* codes, size_t i) {
  const DU8 d8;
  hn::Store(hn::BitCast(d8, w), d8, codes + i * kVectorBytes);
}

HWY_INLINE VU LowNibbles(VU w) { return hn::And(w, hn::Set(DU(), 0x0f0f0f0f)); }
HWY_INLINE VU HighNibbles(VU w) { return hn::And(hn::ShiftRight<4>(w), hn::Set(DU(), 0x0f0f0f0f)); }

constexpr size_t kChunkGroups = 16;  // 512 inputs: two packed vectors take 16 KiB, half of a small L1 cache

template <typename T>
HWY_INLINE T NumberAt(const uint8_t* p) {
  T number;
  std::memcpy(&number, p, sizeof(number));
  return number;
}

// Numbers of 2 or 4 bytes at one place of each block, lane = row. On x86 each goes into its lane of a
// register: a vector load right after narrow stores would wait for them.
template <class D>
HWY_INLINE hn::Vec<D> LoadNumbers(D d, const uint8_t* const* rows, size_t offset) {
  using T = hn::TFromD<D>;
#if HWY_ARCH_X86
  if constexpr (hn::MaxLanes(D()) * sizeof(T) > 16) {
    const hn::Half<D> dh;
    return hn::Combine(d, LoadNumbers(dh, rows + hn::MaxLanes(dh), offset), LoadNumbers(dh, rows, offset));
  } else {
    const auto at = [&](size_t i) { return NumberAt<hwy::MakeSigned<T>>(rows[i] + offset); };
    if constexpr (sizeof(T) == 4) {
      return {_mm_setr_epi32(at(0), at(1), at(2), at(3))};
    } else if constexpr (hn::MaxLanes(D()) == 8) {
      return {_mm_setr_epi16(at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7))};
    } else {
      return {_mm_setr_epi16(at(0), at(1), at(2), at(3), 0, 0, 0, 0)};
    }
  }
#else
  HWY_ALIGN T numbers[hn::MaxLanes(D())];
  for (size_t i = 0; i < hn::MaxLanes(D()); ++i) numbers[i] = NumberAt<T>(rows[i] + offset);
  return hn::Load(d, numbers);
#endif
}

template <TensorType kType>
HWY_INLINE VU LoadWord(const RowBlocks<kType>& blocks, size_t offset) {
  return LoadNumbers(DU(), blocks.rows, blocks.offset + offset);
}

template <TensorType kType>
HWY_INLINE VU LoadWord(const StripBlocks<kType>& blocks, size_t offset) {
  return hn::BitCast(DU(), hn::LoadU(DU8(), blocks.WordAt(offset)));
}

template <TensorType kType>
HWY_INLINE VF LoadHalves(const RowBlocks<kType>& blocks, size_t offset) {
  const hn::Rebind<uint16_t, DF> du16;
  const hn::Rebind<hwy::float16_t, DF> d16;
  return hn::PromoteTo(DF(), hn::BitCast(d16, LoadNumbers(du16, blocks.rows, blocks.offset + offset)));
}

// The half in the low 16 bits of each lane.
HWY_INLINE VF HalvesOf(VU w) {
  const hn::Rebind<uint16_t, DF> du16;
  const hn::Rebind<hwy::float16_t, DF> d16;
  return hn::PromoteTo(
      DF(), hn::BitCast(d16, hn::DemoteTo(du16, hn::BitCast(DI(), hn::And(w, hn::Set(DU(), 0xffff))))));
}

template <TensorType kType>
HWY_INLINE VF LoadHalves(const StripBlocks<kType>& blocks, size_t offset) {
  if constexpr (HasStripHalf(kType)) {
    const hn::Rebind<uint16_t, DF> du16;
    const hn::Rebind<hwy::float16_t, DF> d16;
    const hn::Repartition<uint8_t, decltype(du16)> d8;
    return hn::PromoteTo(DF(), hn::BitCast(d16, hn::LoadU(d8, blocks.Half())));
  } else {
    const VU word = LoadWord(blocks, offset / 4 * 4);
    return HalvesOf(offset % 4 ? hn::ShiftRight<16>(word) : word);
  }
}

HWY_INLINE VF FloatsOf(VU w) { return hn::ConvertTo(DF(), hn::BitCast(DI(), w)); }

// Spreads bits 0 to 3 of each lane to one per byte, worth 16.
HWY_INLINE VU SpreadFifthBits(VU bits) {
  const DU d;
  const VU four = hn::And(bits, hn::Set(d, 0xf));
  return hn::ShiftLeft<4>(hn::And(hn::Mul(four, hn::Set(d, 0x00204081)), hn::Set(d, 0x01010101)));
}

template <TensorType kType>
constexpr bool HasFifthBits() {
  return kType == TensorType::kQ5_0 || kType == TensorType::kQ5_1;
}

// Codes of formats with one group of 32 per block.
template <TensorType kType, class Blocks>
HWY_INLINE void PackSmallBlock(const Blocks& blocks, VU fifth, uint8_t* codes) {
  const DU d;
  if constexpr (kType == TensorType::kQ8_0) {
#pragma GCC unroll 2
    for (size_t half = 0; half < 2; ++half) {
      const Words words = LoadWords(blocks, 2 + 16 * half);
#pragma GCC unroll 4
      for (size_t i = 0; i < 4; ++i) {
        const VU w = kBiasSigned ? hn::Xor(words.w[i], hn::Set(d, 0x80808080)) : words.w[i];
        StoreWord(w, codes, 4 * half + i);
      }
    }
  } else {
    const Words words = LoadWords(blocks, BlockSizeOf(kType)->bytes - 16);
#pragma GCC unroll 2
    for (size_t half = 0; half < 2; ++half) {
#pragma GCC unroll 4
      for (size_t i = 0; i < 4; ++i) {
        VU w = half ? HighNibbles(words.w[i]) : LowNibbles(words.w[i]);
        if constexpr (HasFifthBits<kType>()) {
          w = hn::Or(w, SpreadFifthBits(fifth));
          fifth = hn::ShiftRight<4>(fifth);
        }
        StoreWord(w, codes, 4 * half + i);
      }
    }
  }
}

// Formats with one group of 32 per block: scale, then minimum and fifth bits if the format has them, then
// codes.
template <TensorType kType, class Blocks>
HWY_INLINE void PackSmallScales(Blocks blocks, size_t groups, const Packed& out) {
  const DF df;
  for (size_t g = 0; g < groups; ++g, blocks.Next()) {
    hn::Store(LoadHalves(blocks, 0), df, out.scales + g * kLanes);
    if constexpr (KindOf<kType>().has_min) hn::Store(LoadHalves(blocks, 2), df, out.mins + g * kLanes);
  }
}

template <TensorType kType, class Blocks>
HWY_INLINE void PackSmallCodes(Blocks blocks, size_t groups, const Packed& out) {
  for (size_t g = 0; g < groups; ++g, blocks.Next()) {
    PrefetchAhead(blocks);
    VU fifth = hn::Zero(DU());
    if constexpr (HasFifthBits<kType>()) fifth = LoadWord(blocks, KindOf<kType>().has_min ? 4 : 2);
    PackSmallBlock<kType>(blocks, fifth, out.codes + g * 8 * kVectorBytes);
  }
}

// Scales and minimums of Q4_K and Q5_K: block_formats.h UnpackScaleMin, for all rows at once. The minimum is
// negated, as the kernel adds it.
template <class Blocks>
HWY_INLINE void PackScaleMins(const Blocks& blocks, const Packed& out) {
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

template <bool kFifth, class Blocks>
HWY_INLINE void PackK45(const Blocks& blocks, const Packed& out) {
  const DU d;
  const VU one = hn::Set(d, 0x01010101);
  Words fifth[2];
  if constexpr (kFifth) {
    fifth[0] = LoadWords(blocks, 16);
    fifth[1] = LoadWords(blocks, 32);
  }
#pragma GCC unroll 4
  for (size_t pair = 0; pair < 4; ++pair) {
#pragma GCC unroll 2
    for (size_t half = 0; half < 2; ++half) {
      const Words words = LoadWords(blocks, (kFifth ? 48 : 16) + 32 * pair + 16 * half);
      uint8_t* even = out.codes + (2 * pair * 8 + 4 * half) * kVectorBytes;
      uint8_t* odd = even + 8 * kVectorBytes;
#pragma GCC unroll 4
      for (size_t i = 0; i < 4; ++i) {
        VU low = LowNibbles(words.w[i]);
        VU high = HighNibbles(words.w[i]);
        if constexpr (kFifth) {
          VU& bits = fifth[half].w[i];
          low = hn::Or(low, hn::ShiftLeft<4>(hn::And(bits, one)));
          high = hn::Or(high, hn::ShiftLeft<4>(hn::And(hn::ShiftRight<1>(bits), one)));
          bits = hn::ShiftRight<2>(bits);
        }
        StoreWord(low, even, i);
        StoreWord(high, odd, i);
      }
    }
  }
}

template <class Blocks>
HWY_INLINE void PackQ6Scales(const Blocks& blocks, const Packed& out) {
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

template <class Blocks>
HWY_INLINE void PackQ6K(const Blocks& blocks, const Packed& out) {
  const DU d;
  const VU two_bits = hn::Set(d, 0x30303030);
  for (size_t part = 0; part < 4;
       ++part) {                       // 64 elements of each of two groups: [half of block, half of group]
    const size_t base = part / 2 * 4;  // first group of this half of the block
    const size_t half = part % 2;
    const Words low = LoadWords(blocks, part / 2 * 64 + 16 * half);
    const Words low2 = LoadWords(blocks, part / 2 * 64 + 32 + 16 * half);
    const Words high = LoadWords(blocks, 128 + part / 2 * 32 + 16 * half);
    uint8_t* codes = out.codes + (base * 8 + 4 * half) * kVectorBytes;
    constexpr size_t kGroupBytes = 8 * kVectorBytes;
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; ++i) {
      const VU h = high.w[i];
      StoreWord(hn::Or(LowNibbles(low.w[i]), hn::And(hn::ShiftLeft<4>(h), two_bits)), codes, i);
      StoreWord(hn::Or(LowNibbles(low2.w[i]), hn::And(hn::ShiftLeft<2>(h), two_bits)), codes + kGroupBytes,
                i);
      StoreWord(hn::Or(HighNibbles(low.w[i]), hn::And(h, two_bits)), codes + 2 * kGroupBytes, i);
      StoreWord(hn::Or(HighNibbles(low2.w[i]), hn::And(hn::ShiftRight<2>(h), two_bits)),
                codes + 3 * kGroupBytes, i);
    }
  }
}

// Scales and minimums of the blocks that hold `groups` groups, at most a chunk.
template <TensorType kType, class Blocks>
HWY_INLINE void PackScales(Blocks blocks, size_t groups, Packed out) {
  constexpr BlockSize kSize = *BlockSizeOf(kType);
  constexpr size_t kGroupsPerBlock = kSize.elements / kGroup;
  if constexpr (kGroupsPerBlock == 1) {
    PackSmallScales<kType>(blocks, groups, out);
    return;
  }
  constexpr bool kIsQ6 = kType == TensorType::kQ6_K;
  for (size_t block = 0; block < groups / kGroupsPerBlock; ++block) {
    if constexpr (kIsQ6) {
      PackQ6Scales(blocks, out);
    } else {
      PackScaleMins(blocks, out);
    }
    blocks.Next();
    out.scales += kGroupsPerBlock * (kIsQ6 ? 2 : 1) * kLanes;
    out.mins += kGroupsPerBlock * kLanes;
  }
}

// Their codes.
template <TensorType kType, class Blocks>
HWY_INLINE void PackCodes(Blocks blocks, size_t groups, Packed out) {
  constexpr BlockSize kSize = *BlockSizeOf(kType);
  constexpr size_t kGroupsPerBlock = kSize.elements / kGroup;
  if constexpr (kGroupsPerBlock == 1) {
    PackSmallCodes<kType>(blocks, groups, out);
    return;
  }
  for (size_t block = 0; block < groups / kGroupsPerBlock; ++block) {
    PrefetchAhead(blocks);
    if constexpr (kType == TensorType::kQ6_K) {
      PackQ6K(blocks, out);
    } else if constexpr (kGroupsPerBlock > 1) {
      PackK45<kType == TensorType::kQ5_K>(blocks, out);
    }
    blocks.Next();
    out.codes += kGroupsPerBlock * 8 * kVectorBytes;
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace throng::model
HWY_AFTER_NAMESPACE();

#endif  // THRONG_MODEL_MATMUL_PACK_INL_H_
