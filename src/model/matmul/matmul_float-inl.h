// The kernel for F32, F16 and BF16 weights: lanes run over the inputs, one accumulator per (row, output), one
// horizontal sum, then the inputs that fill no vector.

#if defined(THRONG_MODEL_MATMUL_FLOAT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef THRONG_MODEL_MATMUL_FLOAT_INL_H_
#undef THRONG_MODEL_MATMUL_FLOAT_INL_H_
#else
#define THRONG_MODEL_MATMUL_FLOAT_INL_H_
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <cstring>
#include <type_traits>

#include "base/half.h"
#include "model/matmul/block_formats.h"
#include "model/matmul/matmul.h"

HWY_BEFORE_NAMESPACE();
namespace throng::model {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr size_t kFloatTile = 8;     // outputs of one tile
constexpr size_t kFloatGroup = 4;    // outputs at a time: with 4 rows, 16 accumulators
constexpr size_t kFloatChunk = 512;  // inputs of widened weights at a time: 16 KiB, half of a small L1 cache
constexpr size_t kFloatRows = 64;    // rows that share widened weights: 32 KiB of accumulators
constexpr size_t kFloatRowsBytes = 512 << 10;  // of activations that are read again from a second-level cache

// Rows of one call: they stay in the second-level cache from tile to tile.
HWY_INLINE size_t FloatRowsAtOnce(size_t cols) {
  return HWY_MAX(kFloatRows / 2, HWY_MIN(kFloatRows, kFloatRowsBytes / (cols * sizeof(float)) / 4 * 4));
}

using DFloat = hn::CappedTag<float, 16>;
using VFloat = hn::Vec<DFloat>;
constexpr size_t kFloatLanes = hn::MaxLanes(DFloat());
constexpr size_t kFloatSums = kFloatGroup * kFloatLanes;  // floats of a row's accumulators

// How weights of a type, unaligned, are multiplied in f32.
template <TensorType kType>
struct InFloats;

template <>
struct InFloats<TensorType::kF32> {
  using X = float;                                // activations
  using Widened = InFloats;                       // how they are multiplied with what Load gave
  static constexpr size_t kInputs = kFloatLanes;  // of a vector
  static constexpr size_t kBytes = 4;             // of a weight

  static HWY_INLINE VFloat Load(const uint8_t* p) {
    const DFloat df;
    return hn::BitCast(df, hn::LoadU(hn::Repartition<uint8_t, DFloat>(), p));
  }
  static HWY_INLINE VFloat LoadX(const X* x) { return hn::LoadU(DFloat(), x); }
  static HWY_INLINE VFloat MulAdd(VFloat w, VFloat x, VFloat sum) { return hn::MulAdd(w, x, sum); }
  static HWY_INLINE float MultiplyOne(const uint8_t* p, X x) {
    float value;
    std::memcpy(&value, p, sizeof(value));
    return value * x;
  }
};

HWY_INLINE uint16_t Load16(const uint8_t* p) {
  uint16_t bits;
  std::memcpy(&bits, p, sizeof(bits));
  return bits;
}

template <class Element, float (*kToFloat)(uint16_t)>
struct InFloats16 : InFloats<TensorType::kF32> {
  using Widened = InFloats<TensorType::kF32>;
  static constexpr size_t kBytes = 2;

  static HWY_INLINE VFloat Load(const uint8_t* p) {
    const DFloat df;
    const hn::Rebind<Element, DFloat> d16;
    const hn::Repartition<uint8_t, decltype(d16)> d8;
    return hn::PromoteTo(df, hn::BitCast(d16, hn::LoadU(d8, p)));
  }
  static HWY_INLINE float MultiplyOne(const uint8_t* p, X x) { return kToFloat(Load16(p)) * x; }
};

template <>
struct InFloats<TensorType::kF16> : InFloats16<hwy::float16_t, HalfToFloat> {};
template <>
struct InFloats<TensorType::kBF16> : InFloats16<hwy::bfloat16_t, Bfloat16ToFloat> {};

#if HWY_TARGET == HWY_AVX3_DL
// BF16 weights with activations in BF16, two products to a lane: for processors with AVX512_BF16.
struct InBfloats {
  using X = uint16_t;
  using Widened = InBfloats;
  static constexpr size_t kInputs = 2 * kFloatLanes;
  static constexpr size_t kBytes = 2;
  using DPairs = hn::Repartition<uint16_t, DFloat>;
  using VPairs = hn::Vec<DPairs>;

