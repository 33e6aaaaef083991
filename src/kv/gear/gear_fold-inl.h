// Weights of gear.h as integers of 8 bits, folded with the scales of a page.
#if defined(THRONG_KV_GEAR_FOLD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef THRONG_KV_GEAR_FOLD_INL_H_
#undef THRONG_KV_GEAR_FOLD_INL_H_
#else
#define THRONG_KV_GEAR_FOLD_INL_H_
#endif

#include "hwy/highway.h"
#include "kv/finite.h"
#include "kv/gear/gear_tile-inl.h"
#include "kv/vnni-inl.h"

THRONG_BEFORE_NAMESPACE();
namespace throng::kv {
namespace HWY_NAMESPACE {
namespace gear {
namespace hn = hwy::HWY_NAMESPACE;

template <class DF>
using V = hn::Vec<DF>;

// Block b (of four lanes) holds the sums of block b of v0, v1, v2 and v3.
struct Plus {
  template <class VF>
  HWY_INLINE VF operator()(VF a, VF b) const {
    return hn::Add(a, b);
  }
};
struct Larger {
  template <class VF>
  HWY_INLINE VF operator()(VF a, VF b) const {
    return hn::Max(a, b);
  }
};

// Reduces one to four vectors within each block of four lanes: lane i of a block holds the result of v[i], or
// all lanes that of v[0]. A vector's result does not depend on the number of vectors.
template <int kRows, class DF, class Op>
HWY_INLINE V<DF> ReduceBlocks(DF df, const V<DF>* v, Op op) {
  if constexpr (kRows == 1) {
    const auto halves = op(v[0], hn::Shuffle1032(v[0]));
    return op(halves, hn::Shuffle2301(halves));
  } else {
    static_assert(kRows == 4);
    const hn::RepartitionToWide<hn::RebindToUnsigned<DF>> dw;
    const auto a =
        hn::BitCast(dw, op(hn::InterleaveLower(df, v[0], v[1]), hn::InterleaveUpper(df, v[0], v[1])));
    const auto b =
        hn::BitCast(dw, op(hn::InterleaveLower(df, v[2], v[3]), hn::InterleaveUpper(df, v[2], v[3])));
    return op(hn::BitCast(df, hn::InterleaveLower(dw, a, b)), hn::BitCast(df, hn::InterleaveUpper(dw, a, b)));
  }
}

template <class DF, class Op>
HWY_INLINE V<DF4> AcrossBlocks(DF df, V<DF> v, Op op) {
  if constexpr (hn::MaxLanes(DF()) == 4) {
    return v;
  } else {
    const hn::Half<DF> half;
    return AcrossBlocks(half, op(hn::LowerHalf(half, v), hn::UpperHalf(half, v)), op);
  }
}

// One number per vector.
template <int kRows, class DF, class Op>
HWY_INLINE V<DF4> Reduce(DF df, const V<DF>* v, Op op) {
  return AcrossBlocks(df, ReduceBlocks<kRows>(df, v, op), op);
}

// Rows of weights of one group, folded with the scales: sum_k w[k] (scale code + zero) is
// unit * sum_k byte code + base.
struct Folded {
  uint8_t (*bytes)[kMaxHeadDim];  // [rows][k], aligned to 64; signed for keys, unsigned for values
  float *unit, *inverse, *base;   // [4]
};

// The memory of so many rows.
template <int kRows>
struct FoldedRows {
  HWY_ALIGN uint8_t bytes[kRows][kMaxHeadDim];
  HWY_ALIGN float unit[kRows + 3], inverse[kRows + 3], base[kRows + 3];

