#include "kv/gear/gear_kernels.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/half.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kv/gear/gear_kernels.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

// Highway's AVX-512 target with VNNI leaves out the flag for it.
#if HWY_TARGET == HWY_AVX3_DL
HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avx512vnni")
#else
HWY_BEFORE_NAMESPACE();
#endif
namespace throng::kv {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_AVX3_DL
#define THRONG_GEAR_VNNI 1
#else
#define THRONG_GEAR_VNNI 0
#endif
#if HWY_TARGET == HWY_AVX2
#define THRONG_GEAR_AVX2 1
#else
#define THRONG_GEAR_AVX2 0
#endif

constexpr int kTileRows = 4;                 // of weights; they share each load of codes
constexpr int kMaxLanes = kMaxHeadDim + 16;  // a vector may run beyond the last lane
constexpr size_t kSlack = 64;                // so may a load of codes
constexpr int kMaxEntries = static_cast<int>(kGearMaxSparsity * kPageTokens * kMaxHeadDim + 1.0);

// What a page holds, in the form that all tiles of rows share.
struct Tile {
  HWY_ALIGN uint8_t codes[kPageTokens * kMaxHeadDim + kSlack];
  HWY_ALIGN float scales[kGearMaxPairs];  // [num_groups, rows]
  HWY_ALIGN float zeros[kGearMaxPairs];
  HWY_ALIGN float row_factors[kGearMaxRank * kMaxHeadDim];   // [rank, rows]
  HWY_ALIGN float lane_factors[kGearMaxRank * kMaxHeadDim];  // [rank, lanes], with the scale
  HWY_ALIGN float differences[kMaxEntries + 8];
};

// One row's weights of one group, folded with the scales: sum_k w[k] (scale code + zero) is
// unit * sum_k (128 high + low) code + base.
struct Folded {
  HWY_ALIGN int8_t high[kMaxHeadDim];
  HWY_ALIGN int8_t low[kMaxHeadDim];
  float unit, base;
};

using DF8 = hn::CappedTag<float, 8>;
using DF16 = hn::CappedTag<float, 16>;  // where the number is a multiple of 16

HWY_INLINE int32_t LoadInt32(const void* p) {
  int32_t bits;
  std::memcpy(&bits, p, sizeof(bits));
  return bits;
}

template <int kShift, int kMask, class DU>
HWY_INLINE hn::Vec<DU> Bits(DU du, hn::Vec<DU> v) {
  const hn::Repartition<uint16_t, DU> dw;
  if constexpr (kShift != 0) v = hn::BitCast(du, hn::ShiftRight<kShift>(hn::BitCast(dw, v)));
  return hn::And(v, hn::Set(du, kMask));
}

// The places of the third bits of 512 codes, after their two low bits are in `to`.
template <int kPlace, class DU>
HWY_INLINE void AddThirdBits(DU du, const uint8_t* from, uint8_t* to) {
  for (size_t j = 0; j < kGearSubChunk; j += hn::Lanes(du)) {
    const auto bit = Bits<kPlace, 1>(du, hn::LoadU(du, from + j));
    const auto high = hn::Add(hn::Add(bit, bit), hn::Add(bit, bit));
    hn::StoreU(hn::Or(hn::LoadU(du, to + kPlace * 64 + j), high), du, to + kPlace * 64 + j);
  }
}

template <class DU>
HWY_INLINE void UnpackTwoBits(DU du, const uint8_t* from, uint8_t* to) {
  for (size_t j = 0; j < kGearSubChunk; j += hn::Lanes(du)) {
    const auto v = hn::LoadU(du, from + j);
    hn::StoreU(Bits<0, 3>(du, v), du, to + j);
    hn::StoreU(Bits<2, 3>(du, v), du, to + 64 + j);
    hn::StoreU(Bits<4, 3>(du, v), du, to + 128 + j);
    hn::StoreU(Bits<6, 3>(du, v), du, to + 192 + j);
  }
}

void UnpackCodes(const GearLayout& layout, const uint8_t* from, uint8_t* to) {
  const hn::CappedTag<uint8_t, 64> du;
  const uint8_t* end = from + layout.count.codes;
  if (layout.bits == 4) {
    for (; from < end; from += 64, to += 128) {
      for (size_t j = 0; j < kGearSubChunk; j += hn::Lanes(du)) {
        const auto v = hn::LoadU(du, from + j);
        hn::StoreU(Bits<0, 15>(du, v), du, to + j);
        hn::StoreU(Bits<4, 15>(du, v), du, to + 64 + j);
      }
    }
  } else if (layout.bits == 2) {
    for (; from < end; from += 64, to += 256) UnpackTwoBits(du, from, to);
  } else {
    for (; from < end; from += 192, to += 512) {
      UnpackTwoBits(du, from, to);
      UnpackTwoBits(du, from + 64, to + 256);
      AddThirdBits<0>(du, from + 128, to);
      AddThirdBits<1>(du, from + 128, to);
      AddThirdBits<2>(du, from + 128, to);
      AddThirdBits<3>(du, from + 128, to);
      AddThirdBits<4>(du, from + 128, to);
      AddThirdBits<5>(du, from + 128, to);
      AddThirdBits<6>(du, from + 128, to);
      AddThirdBits<7>(du, from + 128, to);
    }
  }
}

void ConvertHalves(const uint8_t* from, size_t count, float* to) {
  const DF8 df;
  const hn::Rebind<hwy::float16_t, DF8> dh;
  const size_t N = hn::Lanes(df);
  size_t i = 0;
  for (; i + N <= count; i += N) {
    const auto v = hn::LoadU(dh, reinterpret_cast<const hwy::float16_t*>(from) + i);
    hn::StoreU(hn::PromoteTo(df, v), df, to + i);
  }
  for (; i < count; ++i) {
    uint16_t bits;
    std::memcpy(&bits, from + 2 * i, 2);
    to[i] = HalfToFloat(bits);
  }
}

// count: a multiple of 8.
void ConvertFactors(const uint8_t* from, size_t count, float scale, float* to) {
  const DF8 df;
  const hn::Rebind<int32_t, DF8> di;
  const hn::Rebind<int8_t, DF8> db;
  const auto factor = hn::Set(df, scale);
  for (size_t i = 0; i < count; i += hn::Lanes(df)) {
    const auto v = hn::PromoteTo(di, hn::LoadU(db, reinterpret_cast<const int8_t*>(from) + i));
    hn::StoreU(hn::Mul(hn::ConvertTo(df, v), factor), df, to + i);
  }
}

// Fetches the page of values that follows the keys in a block; were it elsewhere, nothing but time would be
// lost.
void PrefetchNext(const GearLayout& layout, const uint8_t* encoded) {
  const size_t bytes = (layout.count.Total() + 63) / 64 * 64;
  for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(encoded + bytes + i);
}

void FillTile(const GearLayout& layout, const uint8_t* encoded, Tile& tile) {
  if (layout.part == Part::kKeys) PrefetchNext(layout, encoded);
  UnpackCodes(layout, encoded, tile.codes);
  const size_t rows = static_cast<size_t>(layout.rows);
  const size_t lanes = static_cast<size_t>(layout.lanes);
  ConvertHalves(encoded + layout.scales, rows * layout.num_groups, tile.scales);
  ConvertHalves(encoded + layout.zeros, rows * layout.num_groups, tile.zeros);
  for (int j = 0; j < layout.rank; ++j) {
    float scale;
    std::memcpy(&scale, encoded + layout.factor_scales + 4 * j, 4);
    ConvertFactors(encoded + layout.row_factors + j * rows, rows, 1.0f, tile.row_factors + j * rows);
    ConvertFactors(encoded + layout.lane_factors + j * lanes, lanes, scale, tile.lane_factors + j * lanes);
  }
  ConvertHalves(encoded + layout.differences, layout.entries, tile.differences);
}

// kDigits: 1 for weights of 8 bits, in low; 2 for 14 bits. rows: a multiple of the lanes of df.
template <int kDigits, class DF>
HWY_INLINE void Fold(DF df, const float* weights, const float* scales, const float* zeros, size_t rows,
                     float middle, Folded& to) {
  const hn::Rebind<int32_t, DF> di;
  const hn::Rebind<int8_t, DF> db;
  const size_t N = hn::Lanes(df);
  HWY_ALIGN float folded[kMaxHeadDim];
  auto largest = hn::Zero(df);
  auto base = hn::Zero(df);
  for (size_t k = 0; k < rows; k += N) {
    const auto weight = hn::LoadU(df, weights + k);
    const auto product = hn::Mul(weight, hn::LoadU(df, scales + k));
    hn::StoreU(product, df, folded + k);
    largest = hn::Max(largest, hn::Abs(product));
    base = hn::MulAdd(weight, hn::LoadU(df, zeros + k), base);
  }
  constexpr float kLimit = kDigits == 2 ? 8127.0f : 127.0f;
  const float top = hn::GetLane(hn::MaxOfLanes(df, largest));
  // Below this the quotient overflows; such weights count as 0.
  const bool none = top < 1e-30f;
  to.unit = none ? 0.0f : top / kLimit;
  const auto inverse = hn::Set(df, none ? 0.0f : kLimit / top);
  const auto unit = hn::Set(df, to.unit);
  const auto half = hn::Set(df, middle);
  for (size_t k = 0; k < rows; k += N) {
    const auto product = hn::LoadU(df, folded + k);
    const auto rounded = hn::NearestInt(hn::Mul(product, inverse));
    base = hn::MulAdd(hn::NegMulAdd(hn::ConvertTo(df, rounded), unit, product), half, base);
    if constexpr (kDigits == 2) {
      const auto high = hn::ShiftRight<7>(hn::Add(rounded, hn::Set(di, 64)));
      hn::StoreU(hn::DemoteTo(db, high), db, to.high + k);
      hn::StoreU(hn::DemoteTo(db, hn::Sub(rounded, hn::ShiftLeft<7>(high))), db, to.low + k);
    } else {
      hn::StoreU(hn::DemoteTo(db, rounded), db, to.low + k);
    }
  }
  to.base = hn::GetLane(hn::SumOfLanes(df, base));
}

// acc[r, lane..] = unit * sum_k weight * code + base for kVecs vectors of lanes.
#if THRONG_GEAR_VNNI

constexpr int kVecLanes = 16;
constexpr int kWide = 4;

template <int kRows, int kVecs, int kDigits>
HWY_INLINE void DotTile(const uint8_t* codes, size_t rows, size_t lanes, const Folded* folded, float* acc) {
  __m512i sum[kRows][kVecs];
  for (auto& of_row : sum) {
    for (auto& v : of_row) v = _mm512_setzero_si512();
  }
  HWY_UNROLL(2)
  for (int digit = kDigits - 1; digit >= 0; --digit) {
    for (size_t k = 0; k < rows; k += 4) {
      __m512i code[kVecs];
      HWY_UNROLL(8)
      for (int v = 0; v < kVecs; ++v) code[v] = _mm512_loadu_si512(codes + k * lanes + v * 64);
      HWY_UNROLL(8)
      for (int r = 0; r < kRows; ++r) {
        const int8_t* from = digit == 1 ? folded[r].high : folded[r].low;
        const __m512i weight = _mm512_set1_epi32(LoadInt32(from + k));
        HWY_UNROLL(8)
        for (int v = 0; v < kVecs; ++v) sum[r][v] = _mm512_dpbusd_epi32(sum[r][v], code[v], weight);
      }
    }
    if (digit == 1) {
      for (auto& of_row : sum) {
        for (auto& v : of_row) v = _mm512_slli_epi32(v, 7);
      }
    }
  }
  HWY_UNROLL(8)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(8)
    for (int v = 0; v < kVecs; ++v) {
      const __m512 value = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[r][v]), _mm512_set1_ps(folded[r].unit),
                                           _mm512_set1_ps(folded[r].base));
      _mm512_storeu_ps(acc + r * kMaxLanes + v * 16, value);
    }
  }
}

