// The loops of gear_encode.cc over all elements of a page. Each result is computed in one order, without
// fused operations, so that pages are the same bytes on every machine.
#pragma once

#include <cstddef>
#include <cstdint>

namespace throng::kv {

// The lowest and highest of some elements, the first index of each, and the lowest and highest without them.
// count: the number of elements not left out.
struct GearExtremes {
  float low = 0.0f, high = 0.0f, second_low = 0.0f, second_high = 0.0f;
  size_t low_index = 0, high_index = 0, count = 0;
};

// size: a multiple of 8. Elements whose flag is not 0 are left out; flags: null for none.
GearExtremes FindGearExtremes(const float* x, const uint8_t* flags, size_t size);

// The lowest and highest alone; false if all elements are left out.
bool FindGearRange(const float* x, const uint8_t* flags, size_t size, float* low, float* high);

// codes = (x - zero) / scale, rounded to even and clamped to [0, levels]; decoded = codes * scale + zero.
// scale: not 0.
void QuantizeGear(const float* x, size_t size, float scale, float zero, float levels, uint8_t* codes,
                  float* decoded);

// to[i, r] = from[r, i] of four rows of `size` codes, a multiple of 8.
void InterleaveGear(const uint8_t* from, size_t size, uint8_t* to);

// products[j, n] = sum over k of m[k, n] * weights[j, k].
// m: [count, width], weights: [rank, count], products: [rank, width]; width: a multiple of 8.
void MultiplyGear(const double* m, size_t count, size_t width, const double* weights, size_t rank,
                  double* products);
// The same of the transposed matrix: products[j, k] = sum over n of m[k, n] * weights[j, n].
// weights: [rank, width], products: [rank, count].
void MultiplyGearRows(const double* m, size_t count, size_t width, const double* weights, size_t rank,
                      double* products);
// size: a multiple of 8.
double DotGear(const double* a, const double* b, size_t size);
double SumGear(const float* x, size_t size);

// What D leaves for L, of a page of `size` elements, a multiple of 8. Where S makes up the rest, L may be
// anything: it is asked to stay as it is.
void GearResidual(const float* x, const float* decoded, const float* low_rank, const uint8_t* outlier,
                  size_t size, double* left);
// Sum of (x - decoded - low_rank)^2 over elements that are no outliers. size: a multiple of 8.
double GearSquaredError(const float* x, const float* decoded, const float* low_rank, const uint8_t* outlier,
                        size_t size);
// rest = x - low_rank, clamped as finite.h says.
void SubtractGear(const float* x, const float* low_rank, size_t size, float* rest);

// row[i] += sum over j, in order, of scales[j] * (of_row[j] * of_lanes[j, i]). of_lanes: [rank, size].
void AddGearProducts(const float* scales, const float* of_row, const float* of_lanes, size_t rank,
                     size_t size, float* row);

// In place, as finite.h says.
void ClampGear(size_t size, float* x);

}  // namespace throng::kv
