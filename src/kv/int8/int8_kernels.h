// Kernels of int8.h. Codes have its layout; the scales of the tokens may be elsewhere.
#pragma once

#include <cstdint>

namespace throng::kv {

// keys: [d / 4, 64, 4]; key_scales: [64]; prepared: rows of integer_query.h; scores: [num_rows, 64].
void ScoreInt8(const uint8_t* keys, const float* key_scales, const void* prepared, int head_dim, int num_rows,
               float* scores);

// values: [32, d, 2]; value_scales: [64]; the rest as Codec::Mix.
void MixInt8(const uint8_t* values, const float* value_scales, const float* probabilities,
             const float* rescale, int head_dim, int num_rows, float* out);

// The same of the first value_dim elements of keys; key_scales: [64].
void MixInt8Keys(const uint8_t* keys, const float* key_scales, const float* probabilities,
                 const float* rescale, int value_dim, int num_rows, float* out);

// codes[i] = round(row[i] / scale); returns the scale, max|row| / 127. NaN counts as 0, and elements are
// clamped to +-bound.
float QuantizeInt8(const float* row, int head_dim, float bound, int8_t* codes);

// The same with a given scale, at least 1e-30; codes are clamped to +-range.
void QuantizeInt8By(const float* row, int head_dim, float scale, int range, int8_t* codes);

}  // namespace throng::kv