#elif THRONG_GEAR_AVX2

constexpr int kVecLanes = 8;
constexpr int kWide = 2;

// vpmaddubsw adds two products of at most 15 * 127: 8 such sums stay within 16 bits.
template <int kRows, int kVecs, int kDigits>
HWY_INLINE void DotTile(const uint8_t* codes, size_t rows, size_t lanes, const Folded* folded, float* acc) {
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i sum[kRows][kVecs];
  for (auto& of_row : sum) {
    for (auto& v : of_row) v = _mm256_setzero_si256();
  }
  HWY_UNROLL(2)
  for (int digit = kDigits - 1; digit >= 0; --digit) {
    for (size_t first = 0; first < rows; first += 32) {
      __m256i narrow[kRows][kVecs];
      for (auto& of_row : narrow) {
        for (auto& v : of_row) v = _mm256_setzero_si256();
      }
      const size_t end = std::min(first + 32, rows);
      for (size_t k = first; k < end; k += 4) {
        __m256i code[kVecs];
        HWY_UNROLL(8)
        for (int v = 0; v < kVecs; ++v) {
          code[v] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes + k * lanes + v * 32));
        }
        HWY_UNROLL(8)
        for (int r = 0; r < kRows; ++r) {
          const int8_t* from = digit == 1 ? folded[r].high : folded[r].low;
          const __m256i weight = _mm256_set1_epi32(LoadInt32(from + k));
          HWY_UNROLL(8)
          for (int v = 0; v < kVecs; ++v) {
            narrow[r][v] = _mm256_add_epi16(narrow[r][v], _mm256_maddubs_epi16(code[v], weight));
          }
        }
      }
      HWY_UNROLL(8)
      for (int r = 0; r < kRows; ++r) {
        HWY_UNROLL(8)
        for (int v = 0; v < kVecs; ++v) {
          sum[r][v] = _mm256_add_epi32(sum[r][v], _mm256_madd_epi16(narrow[r][v], ones));
        }
      }
    }
    if (digit == 1) {
      for (auto& of_row : sum) {
        for (auto& v : of_row) v = _mm256_slli_epi32(v, 7);
      }
    }
  }
  HWY_UNROLL(8)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(8)
    for (int v = 0; v < kVecs; ++v) {
      const __m256 value = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[r][v]), _mm256_set1_ps(folded[r].unit),
                                           _mm256_set1_ps(folded[r].base));
      _mm256_storeu_ps(acc + r * kMaxLanes + v * 8, value);
    }
  }
}

