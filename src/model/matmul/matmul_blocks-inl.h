// Blocks at the same place of several rows of weights, in rows or in strips, and how vectors are loaded from
// them: per target.

#if defined(THRONG_MODEL_MATMUL_BLOCKS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef THRONG_MODEL_MATMUL_BLOCKS_INL_H_
#undef THRONG_MODEL_MATMUL_BLOCKS_INL_H_
#else
#define THRONG_MODEL_MATMUL_BLOCKS_INL_H_
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
using D16 = hn::Repartition<int16_t, DF>;
using VF = hn::Vec<DF>;
using VI = hn::Vec<DI>;
using VU = hn::Vec<DU>;
using VU8 = hn::Vec<DU8>;
using V16 = hn::Vec<D16>;

constexpr size_t kLanes = hn::MaxLanes(DF());  // 4, 8 or 16
constexpr size_t kVectorBytes = kLanes * 4;
constexpr size_t kGroup = 32;

// How the kernel multiplies a format.
struct Kind {
  bool is_signed;  // codes are int8; else uint8
  bool has_min;
  bool halves;  // one scale (and minimum) per 16 codes
  int offset;   // subtracted from each code
  int largest;  // no code is larger in size
};

// With VNNI, codes of 8 bits are biased to uint8: one instruction multiplies uint8 by int8.
#if HWY_TARGET == HWY_AVX3_DL
constexpr bool kBiasSigned = true;
#else
constexpr bool kBiasSigned = false;
#endif

template <TensorType kType>
constexpr Kind KindOf() {
  switch (kType) {
    case TensorType::kQ8_0:
    case TensorType::kIQ4_NL:
    case TensorType::kIQ4_XS:
      return kBiasSigned ? Kind{false, false, false, 128, 255} : Kind{true, false, false, 0, 128};
    case TensorType::kQ4_0:
      return Kind{false, false, false, 8, 15};
    case TensorType::kQ5_0:
      return Kind{false, false, false, 16, 31};
    case TensorType::kQ5_1:
    case TensorType::kQ5_K:
      return Kind{false, true, false, 0, 31};
    case TensorType::kQ6_K:
      return Kind{false, false, true, 32, 63};
    case TensorType::kQ3_K:
      return Kind{false, false, true, 4, 7};
    case TensorType::kQ2_K:
      return Kind{false, true, true, 0, 3};
    case TensorType::kTQ1_0:
    case TensorType::kTQ2_0:
    case TensorType::kQ2_0:
      return Kind{false, false, false, 1, 3};
    case TensorType::kQ1_0:
      return Kind{false, false, false, 1, 2};
    case TensorType::kMXFP4:
      return Kind{false, false, false, 12, 24};
    case TensorType::kNVFP4:
      return Kind{false, false, true, 12, 24};
    case TensorType::kIQ3_XXS:
      return Kind{false, false, false, 62, 124};
    case TensorType::kIQ3_S:
      return Kind{false, false, false, 15, 30};
    case TensorType::kIQ2_XXS:
      return Kind{false, false, false, 43, 86};
    case TensorType::kIQ2_XS:
    case TensorType::kIQ2_S:
      return Kind{false, false, true, 43, 86};
    case TensorType::kIQ1_S:
      return Kind{false, false, false, 9, 18};
    case TensorType::kIQ1_M:
      return Kind{false, false, true, 9, 18};
    default:
      return Kind{false, true, false, 0, 15};
  }
}

// Blocks at the same place of kLanes rows, in row-major order: `offset` bytes after the pointers.
// kTransposed: fields are loaded as from strips, lane = row.
template <TensorType kType, bool kTransposed = false>
struct RowBlocks {
  static constexpr bool kInLanes = kTransposed;
  static constexpr size_t kBytes = BlockSizeOf(kType)->bytes;

  HWY_INLINE void Next() { offset += kBytes; }
  HWY_INLINE RowBlocks<kType, true> InLanes() const { return {rows, offset, ahead}; }

  const uint8_t* const* rows;  // [kLanes]
  size_t offset;
  size_t ahead;  // distance in bytes to the data needed after these
};

// The same of rows in a strip (repack.h): words of 4 bytes lie as the lanes of vectors.
template <TensorType kType>
struct StripBlocks {
  static constexpr bool kInLanes = true;
  static constexpr size_t kBytes = BlockSizeOf(kType)->bytes;
  static constexpr StripLayout kLayout = StripLayoutOf(kType);

  // strip: its blocks; our lanes are those from first_lane on.
  HWY_INLINE StripBlocks(const uint8_t* strip, size_t first_lane)
      : words(strip + 4 * first_lane), lane(first_lane) {}

