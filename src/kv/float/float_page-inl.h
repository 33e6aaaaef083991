// Kernels for pages of plain floats (T = float, hwy::float16_t or E4m3): keys [d, 64], values [64, d].
// Every result is one chain of fused multiply-adds in index order, so neither the number of rows nor the
// vector length changes it.
#if defined(THRONG_KV_FLOAT_FLOAT_PAGE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef THRONG_KV_FLOAT_FLOAT_PAGE_INL_H_
#undef THRONG_KV_FLOAT_FLOAT_PAGE_INL_H_
#else
#define THRONG_KV_FLOAT_FLOAT_PAGE_INL_H_
#endif

#include <type_traits>

#include "base/half.h"
#include "hwy/highway.h"
#include "kv/codec.h"
#include "kv/finite-inl.h"
#include "kv/float/e4m3.h"
#include "kv/tiles-inl.h"

THRONG_BEFORE_NAMESPACE();
namespace throng::kv {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using hwy::float16_t;

template <class DF>
HWY_INLINE hn::Vec<DF> LoadFloat(DF df, const float* p) {
  return hn::LoadU(df, p);
}
template <class DF>
HWY_INLINE hn::Vec<DF> LoadFloat(DF df, const float16_t* p) {
  return hn::PromoteTo(df, hn::LoadU(hn::Rebind<float16_t, DF>(), p));
}

// The sign, and exponent and mantissa in the places that they have in f32, where the exponent's offset is 120
// more: the number times 2^-120. That is right for subnormals too.
constexpr float kE4m3Factor = 0x1p120f;
template <class DF>
HWY_INLINE hn::Vec<DF> LoadSmall(DF df, const E4m3* p) {
  const hn::RebindToSigned<DF> di;
  const auto bits = hn::PromoteTo(di, hn::LoadU(hn::Rebind<uint8_t, DF>(), &p->bits));
  const auto signs = hn::ShiftRight<4>(hn::ShiftLeft<24>(bits));  // five copies of the sign, then the rest
  return hn::BitCast(df, hn::And(signs, hn::Set(di, static_cast<int32_t>(0x87ffffff))));
}
template <class DF>
HWY_INLINE hn::Vec<DF> LoadFloat(DF df, const E4m3* p) {
  return hn::Mul(LoadSmall(df, p), hn::Set(df, kE4m3Factor));
}

// Stores with NaN as 0 and clamped.
template <class DF>
HWY_INLINE void StoreFinite(DF df, hn::Vec<DF> v, float* p) {
  hn::StoreU(FiniteLanes(df, v, kLargestInF32), df, p);
}
template <class DF>
HWY_INLINE void StoreFinite(DF df, hn::Vec<DF> v, float16_t* p) {
  v = FiniteLanes(df, v);
#if HWY_TARGET == HWY_SSE4
  // Without F16C, Highway truncates instead of rounding.
  float lanes[hn::MaxLanes(df)];
  hn::StoreU(v, df, lanes);
  for (size_t i = 0; i < hn::Lanes(df); ++i) p[i].bits = FloatToHalf(lanes[i]);
#else
  const hn::Rebind<float16_t, DF> dh;
  hn::StoreU(hn::DemoteTo(dh, v), dh, p);
#endif
}

// Rows of scores or mixes from which on a page is first widened to f32, a part at a time: its elements are
// not widened anew for every few rows then. Results are the same.
constexpr int kRowsToWiden = 16;
constexpr int kPartChannels = 64;  // channels of a part: 16 KiB, which stay in the first cache

// Where the sums of scores begin: at 0, or at the scores of the channels before.
enum class Begin { kZero, kScores };

// scores[r, t..t + kVecs N) for kRows rows. kPrefetch: also fetches as many bytes of the values as are read
// of the keys. The values follow the keys in a block; anywhere else, fetching would only cost time.
template <size_t kRows, size_t kVecs, bool kPrefetch, typename T, class DF>
HWY_INLINE void ScoreTile(DF df, const T* keys, const float* queries, size_t query_stride, int head_dim,
                          size_t t, Begin begin, float* scores) {
  const size_t N = hn::Lanes(df);
  hn::Vec<DF> sum[kRows][kVecs];
  HWY_UNROLL(8)
  for (size_t r = 0; r < kRows; ++r) {
    HWY_UNROLL(8)
    for (size_t v = 0; v < kVecs; ++v) {
      sum[r][v] = begin == Begin::kZero ? hn::Zero(df) : hn::LoadU(df, scores + r * kPageTokens + t + v * N);
    }
  }
  for (int i = 0; i < head_dim; ++i) {
    hn::Vec<DF> key[kVecs];
    HWY_UNROLL(8)
    for (size_t v = 0; v < kVecs; ++v) key[v] = LoadFloat(df, keys + i * kPageTokens + t + v * N);
    if constexpr (kPrefetch) {
      const T* values = keys + static_cast<size_t>(kPageTokens) * head_dim;
      HWY_UNROLL(8)
      for (size_t j = 0; j < kVecs * N; j += 64 / sizeof(T))
        __builtin_prefetch(values + i * kPageTokens + t + j);
    }
    HWY_UNROLL(8)
    for (size_t r = 0; r < kRows; ++r) {
      const auto query = hn::Set(df, queries[r * query_stride + i]);
      HWY_UNROLL(8)
      for (size_t v = 0; v < kVecs; ++v) sum[r][v] = hn::MulAdd(query, key[v], sum[r][v]);
    }
  }
  HWY_UNROLL(8)
  for (size_t r = 0; r < kRows; ++r) {
    HWY_UNROLL(8)
    for (size_t v = 0; v < kVecs; ++v) hn::StoreU(sum[r][v], df, scores + r * kPageTokens + t + v * N);
  }
}

// head_dim: the channels of these keys. fetch: the values that follow them.
template <typename T>
HWY_INLINE void ScoreChannels(const T* keys, const float* queries, size_t query_stride, int head_dim,
                              int num_rows, bool fetch, Begin begin, float* scores) {
  const hn::CappedTag<float, 16> df;
  constexpr size_t kN = hn::MaxLanes(df);
  constexpr size_t kVecs = kN >= 16 ? 4 : 2;  // with 4 rows, all sums stay in registers
  static_assert(kPageTokens % (kN * kVecs) == 0);
  const auto tile = [&](auto rows, auto prefetch, int r) THRONG_ATTR {
    for (size_t t = 0; t < kPageTokens; t += kN * kVecs) {
      ScoreTile<rows(), kVecs, prefetch()>(df, keys, queries + r * query_stride, query_stride, head_dim, t,
                                           begin, scores + r * kPageTokens);
    }
  };
  ForRows(num_rows, [&](auto rows, int r) THRONG_INLINE_ATTR {
    fetch&& r == 0 ? tile(rows, std::true_type(), r) : tile(rows, std::false_type(), r);
  });
}

template <typename T>
void ScoreFloat(const T* keys, const float* queries, size_t query_stride, int head_dim, int num_rows,
                float* scores) {
  if (std::is_same_v<T, float> || num_rows < kRowsToWiden) {
    ScoreChannels(keys, queries, query_stride, head_dim, num_rows, /*fetch=*/true, Begin::kZero, scores);
    return;
  }
  const hn::CappedTag<float, 16> df;
  HWY_ALIGN float part[kPartChannels * kPageTokens];
  for (int first = 0; first < head_dim; first += kPartChannels) {
    const int channels = HWY_MIN(kPartChannels, head_dim - first);
    const T* from = keys + static_cast<size_t>(first) * kPageTokens;
    const T* values = from + static_cast<size_t>(kPageTokens) * head_dim;
    for (size_t i = 0; i < static_cast<size_t>(channels) * kPageTokens; i += hn::Lanes(df)) {
      __builtin_prefetch(values + i);
      hn::Store(LoadFloat(df, from + i), df, part + i);
    }
    ScoreChannels(part, queries + first, query_stride, channels, num_rows, /*fetch=*/false,
                  first == 0 ? Begin::kZero : Begin::kScores, scores);
  }
}

// Rows of values, and of sums of them, so many elements apart.
struct MixStrides {
  size_t values, out;
};

// out[r, c..c + kVecs N) for kRows rows.
template <size_t kRows, size_t kVecs, typename T, class DF>
HWY_INLINE void MixTile(DF df, const T* values, MixStrides strides, const float* probabilities,
                        const float* rescale, size_t c, float* out) {
  const size_t N = hn::Lanes(df);
  hn::Vec<DF> sum[kRows][kVecs];
  HWY_UNROLL(8)
  for (size_t r = 0; r < kRows; ++r) {
    HWY_UNROLL(8)
    for (size_t v = 0; v < kVecs; ++v) sum[r][v] = hn::Zero(df);
  }
  for (int t = 0; t < kPageTokens; ++t) {
    hn::Vec<DF> value[kVecs];
    HWY_UNROLL(8)
    for (size_t v = 0; v < kVecs; ++v)
      value[v] = LoadFloat(df, values + static_cast<size_t>(t) * strides.values + c + v * N);
    HWY_UNROLL(8)
    for (size_t r = 0; r < kRows; ++r) {
      const auto p = hn::Set(df, probabilities[r * kPageTokens + t]);
      HWY_UNROLL(8)
      for (size_t v = 0; v < kVecs; ++v) sum[r][v] = hn::MulAdd(p, value[v], sum[r][v]);
    }
  }
  HWY_UNROLL(8)
  for (size_t r = 0; r < kRows; ++r) {
    const auto scale = hn::Set(df, rescale[r]);
    HWY_UNROLL(8)
    for (size_t v = 0; v < kVecs; ++v) {
      float* to = out + r * strides.out + c + v * N;
      hn::StoreU(hn::MulAdd(hn::LoadU(df, to), scale, sum[r][v]), df, to);
    }
  }
}

template <size_t kRows, typename T>
HWY_INLINE void MixRows(const T* values, MixStrides strides, const float* probabilities, const float* rescale,
                        int head_dim, float* out) {
  constexpr int kVecs = hn::MaxLanes(hn::CappedTag<float, 16>()) >= 16 ? 4 : 2;
  ForDimensions<kVecs, float>(head_dim, [&](auto df, auto vecs, size_t c) THRONG_INLINE_ATTR {
    MixTile<kRows, vecs()>(df, values, strides, probabilities, rescale, c, out);
  });
}

template <typename T>
void MixFloat(const T* values, MixStrides strides, const float* probabilities, const float* rescale,
              int head_dim, int num_rows, float* out) {
  ForRows(num_rows, [&](auto rows, int r) THRONG_INLINE_ATTR {
    MixRows<rows()>(values, strides, probabilities + r * kPageTokens, rescale + r, head_dim,
                    out + static_cast<size_t>(r) * strides.out);
  });
}

// Of a page.
template <typename T>
void MixFloat(const T* values, const float* probabilities, const float* rescale, int head_dim, int num_rows,
              float* out) {
  const auto d = static_cast<size_t>(head_dim);
  if (std::is_same_v<T, float> || num_rows < kRowsToWiden) {
    MixFloat(values, {d, d}, probabilities, rescale, head_dim, num_rows, out);
    return;
  }
  const hn::CappedTag<float, 8> df;  // divides every part
  HWY_ALIGN float part[kPartChannels * kPageTokens];
  for (int first = 0; first < head_dim; first += kPartChannels) {
    const int channels = HWY_MIN(kPartChannels, head_dim - first);
    for (size_t t = 0; t < kPageTokens; ++t) {
      for (size_t i = 0; i < static_cast<size_t>(channels); i += hn::Lanes(df)) {
        hn::Store(LoadFloat(df, values + t * d + first + i), df, part + t * kPartChannels + i);
      }
    }
    MixFloat(part, {kPartChannels, d}, probabilities, rescale, channels, num_rows, out + first);
  }
}

// Stores each block of four lanes, `stride` elements apart.
template <class DF>
HWY_INLINE void StoreBlocks(DF df, hn::Vec<DF> v, size_t stride, float* to) {
  if constexpr (hn::MaxLanes(df) <= 4) {
    hn::StoreU(v, df, to);
  } else {
    const hn::Half<DF> half;
    StoreBlocks(half, hn::LowerHalf(half, v), stride, to);
    StoreBlocks(half, hn::UpperHalf(half, v), stride, to + hn::Lanes(half) / 4 * stride);
  }
}

// Of a latent page, whose keys are its values: they are widened and transposed, a part at a time, for all
// rows. load(df, key, t): a vector of one element of tokens [t, t + N), stored at `key`. Results are those of
// Mix over the decoded keys.
template <typename T, class Load>
HWY_INLINE void MixKeysFloat(const T* keys, const Load& load, const float* probabilities,
                             const float* rescale, LatentDims dims, int num_rows, float* out) {
  const hn::CappedTag<float, 16> df;
  HWY_ALIGN float part[kPageTokens * kPartChannels];
  for (int first = 0; first < dims.value; first += kPartChannels) {
    const int channels = HWY_MIN(kPartChannels, dims.value - first);
    for (size_t t = 0; t < kPageTokens; t += hn::Lanes(df)) {
      for (int i = 0; i < channels; i += 4) {
        hn::Vec<decltype(df)> v[4];
        HWY_UNROLL(4)
        for (int j = 0; j < 4; ++j)
          v[j] = load(df, keys + static_cast<size_t>(first + i + j) * kPageTokens + t, t);
        TransposeBlocks(df, v);
        HWY_UNROLL(4)
        for (int j = 0; j < 4; ++j) {
          StoreBlocks(df, v[j], 4 * kPartChannels, part + (t + j) * kPartChannels + i);
        }
      }
    }
    MixFloat(part, {kPartChannels, static_cast<size_t>(dims.value)}, probabilities, rescale, channels,
             num_rows, out + first);
  }
}
template <typename T>
void MixKeysFloat(const T* keys, const float* probabilities, const float* rescale, LatentDims dims,
                  int num_rows, float* out) {
  const auto load = [](auto df, const T* key, size_t) THRONG_INLINE_ATTR { return LoadFloat(df, key); };
  MixKeysFloat(keys, load, probabilities, rescale, dims, num_rows, out);
}

template <typename T>
void AppendFloat(Part part, T* page, int head_dim, int first, int count, const float* rows, size_t stride) {
  const hn::CappedTag<float, 8> df;
  const size_t N = hn::Lanes(df);
  T row[kMaxHeadDim];
  for (int j = 0; j < count; ++j) {
    const float* from = rows + static_cast<size_t>(j) * stride;
    const int t = first + j;
    T* to = part == Part::kValues ? page + static_cast<size_t>(t) * head_dim : row;
    for (size_t i = 0; i < static_cast<size_t>(head_dim); i += N)
      StoreFinite(df, hn::LoadU(df, from + i), to + i);
    if (part == Part::kKeys) {
      for (int i = 0; i < head_dim; ++i) page[i * kPageTokens + t] = row[i];
    }
  }
}

template <typename T>
void DecodeFloat(Part part, const T* page, int head_dim, float* block) {
  const hn::CappedTag<float, 8> df;
  const size_t N = hn::Lanes(df);
  const size_t size = static_cast<size_t>(kPageTokens) * head_dim;
  if (part == Part::kValues) {
    for (size_t i = 0; i < size; i += N) hn::StoreU(LoadFloat(df, page + i), df, block + i);
    return;
  }
  float column[kPageTokens];
  for (int i = 0; i < head_dim; ++i) {
    for (size_t t = 0; t < kPageTokens; t += N) {
      hn::StoreU(LoadFloat(df, page + i * kPageTokens + t), df, column + t);
    }
    for (int t = 0; t < kPageTokens; ++t) block[t * head_dim + i] = column[t];
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace throng::kv
HWY_AFTER_NAMESPACE();

#endif  // THRONG_KV_FLOAT_FLOAT_PAGE_INL_H_