#else

constexpr int kVecLanes = 8;
constexpr int kWide = 2;

template <int kRows, int kVecs, int kDigits>
HWY_INLINE void DotTile(const uint8_t* codes, size_t rows, size_t lanes, const Folded* folded, float* acc) {
  for (int r = 0; r < kRows; ++r) {
    int32_t sum[kVecs * kVecLanes] = {};
    for (size_t k = 0; k < rows; ++k) {
      const int32_t weight = folded[r].low[k] + (kDigits == 2 ? 128 * folded[r].high[k] : 0);
      const uint8_t* code = codes + k / 4 * 4 * lanes + k % 4;
      for (int i = 0; i < kVecs * kVecLanes; ++i) sum[i] += weight * code[4 * i];
    }
    for (int i = 0; i < kVecs * kVecLanes; ++i) {
      acc[r * kMaxLanes + i] = static_cast<float>(sum[i]) * folded[r].unit + folded[r].base;
    }
  }
}

#endif

// acc[kRows, kMaxLanes] = D.
template <int kRows, int kDigits>
HWY_INLINE void ApplyCodes(const GearLayout& layout, const Tile& tile, const float* const* weights,
                           float* acc) {
  Folded folded[kRows];
  const size_t rows = static_cast<size_t>(layout.rows);
  const size_t lanes = static_cast<size_t>(layout.lanes);
  const float middle = 0.5f * static_cast<float>((1 << layout.bits) - 1);
  for (int group = 0; group < layout.num_groups; ++group) {
    for (int r = 0; r < kRows; ++r) {
      const float* scales = tile.scales + group * rows;
      const float* zeros = tile.zeros + group * rows;
      if (rows % 16 == 0) {
        Fold<kDigits>(DF16(), weights[r], scales, zeros, rows, middle, folded[r]);
      } else {
        Fold<kDigits>(DF8(), weights[r], scales, zeros, rows, middle, folded[r]);
      }
    }
    const size_t end = std::min<size_t>(lanes, static_cast<size_t>(group + 1) * layout.group);
    size_t lane = static_cast<size_t>(group) * layout.group;
    for (; lane + kWide * kVecLanes <= end; lane += kWide * kVecLanes) {
      DotTile<kRows, kWide, kDigits>(tile.codes + 4 * lane, rows, lanes, folded, acc + lane);
    }
    for (; lane < end; lane += kVecLanes) {
      DotTile<kRows, 1, kDigits>(tile.codes + 4 * lane, rows, lanes, folded, acc + lane);
    }
  }
}

