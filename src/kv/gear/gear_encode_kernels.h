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

// size: a multiple of 8, at most 256. Elements whose flag is not 0 are left out; flags: null for none.
GearExtremes FindGearExtremes(const float* x, const uint8_t* flags, size_t size);

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

// row[i] += scale * of_row * of_lanes[i].
void AddGearProduct(float scale, int8_t of_row, const int8_t* of_lanes, size_t size, float* row);

}  // namespace throng::kv
