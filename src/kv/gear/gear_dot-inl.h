// Sums of products of codes and weights of gear.h, exact in integers.
#if defined(THRONG_KV_GEAR_DOT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef THRONG_KV_GEAR_DOT_INL_H_
#undef THRONG_KV_GEAR_DOT_INL_H_
#else
#define THRONG_KV_GEAR_DOT_INL_H_
#endif

#include <algorithm>

#include "hwy/highway.h"
#include "kv/codec.h"
#include "kv/gear/gear_fold-inl.h"
#include "kv/gear/gear_tile-inl.h"
#include "kv/vnni-inl.h"

THRONG_BEFORE_NAMESPACE();
namespace throng::kv {
namespace HWY_NAMESPACE {
namespace gear {
namespace hn = hwy::HWY_NAMESPACE;

constexpr int kMaxLanes = kMaxHeadDim + 16;  // a vector may run beyond the last lane

// Lines to fetch into the cache while products are computed.
struct Lines {
  const uint8_t* next = nullptr;
  const uint8_t* end = nullptr;
  HWY_INLINE void Fetch() {
    for (int i = 0; i < 2 && next < end; ++i, next += 64) __builtin_prefetch(next);
  }
};

// Sources of codes for DotTile: lanes [0, kVecs N), four rows at a time.
#if THRONG_VNNI

constexpr int kVecLanes = 16;

template <int kTileVecs>
struct Unpacked {
  static constexpr int kVecs = kTileVecs;
  const uint8_t* codes;
  size_t stride;  // of four rows
  HWY_INLINE void Load(size_t quad, __m512i* v) const {
    HWY_UNROLL(4)
    for (int i = 0; i < kVecs; ++i) v[i] = _mm512_loadu_si512(codes + quad * stride + i * 64);
  }
};

HWY_INLINE __m512i Masked(__m512i v, int mask) { return _mm512_and_si512(v, _mm512_set1_epi8(mask)); }

// kTileVecs: 2 or 4.
template <int kTileVecs>
struct Packed4 {
  static constexpr int kVecs = kTileVecs;
  const uint8_t* codes;
  size_t stride;
  HWY_INLINE void Load(size_t quad, __m512i* v) const {
    HWY_UNROLL(2)
    for (int i = 0; i < kVecs; i += 2) {
      const __m512i both = _mm512_loadu_si512(codes + quad * stride + i * 32);
      v[i] = Masked(both, 15);
      v[i + 1] = Masked(_mm512_srli_epi16(both, 4), 15);
    }
  }
};

// Lanes [kFirst, kFirst + 32) of 64.
template <int kFirst>
struct Packed2 {
  static constexpr int kVecs = 2;
  const uint8_t* codes;
  size_t stride;
  HWY_INLINE void Load(size_t quad, __m512i* v) const {
    const __m512i all = _mm512_loadu_si512(codes + quad * stride);
    v[0] = Masked(_mm512_srli_epi16(all, kFirst / 8), 3);
    v[1] = Masked(_mm512_srli_epi16(all, kFirst / 8 + 2), 3);
  }
};

struct Packed2Wide {
  static constexpr int kVecs = 4;
  const uint8_t* codes;
  size_t stride;
  HWY_INLINE void Load(size_t quad, __m512i* v) const {
    const __m512i all = _mm512_loadu_si512(codes + quad * stride);
    v[0] = Masked(all, 3);
    v[1] = Masked(_mm512_srli_epi16(all, 2), 3);
    v[2] = Masked(_mm512_srli_epi16(all, 4), 3);
    v[3] = Masked(_mm512_srli_epi16(all, 6), 3);
  }
};

// acc[r, 0..kVecs N) = unit * sum_k weight * code + base.
template <Part kPart, int kRows, class Codes>
HWY_INLINE void DotTile(const Codes& codes, size_t rows, const Folded& folded, Lines& lines, float* acc) {
  constexpr int kVecs = Codes::kVecs;
  __m512i sum[kRows][kVecs];
  HWY_UNROLL(4)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(4)
    for (int v = 0; v < kVecs; ++v) sum[r][v] = _mm512_setzero_si512();
  }
  for (size_t k = 0; k < rows; k += 4) {
    __m512i code[kVecs];
    codes.Load(k / 4, code);
    lines.Fetch();
    HWY_UNROLL(4)
    for (int r = 0; r < kRows; ++r) {
      const __m512i weight = _mm512_set1_epi32(FourBytes(folded.bytes[r] + k));
      HWY_UNROLL(4)
      for (int v = 0; v < kVecs; ++v) {
        sum[r][v] = kPart == Part::kKeys ? AddFours(sum[r][v], code[v], weight)
                                         : AddFours(sum[r][v], weight, code[v]);
      }
    }
  }
  HWY_UNROLL(4)
  for (int r = 0; r < kRows; ++r) {
    const __m512 unit = _mm512_set1_ps(folded.unit[r]);
    const __m512 base = _mm512_set1_ps(folded.base[r]);
    HWY_UNROLL(4)
    for (int v = 0; v < kVecs; ++v) {
      _mm512_store_ps(acc + r * kMaxLanes + v * 16,
                      _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[r][v]), unit, base));
    }
  }
}

