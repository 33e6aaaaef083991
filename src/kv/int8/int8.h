// The codec int8: one scale per token, integer dot products.
//
// A row x of d keys or values becomes c = round(x / s) with s = max|x| / 127, c in [-127, 127], s kept as
// f32. NaN counts as 0, and values are clamped to +-65504 first (the range of the open page), so everything
// stays finite.
//
// Score: the query row is quantised in the same way with its own scale, so that
//   q . k = s_q s_k sum_i c_q[i] c_k[i]   with the sum exact in 32 bits.
// Mix: the weights w[t] = p[t] s_v[t] of one row and page become integers of 15 bits, round(w / u), u = max w
// / 32767, and
//   sum_t w[t] c_v[t] = u sum_t w'[t] c_v[t]   exact in 32 bits (64 * 32767 * 127 < 2^31).
// 15 bits cost no more than 8 where values are widened to 16 bits anyway, and their error (1 / 65534 of the
// largest weight) is far below that of the values.
//
// Layout, for vectors over tokens (Score) and over dimensions (Mix) without horizontal sums:
//   keys:   c + 128 as uint8 [d / 4, 64, 4], then s as f32 [64]
//   values: c as int8 [32, d, 2] (pairs of tokens), then s as f32 [64]
#pragma once

#include <memory>

#include "kv/codec.h"

namespace throng::kv {

std::shared_ptr<const Codec> MakeInt8(int head_dim);

// Write and read a page's codes in the layout above. codes: one row [d], or all [64, d].
void StoreInt8Row(Part part, const int8_t* codes, int head_dim, int t, uint8_t* page);
void LoadInt8Rows(Part part, const uint8_t* page, int head_dim, int8_t* codes);
// The same times the scales of tokens, [64], as floats: [64, d].
void DecodeInt8Rows(Part part, const uint8_t* page, const float* scales, int head_dim, float* block);
// A row of integer_query.h; the pairs are the codes in 16 bits each.
void PrepareInt8Query(const float* query, int head_dim, void* prepared);

}  // namespace throng::kv