  static HWY_INLINE VPairs Load(const uint8_t* p) {
    return hn::BitCast(DPairs(), hn::LoadU(hn::Repartition<uint8_t, DFloat>(), p));
  }
  static HWY_INLINE VPairs LoadX(const X* x) { return hn::LoadU(DPairs(), x); }
  static HWY_INLINE VFloat MulAdd(VPairs w, VPairs x, VFloat sum) {
    asm("vdpbf16ps %[x], %[w], %[sum]" : [sum] "+v"(sum.raw) : [w] "v"(w.raw), [x] "v"(x.raw));
    return sum;
  }
  static HWY_INLINE float MultiplyOne(const uint8_t* p, X x) {
    return Bfloat16ToFloat(Load16(p)) * Bfloat16ToFloat(x);
  }
};
#endif

// Fetches kBytes from `ahead` on into the second-level cache, from where the hardware brings them to the
// first: there, rows of the usual sizes share few sets, and would push out those that are multiplied.
// Harmless beyond the end of a tensor.
template <size_t kBytes>
HWY_INLINE void PrefetchLines(const uint8_t* ahead) {
  for (size_t line = 0; line < kBytes; line += 64) __builtin_prefetch(ahead + line, 0, 2);
}

// sums[r, o, lane] += products of columns [0, end), whole vectors, of kRows rows and kFloatGroup outputs.
// sums_stride: floats from row to row. kFetches: weights come from memory, and `ahead` is what is needed
// next.
template <class Numbers, bool kFetches, size_t kRows>
HWY_INLINE void AddFloats(const typename Numbers::X* HWY_RESTRICT x, size_t x_stride, const uint8_t* const* w,
                          size_t end, const uint8_t* HWY_RESTRICT ahead, float* HWY_RESTRICT sums,
                          size_t sums_stride) {
  const DFloat df;
  VFloat acc[kRows][kFloatGroup];
#pragma GCC unroll 4
  for (size_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (size_t o = 0; o < kFloatGroup; ++o)
      acc[r][o] = hn::Load(df, sums + r * sums_stride + o * kFloatLanes);
  }
  for (size_t k = 0; k < end; k += Numbers::kInputs) {
    // The next group's bytes in the order of memory: 16-bit weights come 15 % faster. F32 gains nothing,
    // since the hardware follows four streams of that speed by itself.
    if constexpr (kFetches && Numbers::kBytes == 2) {
      constexpr size_t kStep = kFloatGroup * Numbers::kBytes;
      PrefetchLines<Numbers::kInputs * kStep>(ahead + k * kStep);
    }
    decltype(Numbers::Load(nullptr)) weights[kFloatGroup];
#pragma GCC unroll 4
    for (size_t o = 0; o < kFloatGroup; ++o) weights[o] = Numbers::Load(w[o] + k * Numbers::kBytes);
#pragma GCC unroll 4
    for (size_t r = 0; r < kRows; ++r) {
      const auto xs = Numbers::LoadX(x + r * x_stride + k);
#pragma GCC unroll 4
      for (size_t o = 0; o < kFloatGroup; ++o) acc[r][o] = Numbers::MulAdd(weights[o], xs, acc[r][o]);
    }
  }
#pragma GCC unroll 4
  for (size_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (size_t o = 0; o < kFloatGroup; ++o)
      hn::Store(acc[r][o], df, sums + r * sums_stride + o * kFloatLanes);
  }
}

// The same for any number of rows.
template <class Numbers, bool kFetches>
HWY_INLINE void AddFloatsOfRows(const typename Numbers::X* x, size_t x_stride, const uint8_t* const* w,
                                size_t end, const uint8_t* ahead, size_t num_rows, float* sums,
                                size_t sums_stride) {
  const auto add = [&](auto rows, size_t r) HWY_ATTR {
    AddFloats<Numbers, kFetches, decltype(rows)::value>(x + r * x_stride, x_stride, w, end, ahead,
                                                        sums + r * sums_stride, sums_stride);
  };
  size_t r = 0;
  for (; r + 4 <= num_rows; r += 4) add(std::integral_constant<size_t, 4>(), r);
  if (r + 2 <= num_rows) {
    add(std::integral_constant<size_t, 2>(), r);
    r += 2;
  }
  if (r < num_rows) add(std::integral_constant<size_t, 1>(), r);
}

// y[o] of one row: sums[o, lane] across lanes, then the columns from `end` on.
template <class Numbers>
HWY_INLINE void FinishFloats(const typename Numbers::X* x, const uint8_t* const* w, size_t end, size_t cols,
                             const float* sums, size_t outputs, float* y) {
  const DFloat df;
  for (size_t o = 0; o < outputs; ++o) {
    float sum = hn::GetLane(hn::SumOfLanes(df, hn::Load(df, sums + o * kFloatLanes)));
    for (size_t k = end; k < cols; ++k) sum += Numbers::MultiplyOne(w[o] + k * Numbers::kBytes, x[k]);
    y[o] = sum;
  }
}

// Up to four rows: weights are widened as they come from memory.
template <class Numbers>
HWY_INLINE void FewFloatRows(const uint8_t* const* w, size_t cols, const typename Numbers::X* x,
                             size_t num_rows, size_t x_stride, size_t outputs, float* y, size_t y_stride) {
  const size_t end = cols / Numbers::kInputs * Numbers::kInputs;
  for (size_t o = 0; o < outputs; o += kFloatGroup) {
    HWY_ALIGN float sums[4 * kFloatSums] = {};
    const uint8_t* ahead = w[o] + kFloatGroup * cols * Numbers::kBytes;
    AddFloatsOfRows<Numbers, true>(x, x_stride, w + o, end, ahead, num_rows, sums, kFloatSums);
    for (size_t r = 0; r < num_rows; ++r) {
      FinishFloats<Numbers>(x + r * x_stride, w + o, end, cols, sums + r * kFloatSums,
                            HWY_MIN(kFloatGroup, outputs - o), y + r * y_stride + o);
    }
  }
}

// Widened weights, and the sums of kFloatRows rows.
constexpr size_t kFloatBuffer = kFloatTile * kFloatChunk + kFloatRows * kFloatTile * kFloatLanes;

// Up to kFloatRows rows: they share weights of 16 bits that are widened once, to the same values, or at least
// copied together, where no two of them share a set of the cache. buffer: kFloatBuffer floats.
template <class Numbers>
HWY_INLINE void ManyFloatRows(const uint8_t* const* w, size_t cols, const typename Numbers::X* x,
                              size_t num_rows, size_t x_stride, size_t outputs, float* y, size_t y_stride,
                              float* buffer) {
  constexpr size_t kSums = kFloatTile * kFloatLanes;
  // Inputs of 2 KiB of widened weights.
  constexpr size_t kChunk = kFloatChunk * sizeof(float) / sizeof(typename Numbers::X);
  float* sums = buffer + kFloatTile * kFloatChunk;
  const size_t end = cols / Numbers::kInputs * Numbers::kInputs;
  std::memset(sums, 0, num_rows * kSums * sizeof(float));
  for (size_t begin = 0; begin < end; begin += kChunk) {
    const size_t count = HWY_MIN(kChunk, end - begin);
    const uint8_t* wide[kFloatTile];
    for (size_t o = 0; o < kFloatTile; ++o) {
      const uint8_t* from = w[o] + begin * Numbers::kBytes;
      wide[o] = from;
      if constexpr (Numbers::kBytes == 4) continue;
      auto* to = reinterpret_cast<typename Numbers::X*>(buffer) + o * kChunk;
      // What is needed after this chunk is fetched while it is multiplied.
      const size_t ahead = (begin + count < end ? count : kFloatTile * cols - begin) * Numbers::kBytes;
      for (size_t k = 0; k < count; k += Numbers::kInputs) {
        if (k * Numbers::kBytes % 64 == 0) hwy::Prefetch(from + ahead + k * Numbers::kBytes);
        const auto weights = Numbers::Load(from + k * Numbers::kBytes);
        hn::Store(weights, hn::DFromV<decltype(weights)>(), to + k);
      }
      wide[o] = reinterpret_cast<const uint8_t*>(to);
    }
    for (size_t r = 0; r < num_rows; r += 4) {
      for (size_t o = 0; o < kFloatTile; o += kFloatGroup) {
        AddFloatsOfRows<typename Numbers::Widened, false>(x + r * x_stride + begin, x_stride, wide + o, count,
                                                          nullptr, HWY_MIN(4, num_rows - r),
                                                          sums + r * kSums + o * kFloatLanes, kSums);
      }
    }
  }
  for (size_t r = 0; r < num_rows; ++r) {
    FinishFloats<Numbers>(x + r * x_stride, w, end, cols, sums + r * kSums, outputs, y + r * y_stride);
  }
}

// Up to kFloatRows rows. buffer: kFloatBuffer floats.
template <class Numbers>
HWY_NOINLINE void FloatRows(const Product& product, size_t first_output, const uint8_t* const* w,
                            const typename Numbers::X* x, size_t num_rows, size_t x_stride, float* y,
                            float* buffer) {
  const size_t cols = product.w.cols;
  const size_t outputs = HWY_MIN(kFloatTile, product.w.rows - first_output);
  if (num_rows <= 4)
    return FewFloatRows<Numbers>(w, cols, x, num_rows, x_stride, outputs, y, product.y_stride);
  ManyFloatRows<Numbers>(w, cols, x, num_rows, x_stride, outputs, y, product.y_stride, buffer);
}

// buffer: kFloatBuffer floats.
template <class Numbers>
HWY_INLINE void FloatTile(const Product& product, size_t first_output, const typename Numbers::X* x,
                          size_t num_rows, size_t x_stride, float* y, float* buffer) {
  const uint8_t* w[kFloatTile];
  for (size_t o = 0; o < kFloatTile; ++o) {
    // Outputs beyond the last repeat it; their results are not stored.
    w[o] = product.w.data + HWY_MIN(first_output + o, product.w.rows - 1) * product.w.RowBytes();
  }
  FloatRows<Numbers>(product, first_output, w, x, num_rows, x_stride, y, buffer);
}

// Weights of any type in f32, slowly. buffer: kFloatBuffer + kFloatTile * cols floats.
HWY_INLINE void DequantizedTile(const Product& product, size_t first_output, const float* x, size_t num_rows,
                                size_t x_stride, float* y, float* buffer) {
  const size_t cols = product.w.cols;
  const uint8_t* w[kFloatTile];
  for (size_t o = 0; o < kFloatTile; ++o) {
    const uint8_t* row =
        product.w.data + HWY_MIN(first_output + o, product.w.rows - 1) * product.w.RowBytes();
    float* wide = buffer + kFloatBuffer + o * cols;
    DequantizeRow(product.w.type, row, cols, wide);
    w[o] = reinterpret_cast<const uint8_t*>(wide);
  }
  FloatRows<InFloats<TensorType::kF32>>(product, first_output, w, x, num_rows, x_stride, y, buffer);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace throng::model
HWY_AFTER_NAMESPACE();

#endif  // THRONG_MODEL_MATMUL_FLOAT_INL_H_
