// Codes of weights in registers, and the steps from their blocks to there that formats share: per target.

#if defined(THRONG_MODEL_MATMUL_CODES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef THRONG_MODEL_MATMUL_CODES_INL_H_
#undef THRONG_MODEL_MATMUL_CODES_INL_H_
#else
#define THRONG_MODEL_MATMUL_CODES_INL_H_
#endif

#include "model/matmul/matmul_blocks-inl.h"

HWY_BEFORE_NAMESPACE();
namespace throng::model {
namespace HWY_NAMESPACE {

// One group of 32 codes of kLanes outputs: halves of 16, as their blocks' fields lie.
struct Codes {
  Field half[2];
};

// Its scales: one, or one per half.
struct Scales {
  VF scale[2];
  VF min[2];
};

// Packed groups: codes [groups, 8, lanes] words, scales and mins [groups, 1 or 2, lanes].
struct Packed {
  uint8_t* codes;
  float* scales;
  float* mins;
};

template <TensorType kType>
HWY_INLINE Scales ScalesAt(const Packed& w, size_t g) {
  constexpr size_t kParts = KindOf<kType>().halves ? 2 : 1;
  Scales scales;
#pragma GCC unroll 2
  for (size_t part = 0; part < kParts; ++part) {
    const size_t at = (g * kParts + part) * kLanes;
    scales.scale[part] = hn::Load(DF(), w.scales + at);
    if constexpr (KindOf<kType>().has_min) scales.min[part] = hn::Load(DF(), w.mins + at);
  }
  return scales;
}

HWY_INLINE VU LowNibbles(VU w) { return hn::And(w, hn::Set(DU(), 0x0f0f0f0f)); }
HWY_INLINE VU HighNibbles(VU w) { return hn::And(hn::ShiftRight<4>(w), hn::Set(DU(), 0x0f0f0f0f)); }

// Spreads bits 0 to 3 of each lane to one per byte, worth 16.
HWY_INLINE VU SpreadFifthBits(VU bits) {
  const DU d;
  const VU four = hn::And(bits, hn::Set(d, 0xf));
  return hn::ShiftLeft<4>(hn::And(hn::Mul(four, hn::Set(d, 0x00204081)), hn::Set(d, 0x01010101)));
}

HWY_INLINE Field LowNibbles(const Field& f) {
  Field out;
#pragma GCC unroll 4
  for (size_t i = 0; i < 4; ++i) out.v[i] = hn::And(f.v[i], hn::Set(DU8(), 15));
  return out;
}

// Shifts bytes; bits that come from neighbours are for the caller to mask.
template <int kLeft>
HWY_INLINE VU8 ShiftBytes(VU8 v) {
  const DU8 d8;
  const hn::RebindToUnsigned<D16> du16;
  if constexpr (kLeft > 0) return hn::BitCast(d8, hn::ShiftLeft<kLeft>(hn::BitCast(du16, v)));
  if constexpr (kLeft < 0) return hn::BitCast(d8, hn::ShiftRight<-kLeft>(hn::BitCast(du16, v)));
  return v;
}

HWY_INLINE Field HighNibbles(const Field& f) {
  Field out;
#pragma GCC unroll 4
  for (size_t i = 0; i < 4; ++i) out.v[i] = ShiftBytes<-4>(f.v[i]);
  return LowNibbles(out);
}

// Adds bits of `bits`, shifted to their place, to codes.
template <int kLeft, uint8_t kMask>
HWY_INLINE void AddHighBits(const Field& bits, Field& codes) {
#pragma GCC unroll 4
  for (size_t i = 0; i < 4; ++i) {
    codes.v[i] = hn::Or(codes.v[i], hn::And(ShiftBytes<kLeft>(bits.v[i]), hn::Set(DU8(), kMask)));
  }
}

// Adds bit i of the first two bytes (kHalf = 0) or the next two (1) of each 16 to code i as 16.
template <size_t kHalf>
HWY_INLINE void AddFifthBits(const Field& bits, Field& codes) {
  const DU8 d8;
  HWY_ALIGN static constexpr uint8_t kBytes[16] = {
      2 * kHalf,     2 * kHalf,     2 * kHalf,     2 * kHalf,     2 * kHalf,     2 * kHalf,
      2 * kHalf,     2 * kHalf,     2 * kHalf + 1, 2 * kHalf + 1, 2 * kHalf + 1, 2 * kHalf + 1,
      2 * kHalf + 1, 2 * kHalf + 1, 2 * kHalf + 1, 2 * kHalf + 1};
  HWY_ALIGN static constexpr uint8_t kBits[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  const VU8 bytes = hn::LoadDup128(d8, kBytes);
  const VU8 bit = hn::LoadDup128(d8, kBits);
#pragma GCC unroll 4
  for (size_t i = 0; i < 4; ++i) {
    const auto is_set = hn::TestBit(hn::TableLookupBytes(bits.v[i], bytes), bit);
    codes.v[i] = hn::Or(codes.v[i], hn::IfThenElseZero(is_set, hn::Set(d8, 16)));
  }
}

// Adds bit i of the 4 bytes at `offset` of each block to its code i as 16.
template <class Blocks>
HWY_INLINE void AddFifthBits(const Blocks& blocks, size_t offset, Codes& codes) {
  if constexpr (!Blocks::kInLanes) {
    const Field bits = LoadField(blocks, offset);
    AddFifthBits<0>(bits, codes.half[0]);
    AddFifthBits<1>(bits, codes.half[1]);
    return;
  }
  const DU8 d8;
  VU bits = LoadWord(blocks, offset);
#pragma GCC unroll 8
  for (size_t i = 0; i < 8; ++i) {
    VU8& word = codes.half[i / 4].v[i % 4];
    word = hn::Or(word, hn::BitCast(d8, SpreadFifthBits(bits)));
    bits = hn::ShiftRight<4>(bits);
  }
}

// Code i becomes table[i], for codes below 16.
HWY_INLINE Field LookUp(const uint8_t (&table)[16], const Field& codes) {
  const VU8 values = hn::LoadDup128(DU8(), table);
  Field out;
#pragma GCC unroll 4
  for (size_t i = 0; i < 4; ++i) out.v[i] = hn::TableLookupBytes(values, codes.v[i]);
  return out;
}

// Fetches what the memory is to bring while blocks are multiplied: lines [first, end) of a block's size,
// ahead of the strip's stream. Alone, the hardware does not follow it far enough.
template <TensorType kType>
HWY_INLINE void FetchLines(const StripBlocks<kType>& blocks, size_t first, size_t end) {
  constexpr size_t kNear = 1024;
#pragma GCC unroll 8
  for (size_t line = first; line < end; ++line) {
    __builtin_prefetch(blocks.words + kFetchDistance + 64 * line, 0, 2);
    __builtin_prefetch(blocks.words + kNear + 64 * line, 0, 3);
  }
}

// Part kPart of kParts of a block's size.
template <size_t kPart, size_t kParts, TensorType kType>
HWY_INLINE void FetchAhead(const StripBlocks<kType>& blocks) {
  if (blocks.lane != 0) return;
  constexpr size_t kStripBytes = kStripRows * StripBlocks<kType>::kBytes;
  constexpr auto line_at = [](size_t part) { return (kStripBytes * part / kParts + 63) / 64; };
  FetchLines(blocks, line_at(kPart), line_at(kPart + 1));
}

// Of rows, the data needed after these blocks: the hardware does not follow as many short streams as there
// are lanes. Harmless beyond the end of a tensor.
template <size_t kPart, size_t kParts, TensorType kType, bool kTransposed>
HWY_INLINE void FetchAhead(const RowBlocks<kType, kTransposed>& blocks) {
  if constexpr (kPart == 0) {
    const size_t begin = blocks.offset + blocks.ahead;
    for (size_t line = (begin + 63) / 64 * 64; line < begin + blocks.kBytes; line += 64) {
#pragma GCC unroll 16
      for (size_t lane = 0; lane < kLanes; ++lane) hwy::Prefetch(blocks.rows[lane] + line);
    }
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace throng::model
HWY_AFTER_NAMESPACE();

#endif  // THRONG_MODEL_MATMUL_CODES_INL_H_
