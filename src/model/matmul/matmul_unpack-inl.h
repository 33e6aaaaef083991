// How groups of 32 weights of each format become codes and scales in registers: per target. All formats come
// out as code * scale (+ min), so the same kernels multiply them.

#if defined(THRONG_MODEL_MATMUL_UNPACK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef THRONG_MODEL_MATMUL_UNPACK_INL_H_
#undef THRONG_MODEL_MATMUL_UNPACK_INL_H_
#else
#define THRONG_MODEL_MATMUL_UNPACK_INL_H_
#endif

#include "model/matmul/codebooks.h"
#include "model/matmul/integer_products.h"
#include "model/matmul/matmul_blocks-inl.h"
#include "model/matmul/matmul_codebook-inl.h"
#include "model/matmul/matmul_codes-inl.h"
#include "model/matmul/matmul_scales-inl.h"

HWY_BEFORE_NAMESPACE();
namespace throng::model {
namespace HWY_NAMESPACE {

constexpr size_t kChunkGroups = 16;  // 512 inputs: two packed vectors take 16 KiB, half of a small L1 cache

template <TensorType kType>
constexpr bool HasFifthBits() {
  return kType == TensorType::kQ5_0 || kType == TensorType::kQ5_1;
}

// The table of a format whose codes are places in one, as codes of its Kind.
template <TensorType kType>
struct Table {
  static constexpr bool kExists = kType == TensorType::kIQ4_NL || kType == TensorType::kIQ4_XS ||
                                  kType == TensorType::kMXFP4 || kType == TensorType::kNVFP4;
  static constexpr bool kIsFp4 = kType == TensorType::kMXFP4 || kType == TensorType::kNVFP4;

  constexpr Table() {
    for (size_t i = 0; i < 16; ++i) {
      const int value = kIsFp4 ? kFp4Values[i] : kIq4Values[i];
      codes[i] = static_cast<uint8_t>(value + KindOf<kType>().offset);
    }
  }