  HWY_INLINE void Next() { words += kStripRows * kBytes; }
  HWY_INLINE StripBlocks InLanes() const { return *this; }
  HWY_INLINE const uint8_t* WordAt(size_t offset) const {
    return words + kStripRows * StripPlace(kLayout, offset);
  }
  // What blocks have beyond whole words.
  HWY_INLINE const uint8_t* Rest() const { return words - (4 - kLayout.rest) * lane; }

  const uint8_t* words;  // of our first lane
  size_t lane;           // of the strip: our first
};

// 16 bytes of each row. Of RowBlocks that are not transposed, vector i holds the rows i, i + 4, i + 8, ... in
// its 128-bit blocks. Of others, vector i holds word i, lane = row.
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

HWY_INLINE Field Transpose(const Field& f) {
  const DU d;
  const DU8 d8;
  const VU a = hn::BitCast(d, f.v[0]), b = hn::BitCast(d, f.v[1]);
  const VU c = hn::BitCast(d, f.v[2]), e = hn::BitCast(d, f.v[3]);
  const DU64 d64;
  const auto ab_low = hn::BitCast(d64, hn::InterleaveLower(d, a, b));
  const auto ab_high = hn::BitCast(d64, hn::InterleaveUpper(d, a, b));
  const auto ce_low = hn::BitCast(d64, hn::InterleaveLower(d, c, e));
  const auto ce_high = hn::BitCast(d64, hn::InterleaveUpper(d, c, e));
  Field out;
  out.v[0] = hn::BitCast(d8, hn::InterleaveLower(d64, ab_low, ce_low));
  out.v[1] = hn::BitCast(d8, hn::InterleaveUpper(d64, ab_low, ce_low));
  out.v[2] = hn::BitCast(d8, hn::InterleaveLower(d64, ab_high, ce_high));
  out.v[3] = hn::BitCast(d8, hn::InterleaveUpper(d64, ab_high, ce_high));
  return out;
}

template <TensorType kType, bool kTransposed>
HWY_INLINE Field LoadField(const RowBlocks<kType, kTransposed>& blocks, size_t offset) {
  const DU8 d;
  Field field;
#pragma GCC unroll 4
  for (size_t i = 0; i < 4; ++i) field.v[i] = LoadColumn(d, blocks.rows + i, blocks.offset + offset);
  if constexpr (kTransposed) return Transpose(field);
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

template <class Blocks>
HWY_INLINE Words LoadWords(const Blocks& blocks, size_t offset) {
  const Field field = LoadField(blocks.InLanes(), offset);
  Words words;
#pragma GCC unroll 4
  for (size_t i = 0; i < 4; ++i) words.w[i] = hn::BitCast(DU(), field.v[i]);
  return words;
}

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

template <TensorType kType, bool kTransposed>
HWY_INLINE VU LoadWord(const RowBlocks<kType, kTransposed>& blocks, size_t offset) {
  return LoadNumbers(DU(), blocks.rows, blocks.offset + offset);
}

template <TensorType kType>
HWY_INLINE VU LoadWord(const StripBlocks<kType>& blocks, size_t offset) {
  return hn::BitCast(DU(), hn::LoadU(DU8(), blocks.WordAt(offset)));
}

template <TensorType kType, bool kTransposed>
HWY_INLINE VF LoadHalves(const RowBlocks<kType, kTransposed>& blocks, size_t offset) {
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
  if constexpr (StripBlocks<kType>::kLayout.rest == 2) {
    const hn::Rebind<uint16_t, DF> du16;
    const hn::Rebind<hwy::float16_t, DF> d16;
    const hn::Repartition<uint8_t, decltype(du16)> d8;
    return hn::PromoteTo(DF(), hn::BitCast(d16, hn::LoadU(d8, blocks.Rest())));
  } else {
    const VU word = LoadWord(blocks, offset / 4 * 4);
    return HalvesOf(offset % 4 ? hn::ShiftRight<16>(word) : word);
  }
}

// The first byte of each block.
template <TensorType kType, bool kTransposed>
HWY_INLINE VU LoadFirstBytes(const RowBlocks<kType, kTransposed>& blocks) {
  const hn::Rebind<uint16_t, DU> du16;
  const VU bytes = hn::PromoteTo(DU(), LoadNumbers(du16, blocks.rows, blocks.offset));
  return hn::And(bytes, hn::Set(DU(), 0xff));
}

template <TensorType kType>
HWY_INLINE VU LoadFirstBytes(const StripBlocks<kType>& blocks) {
  static_assert(StripBlocks<kType>::kLayout.rest == 1);
  return hn::PromoteTo(DU(), hn::LoadU(hn::Rebind<uint8_t, DU>(), blocks.Rest()));
}

HWY_INLINE VF FloatsOf(VU w) { return hn::ConvertTo(DF(), hn::BitCast(DI(), w)); }

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace throng::model
HWY_AFTER_NAMESPACE();

#endif  // THRONG_MODEL_MATMUL_BLOCKS_INL_H_
