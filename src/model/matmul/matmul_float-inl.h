// The f32 kernel for F32, F16 and BF16 weights: lanes run over the inputs, one accumulator per (row, output),
// one horizontal sum, then the inputs that fill no vector.

#if defined(THRONG_MODEL_MATMUL_FLOAT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef THRONG_MODEL_MATMUL_FLOAT_INL_H_
#undef THRONG_MODEL_MATMUL_FLOAT_INL_H_
#else
#define THRONG_MODEL_MATMUL_FLOAT_INL_H_
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <cstring>

#include "base/half.h"
#include "model/matmul/block_formats.h"
#include "model/matmul/matmul.h"

HWY_BEFORE_NAMESPACE();
namespace throng::model {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr size_t kFloatTile = 4;  // outputs: with 4 rows, 16 accumulators

// How to read elements of a type; unaligned.
template <TensorType kType>
struct FloatLoader;

template <>
struct FloatLoader<TensorType::kF32> {
  template <class D>
  static HWY_INLINE hn::Vec<D> Load(D df, const uint8_t* p) {
    const hn::Repartition<uint8_t, D> d8;
    return hn::BitCast(df, hn::LoadU(d8, p));
  }
  static HWY_INLINE float LoadOne(const uint8_t* p) {
    float value;
    std::memcpy(&value, p, sizeof(value));
    return value;
  }
  static constexpr size_t kBytes = 4;
};

HWY_INLINE uint16_t Load16(const uint8_t* p) {
  uint16_t bits;
  std::memcpy(&bits, p, sizeof(bits));
  return bits;
}

template <class Element, float (*kToFloat)(uint16_t)>
struct Loader16 {
  template <class D>
  static HWY_INLINE hn::Vec<D> Load(D df, const uint8_t* p) {
    const hn::Rebind<Element, D> d16;
    const hn::Repartition<uint8_t, decltype(d16)> d8;
    return hn::PromoteTo(df, hn::BitCast(d16, hn::LoadU(d8, p)));
  }
  static HWY_INLINE float LoadOne(const uint8_t* p) { return kToFloat(Load16(p)); }
  static constexpr size_t kBytes = 2;
};

template <>
struct FloatLoader<TensorType::kF16> : Loader16<hwy::float16_t, HalfToFloat> {};
template <>
struct FloatLoader<TensorType::kBF16> : Loader16<hwy::bfloat16_t, Bfloat16ToFloat> {};

// Fetches kBytes from `ahead` on into the caches. Harmless beyond the end of a tensor.
template <size_t kBytes>
HWY_INLINE void PrefetchLines(const uint8_t* ahead) {
  for (size_t line = 0; line < kBytes; line += 64) hwy::Prefetch(ahead + line);
}

// y[r, o] for kRows rows and kFloatTile outputs.
template <TensorType kType, size_t kRows>
HWY_INLINE void FloatBlock(const float* HWY_RESTRICT x, size_t x_stride, const uint8_t* const* w, size_t cols,
                           float (*HWY_RESTRICT y)[kFloatTile]) {
  using Loader = FloatLoader<kType>;
  const hn::CappedTag<float, 16> df;
  using V = hn::Vec<decltype(df)>;
  const size_t lanes = hn::Lanes(df);
  V acc[kRows][kFloatTile];
#pragma GCC unroll 4
  for (size_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (size_t o = 0; o < kFloatTile; ++o) acc[r][o] = hn::Zero(df);
  }
  size_t k = 0;
  for (; k + lanes <= cols; k += lanes) {
    // The next tile's bytes in the order of memory: 16-bit weights come 15 % faster. F32 gains nothing, since
    // the hardware follows four streams of that speed by itself.
    if constexpr (Loader::kBytes == 2) {
      constexpr size_t kStep = kFloatTile * Loader::kBytes;
      PrefetchLines<hn::MaxLanes(df) * kStep>(w[0] + (cols + k) * kStep);
    }
    V weights[kFloatTile];
#pragma GCC unroll 4
    for (size_t o = 0; o < kFloatTile; ++o) weights[o] = Loader::Load(df, w[o] + k * Loader::kBytes);
#pragma GCC unroll 4
    for (size_t r = 0; r < kRows; ++r) {
      const V xs = hn::LoadU(df, x + r * x_stride + k);
#pragma GCC unroll 4
      for (size_t o = 0; o < kFloatTile; ++o) acc[r][o] = hn::MulAdd(weights[o], xs, acc[r][o]);
    }
  }
#pragma GCC unroll 4
  for (size_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (size_t o = 0; o < kFloatTile; ++o) y[r][o] = hn::GetLane(hn::SumOfLanes(df, acc[r][o]));
  }
  for (; k < cols; ++k) {
    for (size_t o = 0; o < kFloatTile; ++o) {
      const float weight = Loader::LoadOne(w[o] + k * Loader::kBytes);
      for (size_t r = 0; r < kRows; ++r) y[r][o] += weight * x[r * x_stride + k];
    }
  }
}

template <TensorType kType, size_t kRows>
HWY_INLINE void FloatRows(const Product& product, size_t first_output, const uint8_t* const* w,
                          const float* x, size_t x_stride, size_t row) {
  float y[kRows][kFloatTile];
  FloatBlock<kType, kRows>(x + row * x_stride, x_stride, w, product.w.cols, y);
  const size_t outputs = HWY_MIN(kFloatTile, product.w.rows - first_output);
  for (size_t r = 0; r < kRows; ++r) {
    std::memcpy(product.y + (row + r) * product.y_stride + first_output, y[r], outputs * sizeof(float));
  }
}

template <TensorType kType>
HWY_INLINE void FloatAllRows(const Product& product, size_t first_output, const uint8_t* const* w,
                             const float* x, size_t num_rows, size_t x_stride) {
  size_t r = 0;
  for (; r + 4 <= num_rows; r += 4) FloatRows<kType, 4>(product, first_output, w, x, x_stride, r);
  if (r + 2 <= num_rows) {
    FloatRows<kType, 2>(product, first_output, w, x, x_stride, r);
    r += 2;
  }
  if (r < num_rows) FloatRows<kType, 1>(product, first_output, w, x, x_stride, r);
}

template <TensorType kType>
HWY_INLINE void Widen(const uint8_t* HWY_RESTRICT row, size_t cols, float* HWY_RESTRICT out) {
  using Loader = FloatLoader<kType>;
  const hn::CappedTag<float, 16> df;
  const size_t lanes = hn::Lanes(df);
  size_t k = 0;
  for (; k + lanes <= cols; k += lanes) hn::StoreU(Loader::Load(df, row + k * Loader::kBytes), df, out + k);
  for (; k < cols; ++k) out[k] = Loader::LoadOne(row + k * Loader::kBytes);
}

// Weights of any type in f32, slowly. buffer: kFloatTile * cols floats.
HWY_INLINE void DequantizedTile(const Product& product, size_t first_output, const float* x, size_t num_rows,
                                size_t x_stride, float* buffer) {
  const size_t cols = product.w.cols;
  const uint8_t* w[kFloatTile];
  for (size_t o = 0; o < kFloatTile; ++o) {
    const uint8_t* row =
        product.w.data + HWY_MIN(first_output + o, product.w.rows - 1) * product.w.RowBytes();
    DequantizeRow(product.w.type, row, cols, buffer + o * cols);
    w[o] = reinterpret_cast<const uint8_t*>(buffer + o * cols);
  }
  FloatAllRows<TensorType::kF32>(product, first_output, w, x, num_rows, x_stride);
}

// buffer: kFloatTile * cols floats, for weights that many rows share: they are widened once, to the same
// values.
template <TensorType kType>
HWY_NOINLINE void FloatTile(const Product& product, size_t first_output, const float* x, size_t num_rows,
                            size_t x_stride, float* buffer) {
  const size_t row_bytes = product.w.RowBytes();
  const uint8_t* w[kFloatTile];
  for (size_t o = 0; o < kFloatTile; ++o) {
    // Outputs beyond the last repeat it; their results are not stored.
    w[o] = product.w.data + HWY_MIN(first_output + o, product.w.rows - 1) * row_bytes;
  }
  if (kType == TensorType::kF32 || num_rows <= 4) {
    FloatAllRows<kType>(product, first_output, w, x, num_rows, x_stride);
    return;
  }
  const size_t cols = product.w.cols;
  for (size_t o = 0; o < kFloatTile; ++o) {
    Widen<kType>(w[o], cols, buffer + o * cols);
    w[o] = reinterpret_cast<const uint8_t*>(buffer + o * cols);
  }
  FloatAllRows<TensorType::kF32>(product, first_output, w, x, num_rows, x_stride);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace throng::model
HWY_AFTER_NAMESPACE();

#endif  // THRONG_MODEL_MATMUL_FLOAT_INL_H_
