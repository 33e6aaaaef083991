// The codec fp8: floats of 8 bits (E4M3) with one scale per token and head, as other engines ship it.
//
// A row x becomes x / s in E4M3 with s = max|x| / 448, kept as f32. NaN counts as 0, and values are clamped
// to
// +-65504 first. Scores and sums are taken in f32, as those of f16 are, from elements that are widened as
// they are loaded: half the bytes of f16 at its arithmetic. The scales go into the scores, and into the
// probabilities.
//
// Layout: keys [d, 64] or values [64, d], then s as f32 [64].
#pragma once

#include <memory>

#include "kv/codec.h"

namespace throng::kv {

std::shared_ptr<const Codec> MakeFp8(int head_dim);

}  // namespace throng::kv