// Whether codes are used packed.
inline bool UsesPacked(const GearLayout& layout) {
  const int least = layout.bits == 4 ? 32 : 64;
  return layout.bits != 3 && layout.lanes % least == 0 && layout.group % 32 == 0;
}

// acc[r, lane..end) from packed codes.
template <Part kPart, int kRows>
HWY_INLINE void DotPacked(const GearLayout& layout, const uint8_t* packed, size_t lane, size_t end,
                          const Folded& folded, Lines& lines, float* acc) {
  const size_t rows = static_cast<size_t>(layout.rows);
  const size_t lanes = static_cast<size_t>(layout.lanes);
  const auto dot = [&](const auto& codes) THRONG_ATTR {
    DotTile<kPart, kRows>(codes, rows, folded, lines, acc + lane);
    lane += codes.kVecs * 16;
  };
  while (lane < end) {
    const bool wide = lane + 64 <= end;
    if (layout.bits == 4) {
      wide ? dot(Packed4<4>{packed + lane * 2, lanes * 2}) : dot(Packed4<2>{packed + lane * 2, lanes * 2});
    } else if (wide) {
      dot(Packed2Wide{packed + lane, lanes});
    } else if (lane % 64 == 0) {
      dot(Packed2<0>{packed + lane, lanes});
    } else {
      dot(Packed2<32>{packed + lane - 32, lanes});
    }
  }
}

#elif THRONG_AVX2

constexpr int kVecLanes = 8;

template <int kTileVecs>
struct Unpacked {
  static constexpr int kVecs = kTileVecs;
  const uint8_t* codes;
  size_t stride;
  HWY_INLINE void Load(size_t quad, __m256i* v) const {
    HWY_UNROLL(4)
    for (int i = 0; i < kVecs; ++i) {
      v[i] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes + quad * stride + i * 32));
    }
  }
};