  // Of up to four rows.
  HWY_INLINE Folded From(int row) { return {bytes + row, unit + row, inverse + row, base + row}; }
};

// Added to a number of few bits, leaves it as an integer in the low bits.
constexpr float kRounder = 12582912.0f;

#if THRONG_VNNI

HWY_ALIGN static constexpr uint16_t kEvenWords[32] = {0,  2,  4,  6,  8,  10, 12, 14, 16, 18, 20,
                                                      22, 24, 26, 28, 30, 32, 34, 36, 38, 40, 42,
                                                      44, 46, 48, 50, 52, 54, 56, 58, 60, 62};
HWY_ALIGN static constexpr uint8_t kEvenBytes[64] = {
    0,  2,  4,  6,  8,  10, 12,  14,  16,  18,  20,  22,  24,  26,  28,  30,  32,  34,  36,  38, 40, 42,
    44, 46, 48, 50, 52, 54, 56,  58,  60,  62,  64,  66,  68,  70,  72,  74,  76,  78,  80,  82, 84, 86,
    88, 90, 92, 94, 96, 98, 100, 102, 104, 106, 108, 110, 112, 114, 116, 118, 120, 122, 124, 126};

// 64 weights of one row; x: four vectors of sums with kRounder.
HWY_INLINE void StoreBytes64(const V<DF16>* x, uint8_t* bytes) {
  const __m512i words = _mm512_load_si512(kEvenWords);
  const auto bits = [](V<DF16> v) THRONG_ATTR { return _mm512_castps_si512(v.raw); };
  const __m512i first = _mm512_permutex2var_epi16(bits(x[0]), words, bits(x[1]));
  const __m512i second = _mm512_permutex2var_epi16(bits(x[2]), words, bits(x[3]));
  _mm512_store_si512(bytes, _mm512_permutex2var_epi8(first, _mm512_load_si512(kEvenBytes), second));
}

#endif

// The largest |weight * scale| of each row, and the sums of weight * base.
template <int kRows, class DF>
HWY_INLINE void FoldSums(DF df, const float* const* weights, const float* scales, const float* bases,
                         size_t rows, V<DF>* largest, V<DF>* base) {
  HWY_UNROLL(4)
  for (int r = 0; r < kRows; ++r) largest[r] = base[r] = hn::Zero(df);
  for (size_t k = 0; k < rows; k += hn::Lanes(df)) {
    const auto scale = hn::LoadU(df, scales + k);
    const auto constant = hn::LoadU(df, bases + k);
    HWY_UNROLL(4)
    for (int r = 0; r < kRows; ++r) {
      const auto weight = hn::LoadU(df, weights[r] + k);
      largest[r] = hn::Max(largest[r], hn::Abs(hn::Mul(weight, scale)));
      base[r] = hn::MulAdd(weight, constant, base[r]);
    }
  }
}

// levels: the integer for the largest weight, 127 (of both signs) or 255. rows: a multiple of the lanes of
// df. middle: as given to FillTile.
template <int kRows, class DF>
HWY_INLINE void Fold(DF df, const float* const* weights, const float* scales, const float* bases, size_t rows,
                     float levels, float middle, const Folded& to) {
  const DF4 d4;
  const hn::RebindToSigned<DF> di;
  const hn::Rebind<uint8_t, DF> db;
  constexpr size_t kN = hn::MaxLanes(df);
  V<DF> largest[kRows], base[kRows];
  FoldSums<kRows>(df, weights, scales, bases, rows, largest, base);
  const auto top = Reduce<kRows>(df, largest, Larger());
  const auto some = hn::Ge(top, hn::Set(d4, kLeastScale));
  const auto limit = hn::Set(d4, levels);
  hn::StoreU(hn::IfThenElseZero(some, hn::Div(top, limit)), d4, to.unit);
  hn::StoreU(hn::IfThenElseZero(some, hn::Div(limit, top)), d4, to.inverse);

  const auto rounder = hn::Set(df, kRounder);
  V<DF> total[kRows];  // sum of the rounded weights
  HWY_UNROLL(4)
  for (int r = 0; r < kRows; ++r) total[r] = hn::Zero(df);
  const auto rounded = [&](int r, size_t k) THRONG_ATTR {
    const auto product = hn::Mul(hn::LoadU(df, weights[r] + k), hn::LoadU(df, scales + k));
    // Not fused, because not every target can.
    const auto x = hn::Add(hn::Mul(product, hn::Set(df, to.inverse[r])), rounder);
    total[r] = hn::Add(total[r], hn::Sub(x, rounder));
    return x;
  };
  size_t k = 0;
#if THRONG_VNNI
  if constexpr (kN == 16) {
    for (; k + 64 <= rows; k += 64) {
      HWY_UNROLL(4)
      for (int r = 0; r < kRows; ++r) {
        const V<DF> x[4] = {rounded(r, k), rounded(r, k + 16), rounded(r, k + 32), rounded(r, k + 48)};
        StoreBytes64(x, to.bytes[r] + k);
      }
    }
  }
#endif
  for (; k < rows; k += kN) {
    HWY_UNROLL(4)
    for (int r = 0; r < kRows; ++r) {
      const auto low = hn::And(hn::BitCast(di, rounded(r, k)), hn::Set(di, 255));
      hn::StoreU(hn::DemoteTo(db, low), db, to.bytes[r] + k);
    }
  }
  HWY_UNROLL(4)
  for (int r = 0; r < kRows; ++r) {
    base[r] = hn::NegMulAdd(total[r], hn::Set(df, to.unit[r] * middle), base[r]);
  }
  hn::StoreU(Reduce<kRows>(df, base, Plus()), d4, to.base);
}

}  // namespace gear
}  // namespace HWY_NAMESPACE
}  // namespace throng::kv
HWY_AFTER_NAMESPACE();

#endif  // THRONG_KV_GEAR_FOLD_INL_H_
