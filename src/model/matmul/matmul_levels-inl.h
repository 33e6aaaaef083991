// Codebooks (codebooks.h) for few rows, with AVX-512: entries are looked up in registers instead of by
// gathers, 64 at a time. A byte of a lookup is half an entry, as places in the list of sizes; with a sign
// bit, another lookup makes codes of places. What comes out has the same place of four entries in a word, so
// it is multiplied with activations in that order.

#if defined(THRONG_MODEL_MATMUL_LEVELS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef THRONG_MODEL_MATMUL_LEVELS_INL_H_
#undef THRONG_MODEL_MATMUL_LEVELS_INL_H_
#else
#define THRONG_MODEL_MATMUL_LEVELS_INL_H_
#endif

#include "model/matmul/codebooks.h"
#include "model/matmul/integer_products.h"
#include "model/matmul/matmul_codebook-inl.h"

HWY_BEFORE_NAMESPACE();
namespace throng::model {
namespace HWY_NAMESPACE {

// Whether products of few rows look codes up as levels. Not from 1,024 entries on (IQ2_S, IQ1), where that
// takes as long as gathers.
template <TensorType kType>
constexpr bool UsesLevels() {
  return HWY_TARGET == HWY_AVX3_DL && (kType == TensorType::kIQ3_S || kType == TensorType::kIQ3_XXS ||
                                       kType == TensorType::kIQ2_XS || kType == TensorType::kIQ2_XXS);
}

#if HWY_TARGET == HWY_AVX3_DL

template <TensorType kType>
constexpr bool IsIq3() {
  return kType == TensorType::kIQ3_XXS || kType == TensorType::kIQ3_S;
}

// Bits of a place.
template <TensorType kType>
constexpr size_t LevelBits() {
  return IsIq3<kType>() ? 3 : 2;
}

// Bytes of activations that a group's codes are multiplied with: twice those of a group where halves of it
// have scales of their own, as then the other half's are 0.
template <TensorType kType>
constexpr size_t LevelGroupBytes() {
  return KindOf<kType>().halves ? 2 * kGroup : kGroup;
}

// The entry in byte `byte` of a word; of IQ3, of each half of the group.
template <TensorType kType>
constexpr size_t EntryAt(size_t byte) {
  return kType == TensorType::kIQ2_XS ? byte % 2 * 2 + byte / 2 : byte;
}

// Which of two groups' 64 activations each byte multiplies, or 64 for none; [group of halves' types, byte].
template <TensorType kType>
struct LevelOrder {
  static constexpr size_t kVectors = LevelGroupBytes<kType>() / kGroup;

  constexpr LevelOrder() {
    for (size_t i = 0; i < kVectors * 64; ++i) {
      const size_t word = i / 4 % 8;  // of the group or part
      const size_t entry = EntryAt<kType>(i % 4);
      if constexpr (IsIq3<kType>()) {
        from[i] = static_cast<uint8_t>(i / 32 * 32 + word / 4 * 16 + entry * 4 + word % 4);
      } else if constexpr (kVectors == 1) {
        from[i] = static_cast<uint8_t>(i / 32 * 32 + entry * 8 + word);
      } else {
        const size_t part = i / 32 % 2;
        from[i] = static_cast<uint8_t>(entry / 2 == part ? i / 64 * 32 + entry * 8 + word : 64);
      }
    }
  }

  alignas(64) uint8_t from[kVectors * 64]{};
};

// Codes of places with a sign bit above them; other bits of the index do not matter.
template <TensorType kType>
struct LevelCodes {
  constexpr LevelCodes() {
    constexpr size_t kBits = LevelBits<kType>();
    for (size_t i = 0; i < 64; ++i) {
      const size_t level = i % (1 << kBits);
      const bool sign = (i >> kBits) % 2 != 0;
      const auto code = [&](const auto& sizes) {
        const int size = level < sizes.size() ? sizes[level] : 0;
        return KindOf<kType>().offset + (sign ? -size : size);
      };
      codes[i] = static_cast<uint8_t>(kType == TensorType::kIQ3_XXS ? code(kIq3XxsSizes)
                                      : kType == TensorType::kIQ3_S ? code(kIq3SSizes)
                                                                    : code(kIq2Sizes));
    }
  }