// vpmaddubsw adds two products, of at most 15 * 127 (keys) or 15 * 255: 8 or 4 such sums stay within 16 bits.
template <Part kPart, int kRows, class Codes>
HWY_INLINE void DotTile(const Codes& codes, size_t rows, const Folded& folded, Lines& lines, float* acc) {
  constexpr int kVecs = Codes::kVecs;
  constexpr size_t kSteps = kPart == Part::kKeys ? 8 : 4;
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i sum[kRows][kVecs];
  for (auto& of_row : sum) {
    for (auto& v : of_row) v = _mm256_setzero_si256();
  }
  for (size_t first = 0; first < rows; first += 4 * kSteps) {
    __m256i narrow[kRows][kVecs];
    for (auto& of_row : narrow) {
      for (auto& v : of_row) v = _mm256_setzero_si256();
    }
    const size_t end = std::min(first + 4 * kSteps, rows);
    for (size_t k = first; k < end; k += 4) {
      __m256i code[kVecs];
      codes.Load(k / 4, code);
      lines.Fetch();
      HWY_UNROLL(4)
      for (int r = 0; r < kRows; ++r) {
        const __m256i weight = _mm256_set1_epi32(FourBytes(folded.bytes[r] + k));
        HWY_UNROLL(4)
        for (int v = 0; v < kVecs; ++v) {
          const __m256i products = kPart == Part::kKeys ? _mm256_maddubs_epi16(code[v], weight)
                                                        : _mm256_maddubs_epi16(weight, code[v]);
          narrow[r][v] = _mm256_add_epi16(narrow[r][v], products);
        }
      }
    }
    HWY_UNROLL(4)
    for (int r = 0; r < kRows; ++r) {
      HWY_UNROLL(4)
      for (int v = 0; v < kVecs; ++v) {
        sum[r][v] = _mm256_add_epi32(sum[r][v], _mm256_madd_epi16(narrow[r][v], ones));
      }
    }
  }
  HWY_UNROLL(4)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(4)
    for (int v = 0; v < kVecs; ++v) {
      const __m256 value = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[r][v]), _mm256_set1_ps(folded.unit[r]),
                                           _mm256_set1_ps(folded.base[r]));
      _mm256_store_ps(acc + r * kMaxLanes + v * 8, value);
    }
  }
}

#else

constexpr int kVecLanes = 8;

template <int kTileVecs>
struct Unpacked {
  static constexpr int kVecs = kTileVecs;
  const uint8_t* codes;
  size_t stride;
};

template <Part kPart, int kRows, class Codes>
HWY_INLINE void DotTile(const Codes& codes, size_t rows, const Folded& folded, Lines& lines, float* acc) {
  constexpr int kLanes = Codes::kVecs * kVecLanes;
  for (int r = 0; r < kRows; ++r) {
    int32_t sum[kLanes] = {};
    for (size_t k = 0; k < rows; ++k) {
      const uint8_t byte = folded.bytes[r][k];
      const int32_t weight = kPart == Part::kKeys ? static_cast<int8_t>(byte) : int32_t{byte};
      const uint8_t* code = codes.codes + k / 4 * codes.stride + k % 4;
      for (int i = 0; i < kLanes; ++i) sum[i] += weight * code[4 * i];
      lines.Fetch();
    }
    for (int i = 0; i < kLanes; ++i) {
      acc[r * kMaxLanes + i] = static_cast<float>(sum[i]) * folded.unit[r] + folded.base[r];
    }
  }
}

#endif

#if !THRONG_VNNI

inline bool UsesPacked(const GearLayout&) { return false; }

template <Part kPart, int kRows>
HWY_INLINE void DotPacked(const GearLayout&, const uint8_t*, size_t, size_t, const Folded&, Lines&, float*) {}

#endif

// acc[r, lane..end) from codes in bytes.
template <Part kPart, int kRows>
HWY_INLINE void DotUnpacked(const GearLayout& layout, const uint8_t* codes, size_t lane, size_t end,
                            const Folded& folded, Lines& lines, float* acc) {
  const size_t rows = static_cast<size_t>(layout.rows);
  const size_t stride = static_cast<size_t>(layout.lanes) * 4;
  for (; lane + 2 * kVecLanes <= end; lane += 2 * kVecLanes) {
    DotTile<kPart, kRows>(Unpacked<2>{codes + 4 * lane, stride}, rows, folded, lines, acc + lane);
  }
  for (; lane < end; lane += kVecLanes) {
    DotTile<kPart, kRows>(Unpacked<1>{codes + 4 * lane, stride}, rows, folded, lines, acc + lane);
  }
}

}  // namespace gear
}  // namespace HWY_NAMESPACE
}  // namespace throng::kv
HWY_AFTER_NAMESPACE();

#endif  // THRONG_KV_GEAR_DOT_INL_H_
