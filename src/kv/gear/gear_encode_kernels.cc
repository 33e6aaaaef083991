#include "kv/gear/gear_encode_kernels.h"

#include <algorithm>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kv/gear/gear_encode_kernels.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "kv/eight_sums-inl.h"
#include "kv/finite-inl.h"

HWY_BEFORE_NAMESPACE();
namespace throng::kv {
namespace HWY_NAMESPACE {
namespace gear {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::CappedTag<float, 8>;
using DD = hn::CappedTag<double, 8>;

struct Range {
  float low, high;
};

// Mask of the elements from i on that are not left out.
HWY_INLINE hn::Mask<DF> CountedAt(const uint8_t* flags, size_t i) {
  const hn::RebindToUnsigned<DF> du;
  const hn::Rebind<uint8_t, DF> db;
  auto out = hn::Zero(du);
  if (flags != nullptr) out = hn::PromoteTo(du, hn::LoadU(db, flags + i));
  return hn::RebindMask(DF(), hn::Eq(out, hn::Zero(du)));
}

// The lowest element that counts, except skip_low, and the highest, except skip_high.
HWY_INLINE Range FindRange(const float* x, const uint8_t* flags, size_t size, size_t skip_low,
                           size_t skip_high) {
  const DF df;
  const hn::RebindToUnsigned<DF> du;
  const auto infinity = hn::Set(df, std::numeric_limits<float>::infinity());
  auto low = infinity;
  auto high = hn::Neg(infinity);
  for (size_t i = 0; i < size; i += hn::Lanes(df)) {
    const auto index = hn::Iota(du, static_cast<uint32_t>(i));
    const auto counts = hn::RebindMask(du, CountedAt(flags, i));
    const auto for_low = hn::AndNot(hn::Eq(index, hn::Set(du, static_cast<uint32_t>(skip_low))), counts);
    const auto for_high = hn::AndNot(hn::Eq(index, hn::Set(du, static_cast<uint32_t>(skip_high))), counts);
    const auto v = hn::LoadU(df, x + i);
    low = hn::Min(low, hn::IfThenElse(hn::RebindMask(df, for_low), v, infinity));
    high = hn::Max(high, hn::IfThenElse(hn::RebindMask(df, for_high), v, hn::Neg(infinity)));
  }
  return {hn::GetLane(hn::MinOfLanes(df, low)), hn::GetLane(hn::MaxOfLanes(df, high))};
}

// Index of the first element that counts and equals `value`; size if there is none.
HWY_INLINE size_t FindFirst(const float* x, const uint8_t* flags, size_t size, float value) {
  const DF df;
  for (size_t i = 0; i < size; i += hn::Lanes(df)) {
    const auto equal = hn::And(hn::Eq(hn::LoadU(df, x + i), hn::Set(df, value)), CountedAt(flags, i));
    const intptr_t first = hn::FindFirstTrue(df, equal);
    if (first >= 0) return i + static_cast<size_t>(first);
  }
  return size;
}

GearExtremes Extremes(const float* x, const uint8_t* flags, size_t size) {
  const DF df;
  const Range range = FindRange(x, flags, size, size, size);
  GearExtremes found{.low = range.low, .high = range.high};
  for (size_t i = 0; i < size; i += hn::Lanes(df)) found.count += hn::CountTrue(df, CountedAt(flags, i));
  found.low_index = FindFirst(x, flags, size, range.low);
  found.high_index = FindFirst(x, flags, size, range.high);
  const Range second = FindRange(x, flags, size, found.low_index, found.high_index);
  found.second_low = second.low;
  found.second_high = second.high;
  return found;
}

bool RangeOf(const float* x, const uint8_t* flags, size_t size, float* low, float* high) {
  const DF df;
  const auto infinity = hn::Set(df, std::numeric_limits<float>::infinity());
  auto lowest = infinity;
  auto highest = hn::Neg(infinity);
  for (size_t i = 0; i < size; i += hn::Lanes(df)) {
    const auto counts = CountedAt(flags, i);
    const auto v = hn::LoadU(df, x + i);
    lowest = hn::Min(lowest, hn::IfThenElse(counts, v, infinity));
    highest = hn::Max(highest, hn::IfThenElse(counts, v, hn::Neg(infinity)));
  }
  *low = hn::GetLane(hn::MinOfLanes(df, lowest));
  *high = hn::GetLane(hn::MaxOfLanes(df, highest));
  return *low <= *high;
}

void Quantize(const float* x, size_t size, float scale, float zero, float levels, uint8_t* codes,
              float* decoded) {
  const DD dd;
  const hn::Rebind<float, DD> df;
  const hn::Rebind<int32_t, DD> di;
  const hn::Rebind<uint8_t, DD> db;
  const auto wide_scale = hn::Set(dd, static_cast<double>(scale));
  const auto wide_zero = hn::Set(dd, static_cast<double>(zero));
  const auto most = hn::Set(dd, static_cast<double>(levels));
  for (size_t i = 0; i < size; i += hn::Lanes(dd)) {
    const auto v = hn::PromoteTo(dd, hn::LoadU(df, x + i));
    const auto code = hn::Round(hn::Div(hn::Sub(v, wide_zero), wide_scale));
    const auto whole = hn::DemoteTo(di, hn::Min(hn::Max(code, hn::Zero(dd)), most));
    hn::StoreU(hn::DemoteTo(db, whole), db, codes + i);
    const auto product = hn::Mul(hn::ConvertTo(df, whole), hn::Set(df, scale));
    hn::StoreU(hn::Add(product, hn::Set(df, zero)), df, decoded + i);
  }
}

void Interleave(const uint8_t* from, size_t size, uint8_t* to) {
  const hn::CappedTag<uint8_t, 8> du;
  for (size_t i = 0; i < size; i += hn::Lanes(du)) {
    hn::StoreInterleaved4(hn::LoadU(du, from + i), hn::LoadU(du, from + size + i),
                          hn::LoadU(du, from + 2 * size + i), hn::LoadU(du, from + 3 * size + i), du,
                          to + 4 * i);
  }
}

// kRank rows of products, from n on: as many columns as give enough sums to add to while the last additions
// are under way.
template <size_t kRank, size_t kColumns>
HWY_INLINE void MultiplyColumnsAt(const double* m, size_t count, size_t width, const double* weights,
                                  size_t n, double* products) {
  const DD dd;
  constexpr size_t kVecs = kColumns / hn::MaxLanes(dd);
  const size_t N = hn::Lanes(dd);
  hn::Vec<DD> sum[kRank][kVecs];
  HWY_UNROLL(4)
  for (size_t j = 0; j < kRank; ++j) {
    HWY_UNROLL(4)
    for (size_t v = 0; v < kVecs; ++v) sum[j][v] = hn::Zero(dd);
  }
  for (size_t k = 0; k < count; ++k) {
    HWY_UNROLL(4)
    for (size_t j = 0; j < kRank; ++j) {
      const auto weight = hn::Set(dd, weights[j * count + k]);
      HWY_UNROLL(4)
      for (size_t v = 0; v < kVecs; ++v) {
        sum[j][v] = hn::Add(sum[j][v], hn::Mul(weight, hn::LoadU(dd, m + k * width + n + v * N)));
      }
    }
  }
  HWY_UNROLL(4)
  for (size_t j = 0; j < kRank; ++j) {
    HWY_UNROLL(4)
    for (size_t v = 0; v < kVecs; ++v) hn::StoreU(sum[j][v], dd, products + j * width + n + v * N);
  }
}

template <size_t kRank>
HWY_INLINE void MultiplyColumns(const double* m, size_t count, size_t width, const double* weights,
                                double* products) {
  constexpr size_t kColumns = hn::MaxLanes(DD()) == 8 && kRank < 4 ? 32 : 8;
  size_t n = 0;
  for (; n + kColumns <= width; n += kColumns) {
    MultiplyColumnsAt<kRank, kColumns>(m, count, width, weights, n, products);
  }
  for (; n < width; n += 8) MultiplyColumnsAt<kRank, 8>(m, count, width, weights, n, products);
}

void Multiply(const double* m, size_t count, size_t width, const double* weights, size_t rank,
              double* products) {
  size_t j = 0;
  for (; j + 4 <= rank; j += 4) {
    MultiplyColumns<4>(m, count, width, weights + j * count, products + j * width);
  }
  for (; j + 2 <= rank; j += 2) {
    MultiplyColumns<2>(m, count, width, weights + j * count, products + j * width);
  }
  for (; j < rank; ++j) MultiplyColumns<1>(m, count, width, weights + j * count, products + j * width);
}

template <size_t kRank>
HWY_INLINE void MultiplyRow(const double* row, size_t width, const double* weights, double* product,
                            size_t stride) {
  const DD dd;
  const size_t N = hn::Lanes(dd);
  EightSums eight[kRank];
  HWY_UNROLL(4)
  for (size_t j = 0; j < kRank; ++j) eight[j].Clear();
  for (size_t n = 0; n < width; n += 8) {
    HWY_UNROLL(4)
    for (size_t v = 0; v < EightSums::kVecs; ++v) {
      const auto m = hn::LoadU(dd, row + n + v * N);
      HWY_UNROLL(4)
      for (size_t j = 0; j < kRank; ++j) {
        const auto weight = hn::LoadU(dd, weights + j * width + n + v * N);
        eight[j].sum[v] = hn::Add(eight[j].sum[v], hn::Mul(m, weight));
      }
    }
  }
  HWY_UNROLL(4)
  for (size_t j = 0; j < kRank; ++j) product[j * stride] = eight[j].Total();
}

void MultiplyRows(const double* m, size_t count, size_t width, const double* weights, size_t rank,
                  double* products) {
  for (size_t k = 0; k < count; ++k) {
    const double* row = m + k * width;
    size_t j = 0;
    for (; j + 4 <= rank; j += 4) {
      MultiplyRow<4>(row, width, weights + j * width, products + j * count + k, count);
    }
    for (; j + 2 <= rank; j += 2) {
      MultiplyRow<2>(row, width, weights + j * width, products + j * count + k, count);
    }
    for (; j < rank; ++j) {
      MultiplyRow<1>(row, width, weights + j * width, products + j * count + k, count);
    }
  }
}

double Sum(const float* x, size_t size) {
  const DD dd;
  const hn::Rebind<float, DD> df;
  const size_t N = hn::Lanes(dd);
  EightSums eight;
  eight.Clear();
  for (size_t n = 0; n < size; n += 8) {
    HWY_UNROLL(4)
    for (size_t v = 0; v < EightSums::kVecs; ++v) {
      eight.sum[v] = hn::Add(eight.sum[v], hn::PromoteTo(dd, hn::LoadU(df, x + n + v * N)));
    }
  }
  return eight.Total();
}

void Residual(const float* x, const float* decoded, const float* low_rank, const uint8_t* outlier,
              size_t size, double* left) {
  const DD dd;
  const hn::Rebind<float, DD> df;
  const hn::Rebind<int32_t, DD> di;
  const hn::Rebind<uint8_t, DD> db;
  for (size_t i = 0; i < size; i += hn::Lanes(dd)) {
    const auto flag = hn::PromoteTo(di, hn::LoadU(db, outlier + i));
    const auto out = hn::RebindMask(df, hn::Ne(flag, hn::Zero(di)));
    const auto whole = hn::IfThenElse(out, hn::LoadU(df, low_rank + i), hn::LoadU(df, x + i));
    const auto part = hn::IfThenZeroElse(out, hn::LoadU(df, decoded + i));
    hn::StoreU(hn::Sub(hn::PromoteTo(dd, whole), hn::PromoteTo(dd, part)), dd, left + i);
  }
}

double SquaredError(const float* x, const float* decoded, const float* low_rank, const uint8_t* outlier,
                    size_t size) {
  const DD dd;
  const hn::Rebind<float, DD> df;
  const hn::Rebind<int32_t, DD> di;
  const hn::Rebind<uint8_t, DD> db;
  const size_t N = hn::Lanes(dd);
  EightSums eight;
  eight.Clear();
  for (size_t n = 0; n < size; n += 8) {
    HWY_UNROLL(4)
    for (size_t v = 0; v < EightSums::kVecs; ++v) {
      const size_t i = n + v * N;
      const auto flag = hn::PromoteTo(di, hn::LoadU(db, outlier + i));
      const auto out = hn::RebindMask(df, hn::Ne(flag, hn::Zero(di)));
      const auto load = [&](const float* from) {
        return hn::PromoteTo(dd, hn::IfThenZeroElse(out, hn::LoadU(df, from + i)));
      };
      const auto error = hn::Sub(hn::Sub(load(x), load(decoded)), load(low_rank));
      eight.sum[v] = hn::Add(eight.sum[v], hn::Mul(error, error));
    }
  }
  return eight.Total();
}

void Subtract(const float* x, const float* low_rank, size_t size, float* rest) {
  const DF df;
  for (size_t i = 0; i < size; i += hn::Lanes(df)) {
    const auto difference = hn::Sub(hn::LoadU(df, x + i), hn::LoadU(df, low_rank + i));
    hn::StoreU(FiniteLanes(df, difference), df, rest + i);
  }
}

void AddProducts(const float* scales, const float* of_row, const float* of_lanes, size_t rank, size_t size,
                 float* row) {
  const DF df;
  for (size_t i = 0; i < size; i += hn::Lanes(df)) {
    auto sum = hn::LoadU(df, row + i);
    for (size_t j = 0; j < rank; ++j) {
      const auto product = hn::Mul(hn::Set(df, of_row[j]), hn::LoadU(df, of_lanes + j * size + i));
      sum = hn::Add(sum, hn::Mul(product, hn::Set(df, scales[j])));
    }
    hn::StoreU(sum, df, row + i);
  }
}

void Clamp(size_t size, float* x) {
  const DF df;
  for (size_t i = 0; i < size; i += hn::Lanes(df))
    hn::StoreU(FiniteLanes(df, hn::LoadU(df, x + i)), df, x + i);
}

}  // namespace gear

GearExtremes ExtremesTarget(const float* x, const uint8_t* flags, size_t size) {
  return gear::Extremes(x, flags, size);
}
void QuantizeTarget(const float* x, size_t size, float scale, float zero, float levels, uint8_t* codes,
                    float* decoded) {
  gear::Quantize(x, size, scale, zero, levels, codes, decoded);
}
void InterleaveTarget(const uint8_t* from, size_t size, uint8_t* to) { gear::Interleave(from, size, to); }
void MultiplyTarget(const double* m, size_t count, size_t width, const double* weights, size_t rank,
                    double* products) {
  gear::Multiply(m, count, width, weights, rank, products);
}
bool RangeTarget(const float* x, const uint8_t* flags, size_t size, float* low, float* high) {
  return gear::RangeOf(x, flags, size, low, high);
}
void MultiplyRowsTarget(const double* m, size_t count, size_t width, const double* weights, size_t rank,
                        double* products) {
  gear::MultiplyRows(m, count, width, weights, rank, products);
}
double DotTarget(const double* a, const double* b, size_t size) {
  double product;
  gear::MultiplyRow<1>(a, size, b, &product, 0);
  return product;
}
double SumTarget(const float* x, size_t size) { return gear::Sum(x, size); }
void ResidualTarget(const float* x, const float* decoded, const float* low_rank, const uint8_t* outlier,
                    size_t size, double* left) {
  gear::Residual(x, decoded, low_rank, outlier, size, left);
}
double SquaredErrorTarget(const float* x, const float* decoded, const float* low_rank, const uint8_t* outlier,
                          size_t size) {
  return gear::SquaredError(x, decoded, low_rank, outlier, size);
}
void SubtractTarget(const float* x, const float* low_rank, size_t size, float* rest) {
  gear::Subtract(x, low_rank, size, rest);
}
void AddProductsTarget(const float* scales, const float* of_row, const float* of_lanes, size_t rank,
                       size_t size, float* row) {
  gear::AddProducts(scales, of_row, of_lanes, rank, size, row);
}
void ClampTarget(size_t size, float* x) { gear::Clamp(size, x); }

}  // namespace HWY_NAMESPACE
}  // namespace throng::kv
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace throng::kv {

HWY_EXPORT(ExtremesTarget);
HWY_EXPORT(QuantizeTarget);
HWY_EXPORT(InterleaveTarget);
HWY_EXPORT(MultiplyTarget);
HWY_EXPORT(RangeTarget);
HWY_EXPORT(MultiplyRowsTarget);
HWY_EXPORT(DotTarget);
HWY_EXPORT(SumTarget);
HWY_EXPORT(ResidualTarget);
HWY_EXPORT(SquaredErrorTarget);
HWY_EXPORT(SubtractTarget);
HWY_EXPORT(AddProductsTarget);
HWY_EXPORT(ClampTarget);

GearExtremes FindGearExtremes(const float* x, const uint8_t* flags, size_t size) {
  return HWY_DYNAMIC_DISPATCH(ExtremesTarget)(x, flags, size);
}
void QuantizeGear(const float* x, size_t size, float scale, float zero, float levels, uint8_t* codes,
                  float* decoded) {
  HWY_DYNAMIC_DISPATCH(QuantizeTarget)(x, size, scale, zero, levels, codes, decoded);
}
void InterleaveGear(const uint8_t* from, size_t size, uint8_t* to) {
  HWY_DYNAMIC_DISPATCH(InterleaveTarget)(from, size, to);
}
void MultiplyGear(const double* m, size_t count, size_t width, const double* weights, size_t rank,
                  double* products) {
  HWY_DYNAMIC_DISPATCH(MultiplyTarget)(m, count, width, weights, rank, products);
}
bool FindGearRange(const float* x, const uint8_t* flags, size_t size, float* low, float* high) {
  return HWY_DYNAMIC_DISPATCH(RangeTarget)(x, flags, size, low, high);
}
void MultiplyGearRows(const double* m, size_t count, size_t width, const double* weights, size_t rank,
                      double* products) {
  HWY_DYNAMIC_DISPATCH(MultiplyRowsTarget)(m, count, width, weights, rank, products);
}
double DotGear(const double* a, const double* b, size_t size) {
  return HWY_DYNAMIC_DISPATCH(DotTarget)(a, b, size);
}
double SumGear(const float* x, size_t size) { return HWY_DYNAMIC_DISPATCH(SumTarget)(x, size); }
void GearResidual(const float* x, const float* decoded, const float* low_rank, const uint8_t* outlier,
                  size_t size, double* left) {
  HWY_DYNAMIC_DISPATCH(ResidualTarget)(x, decoded, low_rank, outlier, size, left);
}
double GearSquaredError(const float* x, const float* decoded, const float* low_rank, const uint8_t* outlier,
                        size_t size) {
  return HWY_DYNAMIC_DISPATCH(SquaredErrorTarget)(x, decoded, low_rank, outlier, size);
}
void SubtractGear(const float* x, const float* low_rank, size_t size, float* rest) {
  HWY_DYNAMIC_DISPATCH(SubtractTarget)(x, low_rank, size, rest);
}
void AddGearProducts(const float* scales, const float* of_row, const float* of_lanes, size_t rank,
                     size_t size, float* row) {
  HWY_DYNAMIC_DISPATCH(AddProductsTarget)(scales, of_row, of_lanes, rank, size, row);
}
void ClampGear(size_t size, float* x) { HWY_DYNAMIC_DISPATCH(ClampTarget)(size, x); }

}  // namespace throng::kv
#endif  // HWY_ONCE