// acc += L, down to rank numbers and up again.
template <class DF>
HWY_INLINE void AddLowRank(DF df, const GearLayout& layout, const Tile& tile, const float* weights,
                           float* acc) {
  const size_t N = hn::Lanes(df);
  const size_t rows = static_cast<size_t>(layout.rows);
  const size_t lanes = static_cast<size_t>(layout.lanes);
  for (int j = 0; j < layout.rank; ++j) {
    auto sum = hn::Zero(df);
    for (size_t k = 0; k < rows; k += N) {
      sum = hn::MulAdd(hn::LoadU(df, weights + k), hn::Load(df, tile.row_factors + j * rows + k), sum);
    }
    const auto down = hn::SumOfLanes(df, sum);
    for (size_t i = 0; i < lanes; i += N) {
      const auto up =
          hn::MulAdd(down, hn::Load(df, tile.lane_factors + j * lanes + i), hn::Load(df, acc + i));
      hn::Store(up, df, acc + i);
    }
  }
}

// acc += S, for four rows at once: weights and sums lie as [k, 4] and [lane, 4], so that an entry is one
// multiply-add.
HWY_INLINE void AddSparse(const GearLayout& layout, const Tile& tile, const uint8_t* positions,
                          const float* const* weights, int num_rows, float* acc) {
  const hn::CappedTag<float, 4> d4;
  static_assert(hn::MaxLanes(d4) == 4);
  HWY_ALIGN float weights4[kMaxHeadDim * 4];
  HWY_ALIGN float sums[kMaxHeadDim * 4];
  for (int k = 0; k < layout.rows; k += 4) {
    hn::StoreInterleaved4(hn::LoadU(d4, weights[0] + k), hn::LoadU(d4, weights[1] + k),
                          hn::LoadU(d4, weights[2] + k), hn::LoadU(d4, weights[3] + k), d4, weights4 + 4 * k);
  }
  for (int i = 0; i < layout.lanes; ++i) hn::Store(hn::Zero(d4), d4, sums + 4 * i);
  for (int e = 0; e < layout.entries; ++e) {
    const size_t k = positions[2 * e + 1];
    float* sum = sums + size_t{4} * positions[2 * e];
    const auto weight = hn::Load(d4, weights4 + 4 * k);
    hn::Store(hn::MulAdd(weight, hn::Set(d4, tile.differences[e]), hn::Load(d4, sum)), d4, sum);
  }
  for (int i = 0; i < layout.lanes; i += 4) {
    hn::Vec<decltype(d4)> row[4];
    hn::LoadInterleaved4(d4, sums + 4 * i, row[0], row[1], row[2], row[3]);
    for (int r = 0; r < num_rows; ++r) {
      float* to = acc + r * kMaxLanes + i;
      hn::Store(hn::Add(hn::Load(d4, to), row[r]), d4, to);
    }
  }
}

