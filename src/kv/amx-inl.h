// Scores and mixes of many rows by AMX: panels of up to 32 rows, whose integer sums the codec turns into
// floats. The sums are those of the target's vector instructions, so results have the same bits.
#if defined(THRONG_KV_AMX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef THRONG_KV_AMX_INL_H_
#undef THRONG_KV_AMX_INL_H_
#else
#define THRONG_KV_AMX_INL_H_
#endif

#include <cstring>

#include "base/amx.h"
#include "hwy/highway.h"
#include "kv/amx_products.h"
#include "kv/codec.h"
#include "kv/vnni-inl.h"

THRONG_BEFORE_NAMESPACE();
namespace throng::kv {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if THRONG_VNNI

constexpr int kPanelRows = 2 * kAmxRows;

// Only for sizes that fill the tiles.
HWY_INLINE bool UsesAmx(int head_dim, int num_rows) {
  return num_rows >= kLeastAmxRows && head_dim % kPanelColumns == 0 && AmxInt8Usable();
}

HWY_INLINE int TilesOf(int rows) { return rows > kAmxRows ? 2 : 1; }

// Calls done(r, sums) for each row, with its sums of products of signed query codes and unsigned keys, [64].
// keys: [d / 4, 64, 4]; queries: rows that begin with their codes, query_bytes apart.
template <class Done>
HWY_INLINE void ForAmxScores(const uint8_t* keys, const void* queries, size_t query_bytes, int head_dim,
                             int num_rows, const Done& done) {
  const TileScope scope;
  alignas(64) int32_t sums[kPanelRows * kPanelColumns];
  alignas(64) uint8_t filled[kPanelRows * kMaxHeadDim];  // the last rows, if they do not fill a panel
  for (int first = 0; first < num_rows; first += kPanelRows) {
    const int count = HWY_MIN(kPanelRows, num_rows - first);
    const uint8_t* from = static_cast<const uint8_t*>(queries) + first * query_bytes;
    PanelRows rows{from, query_bytes, TilesOf(count)};
    if (count < rows.tiles * kAmxRows) {
      const size_t bytes = static_cast<size_t>(head_dim);
      for (int r = 0; r < count; ++r) std::memcpy(filled + r * bytes, from + r * query_bytes, bytes);
      std::memset(filled + count * bytes, 0, (rows.tiles * kAmxRows - count) * bytes);
      rows.bytes = filled;
      rows.stride = bytes;
    }
    MultiplyKeys(rows, keys, 4 * kPageTokens, head_dim, sums);
    for (int r = 0; r < count; ++r) done(first + r, sums + r * kPanelColumns);
  }
}

// Weights of 15 bits of a panel's rows for the 64 tokens of a page, in two digits.
class PanelWeights {
 public:
  // weights: [64].
  HWY_INLINE void Set(int row, const int16_t* weights) {
    const __m512i first = _mm512_loadu_si512(weights), second = _mm512_loadu_si512(weights + 32);
    const __m512i mask = _mm512_set1_epi16((1 << kDigitBits) - 1);
    Store(_mm512_srli_epi16(first, kDigitBits), _mm512_srli_epi16(second, kDigitBits), high_[row]);
    Store(_mm512_and_si512(first, mask), _mm512_and_si512(second, mask), low_[row]);
  }

 private:
  friend class PanelSums;
  static constexpr int kDigitBits = 7;

  HWY_INLINE static void Store(__m512i first, __m512i second, uint8_t* to) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi16_epi8(first));
    _mm256_store_si256(reinterpret_cast<__m256i*>(to + 32), _mm512_cvtepi16_epi8(second));
  }

  alignas(64) uint8_t high_[kPanelRows][kPageTokens];
  alignas(64) uint8_t low_[kPanelRows][kPageTokens];
};

// Their sums of products with 64 columns of values.
class PanelSums {
 public:
  // values: the first of 64 columns of [16, d, 4].
  HWY_INLINE void Multiply(const PanelWeights& weights, int rows, const uint8_t* values, int head_dim) {
    const size_t stride = static_cast<size_t>(head_dim) * 4;
    MultiplyValues({weights.high_, kPageTokens, TilesOf(rows)}, values, stride, kPageTokens, high_);
    MultiplyValues({weights.low_, kPageTokens, TilesOf(rows)}, values, stride, kPageTokens, low_);
  }
  // Of a row and 16 columns from c on.
  template <class DI>
  HWY_INLINE hn::Vec<DI> Load(DI di, int row, int c) const {
    const int at = row * kPanelColumns + c;
    return hn::Add(hn::ShiftLeft<PanelWeights::kDigitBits>(hn::Load(di, high_ + at)),
                   hn::Load(di, low_ + at));
  }

 private:
  alignas(64) int32_t high_[kPanelRows * kPanelColumns];
  alignas(64) int32_t low_[kPanelRows * kPanelColumns];
};

#endif  // THRONG_VNNI

}  // namespace HWY_NAMESPACE
}  // namespace throng::kv
HWY_AFTER_NAMESPACE();

#endif  // THRONG_KV_AMX_INL_H_
