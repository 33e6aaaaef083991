// A tile of outputs: where its blocks lie, and how its codes and scales are packed once for many rows: per
// target.

#if defined(THRONG_MODEL_MATMUL_TILES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef THRONG_MODEL_MATMUL_TILES_INL_H_
#undef THRONG_MODEL_MATMUL_TILES_INL_H_
#else
#define THRONG_MODEL_MATMUL_TILES_INL_H_
#endif

#include "model/matmul/matmul.h"
#include "model/matmul/matmul_unpack-inl.h"

HWY_BEFORE_NAMESPACE();
namespace throng::model {
namespace HWY_NAMESPACE {

constexpr size_t kTile = 2 * kLanes;          // outputs of one tile
constexpr size_t kPackedVectors = 8 + 2 + 2;  // of a group: codes, scales, minimums

// Streams that the memory is to bring while codes that are packed are multiplied: some lines per group.
struct Ahead {
  HWY_INLINE void Fetch() {
    for (size_t i = 0; i < lines && next[0] < end; ++i) {
      hwy::Prefetch(next[0]);
      hwy::Prefetch(next[1]);
      next[0] += 64;
      next[1] += 64;
    }
  }

  const uint8_t* next[2];
  const uint8_t* end;  // of the first
  size_t lines;
};

// Codes of kKind as int8, without their offset.
template <Kind kKind>
HWY_INLINE VU8 SignedCodes(VU8 codes) {
  // An offset of 128 was added by the same operation, so that the compiler drops both.
  if constexpr (kKind.offset == 128) return hn::Xor(codes, hn::Set(DU8(), 0x80));
  if constexpr (kKind.offset != 0) return hn::Sub(codes, hn::Set(DU8(), kKind.offset));
  return codes;
}

// Stores what blocks are unpacked to. kSigned: codes as int8.
template <TensorType kType, bool kSigned>
struct Packer {
  static constexpr size_t kScalesAtOnce = kChunkGroups;
  static constexpr Kind kKind = KindOf<kType>();

  HWY_INLINE void Add(size_t g, const Codes& codes, const Scales& scales) const {
    const DU8 d8;
    const DF df;
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; ++i) {
      VU8 code = codes.half[i / 4].v[i % 4];
      if constexpr (kSigned) code = SignedCodes<kKind>(code);
      hn::Store(code, d8, out.codes + (8 * g + i) * kVectorBytes);
    }
    constexpr size_t kParts = kKind.halves ? 2 : 1;
#pragma GCC unroll 2
    for (size_t part = 0; part < kParts; ++part) {
      const size_t at = (g * kParts + part) * kLanes;
      hn::Store(scales.scale[part], df, out.scales + at);
      if constexpr (kKind.has_min) hn::Store(scales.min[part], df, out.mins + at);
    }
  }

  // Strips are fetched while they are multiplied: StripTile::AheadOf.
  template <size_t kPart, size_t kParts>
  HWY_INLINE void Fetch(const StripBlocks<kType>&) const {}
  template <size_t kPart, size_t kParts>
  HWY_INLINE void Fetch(const RowBlocks<kType, true>& blocks) const {
    FetchAhead<kPart, kParts>(blocks);
  }

  Packed out;
};

// Where a tile's blocks lie: of row-major weights.
template <TensorType kType>
struct RowTile {
  static constexpr size_t kVectorsTogether = 1;
  static constexpr size_t kMaxFewRows = 4;

  RowTile(const Matrix& w, size_t first_output) : row_bytes(w.RowBytes()) {
    // Lanes beyond the last output repeat it; their results are not stored.
    for (size_t i = 0; i < kTile; ++i) rows[i] = w.data + HWY_MIN(first_output + i, w.rows - 1) * row_bytes;
  }
  // The blocks of vector v from `offset` bytes of a row on. The data needed after `bytes` more of each row is
  // the next of these rows or, at their end, the first of the next tile's.
  HWY_INLINE RowBlocks<kType> At(size_t v, size_t offset, size_t bytes) const {
    return {rows + v * kLanes, offset, offset + bytes < row_bytes ? bytes : kTile * row_bytes - offset};
  }

  // Nothing: RowBlocks are fetched ahead as they are packed.
  HWY_INLINE Ahead AheadOf(size_t, size_t, size_t) const { return {}; }

  const uint8_t* rows[kTile];
  size_t row_bytes;
};

// The same of weights in strips.
template <TensorType kType>
struct StripTile {
  static constexpr size_t kVectorsTogether = kLanes < kStripRows ? 2 : 1;  // that share the lines of a strip
  static constexpr size_t kMaxFewRows = kLanes == 16 ? 8 : 4;              // of which 8 take 24 registers

  StripTile(const Matrix& w, size_t first_output) : row_bytes(w.RowBytes()) {
    for (size_t v = 0; v < 2; ++v) {
      const size_t output = HWY_MIN(first_output + v * kLanes, w.rows - 1) / kLanes * kLanes;
      lanes[v] = output % kStripRows;
      strips[v] = w.data + (output - lanes[v]) * row_bytes;
    }
  }
  HWY_INLINE StripBlocks<kType> At(size_t v, size_t offset, size_t) const {
    return {strips[v] + kStripRows * offset, lanes[v]};
  }
  // The `bytes` of each row after as many from `offset` on or, at the end, the first of the next tile's, to
  // be fetched in `calls` calls.
  HWY_INLINE Ahead AheadOf(size_t offset, size_t bytes, size_t calls) const {
    constexpr size_t kStreams = kLanes < kStripRows ? 1 : 2;
    const bool at_end = offset + bytes >= row_bytes;
    const size_t size = kStripRows * bytes / (3 - kStreams) / 64 * 64;
    const size_t next = at_end ? kStreams * kStripRows * row_bytes : kStripRows * (offset + bytes);
    Ahead ahead;
    ahead.next[0] = strips[0] + next;
    ahead.next[1] = kStreams == 2 ? strips[1] + next : ahead.next[0] + size;
    ahead.end = ahead.next[0] + size;
    ahead.lines = (size / 64 + calls - 1) / calls;
    return ahead;
  }

  const uint8_t* strips[2];
  size_t lanes[2];
  size_t row_bytes;
};

// y[first, first + kLanes) = sums, as far as y has `outputs` elements.
HWY_INLINE void StoreOutputs(const float* sums, size_t first, size_t outputs, float* y) {
  const DF df;
  if (first + kLanes <= outputs) {
    hn::StoreU(hn::Load(df, sums), df, y + first);
  } else {
    for (size_t i = first; i < outputs; ++i) y[i] = sums[i - first];
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace throng::model
HWY_AFTER_NAMESPACE();

#endif  // THRONG_MODEL_MATMUL_TILES_INL_H_
