// The codecs rot4, rot3, rot2 and int4. The first three rotate rows at random, then quantise them per token
// and head.
//
// The rotation R = H D: signs D from a fixed seed, then the Walsh-Hadamard transform H with orthonormal rows.
// It spreads outliers over all dimensions, so one step size per token fits. Head sizes that are not powers of
// two are transformed in blocks of powers of two, largest first: 80 = 64 + 16.
//
// The codec encodes y = R x / sqrt(d), whose elements are at most max|x|, as h (2 c - L) + m with codes c in
// [0, L], L = 2^bits - 1, and the row's half step h and midpoint m in f16. The codes cover the row's range or
// a share of it, whichever has the least squared error: at 2 and 3 bits, clipping the tails pays. NaN counts
// as 0, and values are clamped to +-65504 first (the range of the open page). Rows too small for f16 become
// 0.
//
// Score: the query becomes sqrt(d) R q once, then INT8 with one scale, so that
//   q . k = s_q (h (2 sum c_q[i] c[i] - L sum c_q[i]) + m sum c_q[i])   with exact integer sums,
// taken on the packed codes. Mix: weights p[t] h[t] become integers of 15 bits, as in the codec int8, and the
// sum over the page's tokens is rotated back once per row and page: d log2 d additions for the 64 d
// multiply-adds of the page, an eighth at d = 128.
//
// Layout, codes packed to exactly their bits, in planes of 2-byte words so that shifts and masks give pairs:
//   keys:   4 bits: [d / 4, 64] words, dimensions 0 1 (low nibbles of both bytes) and 2 3 of each 4
//           2 bits: [d / 8, 64] words, bits 2 j of both bytes: dimensions 2 j and 2 j + 1 of each 8
//           3 bits: the low 2 bits as above, then the high ones as bytes [d / 8, 64]: even dimensions, odd
//           ones
//   values: n-bit fields of words [64 bits / 32, d, 2]: field j of word (g, i, b) is token 2 (g 16 / n + j)
//           + b; 3 bits: a plane of 2 and a plane of 1
//   then half steps [64] and midpoints [64] as f16
#pragma once

#include <memory>

#include "kv/codec.h"

namespace throng::kv {

// bits: 2, 3 or 4.
std::shared_ptr<const Codec> MakeRot(int bits, int head_dim);
// int4: rot4 without rotation and clipping. This is quantisation per token and head as other engines ship it:
// the codes cover the range of the token's row.
std::shared_ptr<const Codec> MakeInt4(int head_dim);

}  // namespace throng::kv