HWY_INLINE void StoreRow(const float* acc, size_t lanes, const float* rescale, float* out) {
  if (rescale == nullptr) {
    std::memcpy(out, acc, lanes * sizeof(float));
    return;
  }
  const DF8 df;
  const auto scale = hn::Set(df, *rescale);
  for (size_t i = 0; i < lanes; i += hn::Lanes(df)) {
    hn::StoreU(hn::MulAdd(hn::LoadU(df, out + i), scale, hn::Load(df, acc + i)), df, out + i);
  }
}

template <int kRows, int kDigits>
HWY_INLINE void ApplyRows(const GearLayout& layout, const Tile& tile, const uint8_t* encoded,
                          const float* weights, size_t weight_stride, const float* rescale, float* out) {
  static constexpr float kNone[kMaxHeadDim] = {};
  const float* of_row[kTileRows];
  for (int r = 0; r < kTileRows; ++r) of_row[r] = r < kRows ? weights + r * weight_stride : kNone;
  HWY_ALIGN float acc[kRows * kMaxLanes];
  ApplyCodes<kRows, kDigits>(layout, tile, of_row, acc);
  for (int r = 0; r < kRows; ++r) {
    if (layout.rows % 16 == 0 && layout.lanes % 16 == 0) {
      AddLowRank(DF16(), layout, tile, of_row[r], acc + r * kMaxLanes);
    } else {
      AddLowRank(DF8(), layout, tile, of_row[r], acc + r * kMaxLanes);
    }
  }
  if (layout.entries > 0) AddSparse(layout, tile, encoded + layout.positions, of_row, kRows, acc);
  const size_t lanes = static_cast<size_t>(layout.lanes);
  for (int r = 0; r < kRows; ++r) {
    StoreRow(acc + r * kMaxLanes, lanes, rescale == nullptr ? nullptr : rescale + r, out + r * lanes);
  }
}