  alignas(16) uint8_t codes[16]{};
};

// The codes in a field of nibbles.
template <TensorType kType>
HWY_INLINE Field NibbleCodes(const Field& nibbles) {
  static constexpr Table<kType> kTable;
  if constexpr (Table<kType>::kExists) return LookUp(kTable.codes, nibbles);
  return nibbles;
}

// Powers of two whose exponents are these bytes - 127 (block_formats.h).
HWY_INLINE VF E8M0(VU bytes) {
  return hn::BitCast(DF(), hn::Max(hn::ShiftLeft<23>(bytes), hn::Set(DU(), 1u << 22)));
}

// Formats with one group of 32 per block. Calls use.Add(g, codes, scales) for each group, in order.
template <TensorType kType, class Blocks, class Use>
HWY_INLINE void VisitSmallBlocks(Blocks blocks, size_t groups, Use& use) {
  constexpr size_t kBytes = BlockSizeOf(kType)->bytes;
  for (size_t g = 0; g < groups; ++g, blocks.Next()) {
    use.template Fetch<0, 1>(blocks);
    Codes codes;
    if constexpr (kType == TensorType::kQ8_0) {
      codes.half[0] = LoadField(blocks, 2);
      codes.half[1] = LoadField(blocks, 18);
      if constexpr (kBiasSigned) {
#pragma GCC unroll 8
        for (size_t i = 0; i < 8; ++i) {
          VU8& v = codes.half[i / 4].v[i % 4];
          v = hn::Xor(v, hn::Set(DU8(), 0x80));
        }
      }
    } else {
      const Field bytes = LoadField(blocks, kBytes - 16);
      codes.half[0] = NibbleCodes<kType>(LowNibbles(bytes));
      codes.half[1] = NibbleCodes<kType>(HighNibbles(bytes));
      if constexpr (HasFifthBits<kType>()) AddFifthBits(blocks, KindOf<kType>().has_min ? 4 : 2, codes);
    }
    Scales scales;
    if constexpr (kType == TensorType::kMXFP4) {
      scales.scale[0] = hn::Mul(E8M0(LoadFirstBytes(blocks)), hn::Set(DF(), 0.5f));
    } else {
      scales.scale[0] = LoadHalves(blocks, 0);
    }
    if constexpr (KindOf<kType>().has_min) scales.min[0] = LoadHalves(blocks, 2);
    use.Add(g, codes, scales);
  }
}

// Groups 2 * kPair and 2 * kPair + 1 of a block of Q4_K or Q5_K that begins at group g. fifths: of Q5_K. w:
// the block's scales.
template <TensorType kType, size_t kPair, class Blocks, class Use>
HWY_INLINE void VisitK45Pair(const Blocks& blocks, const Field (&fifths)[2], const Packed& w, size_t g,
                             Use& use) {
  use.template Fetch<kPair, 4>(blocks);
  constexpr bool kFifth = kType == TensorType::kQ5_K;
  constexpr int kTwoPairs = 2 * static_cast<int>(kPair);
  Codes low, high;
#pragma GCC unroll 2
  for (size_t half = 0; half < 2; ++half) {
    const Field bytes = LoadField(blocks, (kFifth ? 48 : 16) + 32 * kPair + 16 * half);
    low.half[half] = LowNibbles(bytes);
    high.half[half] = HighNibbles(bytes);
    if constexpr (kFifth) {
      AddHighBits<4 - kTwoPairs, 16>(fifths[half], low.half[half]);
      AddHighBits<3 - kTwoPairs, 16>(fifths[half], high.half[half]);
    }
  }
  use.Add(g + 2 * kPair, low, ScalesAt<kType>(w, 2 * kPair));
  use.Add(g + 2 * kPair + 1, high, ScalesAt<kType>(w, 2 * kPair + 1));
}

template <TensorType kType, class Blocks, class Use>
HWY_INLINE void VisitK45Block(const Blocks& blocks, const Packed& w, size_t g, Use& use) {
  Field fifths[2];
  if constexpr (kType == TensorType::kQ5_K) {
    fifths[0] = LoadField(blocks, 16);
    fifths[1] = LoadField(blocks, 32);
  }
  VisitK45Pair<kType, 0>(blocks, fifths, w, g, use);
  VisitK45Pair<kType, 1>(blocks, fifths, w, g, use);
  VisitK45Pair<kType, 2>(blocks, fifths, w, g, use);
  VisitK45Pair<kType, 3>(blocks, fifths, w, g, use);
}

// Half of a block of Q6_K: low nibbles of two groups, high ones of two more, and two more bits of each.
struct Q6Half {
  Field nibbles[2][2];  // [group, half of group]
  Field high[2];
};

// g: the half's first group.
template <size_t kHalf, size_t kGroupOfHalf, class Blocks, class Use>
HWY_INLINE void VisitQ6Group(const Blocks& blocks, const Q6Half& bytes, const Packed& w, size_t g, Use& use) {
  use.template Fetch<4 * kHalf + kGroupOfHalf, 8>(blocks);
  Codes codes;
#pragma GCC unroll 2
  for (size_t half = 0; half < 2; ++half) {
    const Field& nibbles = bytes.nibbles[kGroupOfHalf % 2][half];
    codes.half[half] = kGroupOfHalf < 2 ? LowNibbles(nibbles) : HighNibbles(nibbles);
    AddHighBits<4 - 2 * static_cast<int>(kGroupOfHalf), 0x30>(bytes.high[half], codes.half[half]);
  }
  use.Add(g + kGroupOfHalf, codes, ScalesAt<TensorType::kQ6_K>(w, 4 * kHalf + kGroupOfHalf));
}

template <size_t kHalf, class Blocks, class Use>
HWY_INLINE void VisitQ6Half(const Blocks& blocks, const Packed& w, size_t g, Use& use) {
  Q6Half bytes;
#pragma GCC unroll 2
  for (size_t half = 0; half < 2; ++half) {
    bytes.nibbles[0][half] = LoadField(blocks, 64 * kHalf + 16 * half);
    bytes.nibbles[1][half] = LoadField(blocks, 64 * kHalf + 32 + 16 * half);
    bytes.high[half] = LoadField(blocks, 128 + 32 * kHalf + 16 * half);
  }
  VisitQ6Group<kHalf, 0>(blocks, bytes, w, g, use);
  VisitQ6Group<kHalf, 1>(blocks, bytes, w, g, use);
  VisitQ6Group<kHalf, 2>(blocks, bytes, w, g, use);
  VisitQ6Group<kHalf, 3>(blocks, bytes, w, g, use);
}

// Group kPair of half kHalf of a block of Q2_K, Q3_K or TQ2_0. pairs: the half's 32 bytes of bit pairs.
// thirds: of Q3_K, the block's third bits. g: the half's first group.
template <TensorType kType, int kHalf, int kPair, class Blocks, class Use>
HWY_INLINE void VisitBitPairs(const Blocks& blocks, const Field (&pairs)[2], const Field (&thirds)[2],
                              const Packed& w, size_t g, Use& use) {
  constexpr int kOfBlock = 4 * kHalf + kPair;
  use.template Fetch<kOfBlock, 8>(blocks);
  Codes codes;
#pragma GCC unroll 2
  for (size_t half = 0; half < 2; ++half) {
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; ++i) {
      codes.half[half].v[i] = hn::And(ShiftBytes<-2 * kPair>(pairs[half].v[i]), hn::Set(DU8(), 3));
    }
    if constexpr (kType == TensorType::kQ3_K) AddHighBits<2 - kOfBlock, 4>(thirds[half], codes.half[half]);
  }
  use.Add(g + kPair, codes, ScalesAt<kType>(w, kOfBlock));
}

template <TensorType kType, int kHalf, class Blocks, class Use>
HWY_INLINE void VisitBitPairsHalf(const Blocks& blocks, const Field (&thirds)[2], const Packed& w, size_t g,
                                  Use& use) {
  constexpr size_t kPairs = kType == TensorType::kQ2_K ? 16 : kType == TensorType::kQ3_K ? 32 : 0;
  const Field pairs[2] = {LoadField(blocks, kPairs + 32 * kHalf),
                          LoadField(blocks, kPairs + 32 * kHalf + 16)};
  VisitBitPairs<kType, kHalf, 0>(blocks, pairs, thirds, w, g, use);
  VisitBitPairs<kType, kHalf, 1>(blocks, pairs, thirds, w, g, use);
  VisitBitPairs<kType, kHalf, 2>(blocks, pairs, thirds, w, g, use);
  VisitBitPairs<kType, kHalf, 3>(blocks, pairs, thirds, w, g, use);
}

// The next digit of each byte of TQ1_0, which is shifted out: 3 * byte / 256, exactly.
HWY_INLINE Field NextDigits(Field& bytes) {
  const DU8 d8;
  const VU8 one = hn::Set(d8, 1);
  Field digits;
#pragma GCC unroll 4
  for (size_t i = 0; i < 4; ++i) {
    VU8& v = bytes.v[i];
    digits.v[i] = hn::Add(hn::Min(hn::SaturatedSub(v, hn::Set(d8, 85)), one),
                          hn::Min(hn::SaturatedSub(v, hn::Set(d8, 170)), one));
    v = hn::Add(v, hn::Add(v, v));
  }
  return digits;
}

// blocks: in lanes.
template <class Blocks, class Use>
HWY_INLINE void VisitTernaryBlock(const Blocks& blocks, const Packed& w, size_t g, Use& use) {
  constexpr TensorType kType = TensorType::kTQ1_0;
  static_assert(Blocks::kInLanes);
  use.template Fetch<0, 1>(blocks);
  Field first = LoadField(blocks, 0), second = LoadField(blocks, 16);
  for (size_t i = 0; i < 5; ++i) {
    const Codes codes{NextDigits(first), NextDigits(second)};
    use.Add(g + i, codes, ScalesAt<kType>(w, i));
  }
  Field third = LoadField(blocks, 32);
  Codes codes;
  for (size_t i = 5; i < 7; ++i) {
    codes.half[0] = NextDigits(third);
    codes.half[1] = NextDigits(third);
    use.Add(g + i, codes, ScalesAt<kType>(w, i));
  }
  codes.half[0] = NextDigits(third);
  // Word i is digit i of the same four bytes.
  VU8 rest = hn::BitCast(DU8(), LoadWord(blocks, 48));
  Field shifted;
#pragma GCC unroll 4
  for (size_t i = 0; i < 4; ++i) {
    shifted.v[i] = rest;
    rest = hn::Add(rest, hn::Add(rest, rest));
  }
  codes.half[1] = NextDigits(shifted);
  use.Add(g + 7, codes, ScalesAt<kType>(w, 7));
}

template <size_t kOfBlock, class Blocks, class Use>
HWY_INLINE void VisitIq4XsGroup(const Blocks& blocks, const Packed& w, size_t g, Use& use) {
  constexpr TensorType kType = TensorType::kIQ4_XS;
  use.template Fetch<kOfBlock, 8>(blocks);
  const Field bytes = LoadField(blocks, 8 + 16 * kOfBlock);
  const Codes codes{NibbleCodes<kType>(LowNibbles(bytes)), NibbleCodes<kType>(HighNibbles(bytes))};
  use.Add(g + kOfBlock, codes, ScalesAt<kType>(w, kOfBlock));
}

template <class Blocks, class Use>
HWY_INLINE void VisitIq4XsBlock(const Blocks& blocks, const Packed& w, size_t g, Use& use) {
  VisitIq4XsGroup<0>(blocks, w, g, use);
  VisitIq4XsGroup<1>(blocks, w, g, use);
  VisitIq4XsGroup<2>(blocks, w, g, use);
  VisitIq4XsGroup<3>(blocks, w, g, use);
  VisitIq4XsGroup<4>(blocks, w, g, use);
  VisitIq4XsGroup<5>(blocks, w, g, use);
  VisitIq4XsGroup<6>(blocks, w, g, use);
  VisitIq4XsGroup<7>(blocks, w, g, use);
}

// blocks: in lanes. 16 codes share 8 bytes, low nibbles first.
template <class Blocks, class Use>
HWY_INLINE void VisitNvFp4Block(const Blocks& blocks, const Packed& w, size_t g, Use& use) {
  constexpr TensorType kType = TensorType::kNVFP4;
  static_assert(Blocks::kInLanes);
  use.template Fetch<0, 1>(blocks);
#pragma GCC unroll 2
  for (size_t i = 0; i < 2; ++i) {
    const Field bytes = LoadField(blocks, 4 + 16 * i);
    const Field low = NibbleCodes<kType>(LowNibbles(bytes));
    const Field high = NibbleCodes<kType>(HighNibbles(bytes));
    const Codes codes{Field{low.v[0], low.v[1], high.v[0], high.v[1]},
                      Field{low.v[2], low.v[3], high.v[2], high.v[3]}};
    use.Add(g + i, codes, ScalesAt<kType>(w, i));
  }
}

// Q1_0 and Q2_0: consecutive codes are consecutive bits or pairs of bits, the lowest first. blocks: in lanes.
template <TensorType kType, class Blocks, class Use>
HWY_INLINE void VisitBitStream(const Blocks& blocks, const Packed& w, size_t g, Use& use) {
  static_assert(Blocks::kInLanes);
  constexpr size_t kGroups = BlockSizeOf(kType)->elements / kGroup;
  constexpr int kBits = kType == TensorType::kQ1_0 ? 1 : 2;
  constexpr size_t kCodesPerWord = 32 / kBits;
  use.template Fetch<0, 1>(blocks);
  const DU d;
  for (size_t i = 0; i < kGroups; ++i) {
    Codes codes;
    VU bits = hn::Zero(d);
#pragma GCC unroll 8
    for (size_t k = 0; k < 8; ++k) {
      const size_t code = i * kGroup + 4 * k;
      if (code % kCodesPerWord == 0) bits = LoadWord(blocks, 2 + code / kCodesPerWord * 4);
      VU spread;
      if constexpr (kBits == 1) {
        spread = hn::ShiftRight<3>(SpreadFifthBits(bits));  // 0 or 2
      } else {
        const VU four = hn::And(bits, hn::Set(d, 0xff));
        spread = hn::Or(hn::Or(four, hn::ShiftLeft<6>(four)),
                        hn::Or(hn::ShiftLeft<12>(four), hn::ShiftLeft<18>(four)));
        spread = hn::And(spread, hn::Set(d, 0x03030303));
      }
      codes.half[k / 4].v[k % 4] = hn::BitCast(DU8(), spread);
      bits = hn::ShiftRight<4 * kBits>(bits);
    }
    use.Add(g + i, codes, ScalesAt<kType>(w, i));
  }
}

// The groups of a block that begins at group g. w: its scales.
template <TensorType kType, class Blocks, class Use>
HWY_INLINE void VisitBlock(const Blocks& blocks, const Packed& w, size_t g, Use& use) {
  if constexpr (kType == TensorType::kQ6_K) {
    VisitQ6Half<0>(blocks, w, g, use);
    VisitQ6Half<1>(blocks, w, g + 4, use);
  } else if constexpr (kType == TensorType::kQ2_K || kType == TensorType::kQ3_K ||
                       kType == TensorType::kTQ2_0) {
    Field thirds[2];
    if constexpr (kType == TensorType::kQ3_K) {
      thirds[0] = LoadField(blocks, 0);
      thirds[1] = LoadField(blocks, 16);
    }
    VisitBitPairsHalf<kType, 0>(blocks, thirds, w, g, use);
    VisitBitPairsHalf<kType, 1>(blocks, thirds, w, g + 4, use);
  } else if constexpr (kType == TensorType::kTQ1_0) {
    VisitTernaryBlock(blocks, w, g, use);
  } else if constexpr (kType == TensorType::kIQ4_XS) {
    VisitIq4XsBlock(blocks, w, g, use);
  } else if constexpr (kType == TensorType::kNVFP4) {
    VisitNvFp4Block(blocks, w, g, use);
  } else if constexpr (kType == TensorType::kQ1_0 || kType == TensorType::kQ2_0) {
    VisitBitStream<kType>(blocks, w, g, use);
  } else {
    VisitK45Block<kType>(blocks, w, g, use);
  }
}

// Calls use.Add(g, codes, scales) for each group, in order, and use.Fetch<part, parts>(blocks) before each
// part of a block. Use::kScalesAtOnce: the number of groups, whole blocks, whose scales are unpacked
// together.
template <TensorType kType, class Blocks, class Use>
HWY_INLINE void VisitGroups(Blocks blocks, size_t groups, Use& use) {
  constexpr size_t kGroupsPerBlock = BlockSizeOf(kType)->elements / kGroup;
  if constexpr (kGroupsPerBlock == 1) {
    VisitSmallBlocks<kType>(blocks, groups, use);
  } else if constexpr (FamilyOf(kType) == Family::kCodebook) {
    VisitCodebookBlocks<kType>(blocks, groups, use);
  } else {
    constexpr size_t kParts = KindOf<kType>().halves ? 2 : 1;
    constexpr size_t kTogether = HWY_MAX(Use::kScalesAtOnce, kGroupsPerBlock);
    HWY_ALIGN float scales[kParts * kTogether * kLanes];
    HWY_ALIGN float mins[kParts * kTogether * kLanes];
    const auto at = [&](size_t unpacked) {
      return Packed{nullptr, scales + kParts * unpacked * kLanes, mins + kParts * unpacked * kLanes};
    };
    Blocks next = blocks;  // whose scales are not unpacked
    for (size_t g = 0; g < groups; g += kGroupsPerBlock, blocks.Next()) {
      if (g % kTogether == 0) {
        for (size_t i = 0; i < HWY_MIN(kTogether, groups - g); i += kGroupsPerBlock, next.Next()) {
          UnpackScales<kType>(next, at(i));
        }
      }
      VisitBlock<kType>(blocks, at(g % kTogether), g, use);
    }
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace throng::model
HWY_AFTER_NAMESPACE();

#endif  // THRONG_MODEL_MATMUL_UNPACK_INL_H_