  alignas(64) uint8_t codes[64]{};
};

// Copies the activations of `groups` groups to the order of codes: [groups, LevelGroupBytes].
template <TensorType kType>
HWY_INLINE void OrderForLevels(const int8_t* x, size_t groups, int8_t* out) {
  static constexpr LevelOrder<kType> kOrder;
  constexpr size_t kVectors = LevelOrder<kType>::kVectors;
  for (size_t g = 0; g < groups; g += 2, x += 64) {  // an even number, as blocks have 8
    const __m512i from = _mm512_loadu_si512(x);
#pragma GCC unroll 2
    for (size_t v = 0; v < kVectors; ++v, out += 64) {
      const __m512i order = _mm512_load_si512(kOrder.from + 64 * v);
      const __mmask64 is_used = _mm512_cmplt_epu8_mask(order, _mm512_set1_epi8(64));
      _mm512_store_si512(out, _mm512_maskz_permutexvar_epi8(is_used, order, from));
    }
  }
}

// 64 indices: their low 6 bits, and masks of the next.
struct LevelIndex {
  __m512i low;
  __mmask64 bits[3];
};

HWY_INLINE LevelIndex IndexOfBytes(VU bytes) {
  return {bytes.raw,
          {_mm512_movepi8_mask(_mm512_add_epi8(bytes.raw, bytes.raw)), _mm512_movepi8_mask(bytes.raw)}};
}

// One of `kEntries` bytes for each index.
template <size_t kEntries>
HWY_INLINE __m512i LookUpBytes(const uint8_t* table, const LevelIndex& index) {
  if constexpr (kEntries == 64) {
    return _mm512_permutexvar_epi8(index.low, _mm512_load_si512(table));
  } else if constexpr (kEntries == 128) {
    return _mm512_mask_permutexvar_epi8(LookUpBytes<64>(table, index), index.bits[0], index.low,
                                        _mm512_load_si512(table + 64));
  } else {
    constexpr size_t kBit = kEntries == 256 ? 1 : 2;
    return _mm512_mask_blend_epi8(index.bits[kBit], LookUpBytes<kEntries / 2>(table, index),
                                  LookUpBytes<kEntries / 2>(table + kEntries / 2, index));
  }
}

// (a where mask is set, else b)
HWY_INLINE __m512i SelectBits(uint32_t mask, __m512i a, __m512i b) {
  return _mm512_ternarylogic_epi32(_mm512_set1_epi32(static_cast<int>(mask)), a, b, 0xca);
}

// 8 bits of each 32-bit lane from bits b0, b1, b2 and b3 on, in its four bytes.
HWY_INLINE __m512i BytesFrom(VU word, int b0, int b1, int b2, int b3) {
  const auto at = [](int bit) { return static_cast<uint64_t>(bit); };
  const uint64_t low = at(b0) | at(b1) << 8 | at(b2) << 16 | at(b3) << 24;
  const uint64_t both = low | (low + 0x20202020) << 32;
  return _mm512_multishift_epi64_epi8(_mm512_set1_epi64(static_cast<int64_t>(both)), word.raw);
}

// Bytes of 7 sign bits, with what makes their number even as the last: codebooks.h WithParity.
HWY_INLINE __m512i WithLastSign(__m512i bytes) {
  const __m512i seven = _mm512_and_si512(bytes, _mm512_set1_epi8(0x7f));
  return SelectBits(0x80808080, _mm512_slli_epi16(_mm512_popcnt_epi8(seven), 7), seven);
}

// Byte k of each lane, four times.
HWY_INLINE __m512i FourTimes(VU word, size_t k) {
  const __m512i first = _mm512_set4_epi32(0x0c0c0c0c, 0x08080808, 0x04040404, 0);
  return _mm512_shuffle_epi8(word.raw, _mm512_add_epi8(first, _mm512_set1_epi8(static_cast<char>(k))));
}

// A mask of the bytes that have the bit of the same byte of `bits`.
HWY_INLINE __mmask64 HaveBits(__m512i bytes, uint32_t bits) {
  return _mm512_test_epi8_mask(bytes, _mm512_set1_epi32(static_cast<int>(bits)));
}

// Codes i of four entries, from their levels in the low bits of bytes shifted right by kLevel and signs in
// bit kSign.
template <TensorType kType, int kLevel, int kSign>
HWY_INLINE VU8 CodesOfLevels(__m512i levels, __m512i signs) {
  static constexpr LevelCodes<kType> kCodes;
  constexpr int kBits = static_cast<int>(LevelBits<kType>());
  const __m512i level = kLevel ? _mm512_srli_epi16(levels, kLevel) : levels;
  const __m512i sign = kSign > kBits   ? _mm512_srli_epi16(signs, kSign - kBits)
                       : kSign < kBits ? _mm512_slli_epi16(signs, kBits - kSign)
                                       : signs;
  const __m512i index = SelectBits(0x01010101u * ((1u << kBits) - 1), level, sign);
  return VU8{_mm512_permutexvar_epi8(index, _mm512_load_si512(kCodes.codes))};
}

// Four entries of 8 weights; first, last: levels of their halves. signs: 8 bits in each byte.
template <TensorType kType>
HWY_INLINE Codes CodesOfEights(__m512i first, __m512i last, __m512i signs) {
  Codes codes;
  codes.half[0].v[0] = CodesOfLevels<kType, 0, 0>(first, signs);
  codes.half[0].v[1] = CodesOfLevels<kType, 2, 1>(first, signs);
  codes.half[0].v[2] = CodesOfLevels<kType, 4, 2>(first, signs);
  codes.half[0].v[3] = CodesOfLevels<kType, 6, 3>(first, signs);
  codes.half[1].v[0] = CodesOfLevels<kType, 0, 4>(last, signs);
  codes.half[1].v[1] = CodesOfLevels<kType, 2, 5>(last, signs);
  codes.half[1].v[2] = CodesOfLevels<kType, 4, 6>(last, signs);
  codes.half[1].v[3] = CodesOfLevels<kType, 6, 7>(last, signs);
  return codes;
}

// Four entries of 4 weights. signs: 4 bits in each byte.
template <TensorType kType, size_t kEntries>
HWY_INLINE Field CodesOfFours(const Levels<kEntries>& levels, const LevelIndex& index, __m512i signs) {
  const __m512i first = LookUpBytes<kEntries>(levels[0].data(), index);
  const __m512i last = LookUpBytes<kEntries>(levels[1].data(), index);
  Field codes;
  codes.v[0] = CodesOfLevels<kType, 0, 0>(first, signs);
  codes.v[1] = CodesOfLevels<kType, 4, 1>(first, signs);
  codes.v[2] = CodesOfLevels<kType, 0, 2>(last, signs);
  codes.v[3] = CodesOfLevels<kType, 4, 3>(last, signs);
  return codes;
}

template <TensorType kType>
HWY_INLINE const auto& Iq3Levels() {
  if constexpr (kType == TensorType::kIQ3_XXS) {
    return kIq3XxsLevels;
  } else {
    return kIq3SLevels;
  }
}

// Low and high bytes of the four numbers of 16 bits of two words: 0, 2, 1 and 3.
HWY_INLINE VU LowBytes(VU w0, VU w1) { return VU{SelectBits(0x00ff00ff, w0.raw, hn::ShiftLeft<8>(w1).raw)}; }
HWY_INLINE VU HighBytes(VU w0, VU w1) {
  return VU{SelectBits(0x00ff00ff, hn::ShiftRight<8>(w0).raw, w1.raw)};
}

// Signs and scale of IQ2_XXS and IQ3_XXS: 4 times 7 bits, then 4.
HWY_INLINE __m512i SignsOfWord(VU word) { return WithLastSign(BytesFrom(word, 0, 7, 14, 21)); }

// matmul_codebook-inl.h has what these unpack by gathers, with the same scales.
template <TensorType kType, class Blocks>
HWY_INLINE void UnpackLevels(const Blocks& blocks, VF d, size_t i, Codes& codes, Scales& scales) {
  if constexpr (kType == TensorType::kIQ2_XXS) {
    const LevelIndex index = IndexOfBytes(LoadWord(blocks, 2 + 8 * i));
    const VU word = LoadWord(blocks, 6 + 8 * i);
    codes = CodesOfEights<kType>(LookUpBytes<256>(kIq2XxsLevels[0].data(), index),
                                 LookUpBytes<256>(kIq2XxsLevels[1].data(), index), SignsOfWord(word));
    scales.scale[0] = OddScale(d, hn::ShiftRight<28>(word));
  } else if constexpr (kType == TensorType::kIQ2_XS) {
    const VU pairs[2] = {LoadWord(blocks, 2 + 8 * i), LoadWord(blocks, 6 + 8 * i)};
    LevelIndex index = IndexOfBytes(LowBytes(pairs[0], pairs[1]));
    const VU high = HighBytes(pairs[0], pairs[1]);
    index.bits[2] = HaveBits(high.raw, 0x01010101);
    codes = CodesOfEights<kType>(LookUpBytes<512>(kIq2XsLevels[0].data(), index),
                                 LookUpBytes<512>(kIq2XsLevels[1].data(), index),
                                 WithLastSign(_mm512_srli_epi16(high.raw, 1)));
    const VU pair = BitsAt(LoadWord(blocks, 66 + i / 4 * 4), i % 4 * 8, 0xff);
    scales.scale[0] = OddScale(d, BitsAt(pair, 0, 15));
    scales.scale[1] = OddScale(d, BitsAt(pair, 4, 15));
  } else {
    static_assert(IsIq3<kType>());
    LevelIndex index[2] = {IndexOfBytes(LoadWord(blocks, 2 + 8 * i)),
                           IndexOfBytes(LoadWord(blocks, 6 + 8 * i))};
    VU signs;
    if constexpr (kType == TensorType::kIQ3_XXS) {
      const VU word = LoadWord(blocks, 66 + 4 * i);
      signs = VU{SignsOfWord(word)};
      scales.scale[0] = OddScale(d, hn::ShiftRight<28>(word));
    } else {
      const __m512i ninth = FourTimes(LoadWord(blocks, 66 + i / 4 * 4), i % 4);
      index[0].bits[2] = HaveBits(ninth, 0x08040201);
      index[1].bits[2] = HaveBits(ninth, 0x80402010);
      signs = LoadWord(blocks, 74 + 4 * i);
      scales.scale[0] = OddScale(d, BitsAt(LoadWord(blocks, 106), 4 * i, 15));
    }
    const auto& levels = Iq3Levels<kType>();
    codes.half[0] = CodesOfFours<kType>(levels, index[0], BytesFrom(signs, 0, 4, 8, 12));
    codes.half[1] = CodesOfFours<kType>(levels, index[1], BytesFrom(signs, 16, 20, 24, 28));
  }
}

// As matmul_unpack-inl.h VisitGroups, with codes for activations of OrderForLevels.
template <TensorType kType, class Blocks, class Use>
HWY_INLINE void VisitLevels(Blocks blocks, size_t groups, Use& use) {
  static_assert(Blocks::kInLanes);
  for (size_t g = 0; g < groups; g += 8, blocks.Next()) {
    const VF d = CodebookScale<kType>(blocks);
    for (size_t i = 0; i < 8; ++i) {
      use.FetchPart(blocks, i);
      Codes codes;
      Scales scales;
      UnpackLevels<kType>(blocks, d, i, codes, scales);
      use.Add(g + i, codes, scales);
    }
  }
}

#endif  // HWY_TARGET == HWY_AVX3_DL

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace throng::model
HWY_AFTER_NAMESPACE();

#endif  // THRONG_MODEL_MATMUL_LEVELS_INL_H_