template <int kDigits>
void ApplyAll(const GearLayout& layout, const uint8_t* encoded, const float* weights, size_t weight_stride,
              int num_rows, const float* rescale, float* out) {
  Tile tile;
  FillTile(layout, encoded, tile);
  const size_t lanes = static_cast<size_t>(layout.lanes);
  int r = 0;
  const auto apply = [&](auto rows) HWY_ATTR {
    ApplyRows<rows(), kDigits>(layout, tile, encoded, weights + r * weight_stride, weight_stride,
                               rescale == nullptr ? nullptr : rescale + r, out + r * lanes);
  };
  for (; r + kTileRows <= num_rows; r += kTileRows) apply(std::integral_constant<int, kTileRows>());
  for (; r < num_rows; ++r) apply(std::integral_constant<int, 1>());
}

void ApplyTarget(const GearLayout& layout, const uint8_t* encoded, const float* weights, size_t weight_stride,
                 int num_rows, const float* rescale, float* out) {
  const bool one_digit = layout.part == Part::kKeys && layout.bits < 4;
  const auto apply = one_digit ? ApplyAll<1> : ApplyAll<2>;
  apply(layout, encoded, weights, weight_stride, num_rows, rescale, out);
}

#undef THRONG_GEAR_VNNI
#undef THRONG_GEAR_AVX2

}  // namespace HWY_NAMESPACE
}  // namespace throng::kv
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace throng::kv {

HWY_EXPORT(ApplyTarget);

void ApplyGear(const GearLayout& layout, const uint8_t* encoded, const float* weights, size_t weight_stride,
               int num_rows, const float* rescale, float* out) {
  HWY_DYNAMIC_DISPATCH(ApplyTarget)(layout, encoded, weights, weight_stride, num_rows, rescale, out);
}

}  // namespace throng::kv
#endif  // HWY_ONCE
