// The codecs f16 and f32: rows rounded to IEEE binary16 or binary32. Both are forms of the open page too.
#pragma once

#include <memory>

#include "kv/open_codec.h"

namespace throng::kv {

// Values are clamped to +-65504 in f16 and to +-1e30 in f32, so that sums of their products are finite; NaN
// is stored as 0.
std::shared_ptr<const OpenCodec> MakeF16(int head_dim);
std::shared_ptr<const OpenCodec> MakeF32(int head_dim);

// Codec::Mix of values that are not in a page: head_dim elements of each of 64 rows, `stride` floats apart.
void MixRowsOfF32(const float* values, size_t stride, const float* probabilities, const float* rescale,
                  int head_dim, int num_rows, float* out);

}  // namespace throng::kv
