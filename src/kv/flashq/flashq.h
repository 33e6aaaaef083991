// The codecs flashq4 and flashq2: FlashQ's two stages of integers, from INT8 per block to 4 or 2 bits per
// channel, and attention on those integers. The specification in plain loops is flashq_reference.h.
//
// Sealing: s1 = max|x| / 119 of the whole block (f32), q1 = round(x / s1); per channel z = min q1,
// s2 = ceil((max q1 - min q1) / (2^b - 1)) >= 1, q2 = round((q1 - z) / s2). Back: q1' = q2 s2 + z, which fits
// 8 bits, and x' = s1 q1'. Each block has a scale of its own, found when it is sealed; until then its rows
// are kept in f16. NaN counts as 0, and values are clamped to +-65504, as in the open page.
//
// Score: the query row becomes INT8 with its own scale s_q, and the integer dot product of the paper's two
// stages is computed without rebuilding q1' for every row:
//   sum_c q[c] q1'[t, c] = sum_c (q[c] s2[c]) q2[t, c] + sum_c q[c] z[c].
// q[c] s2[c] = 128 h + l with h and l of 8 bits: two products of 8 bits each, exact in 32 bits.
// Mix: a row's probabilities become integers w of 14 bits with one scale per page, w = 128 h + l again;
//   sum_t w[t] q1'[t, c] = s2[c] sum_t w[t] q2[t, c] + z[c] sum_t w[t].
// The paper keeps 8 bits, which drop what is below 1/240 of a page's largest probability.
//
// Layout: codes, then s2 as uint8 [d], z as int8 [d], s1 as f32.
//   keys, 4 bit:   [d / 8, 64, 4] bytes: channels 8j + i in the low, 8j + 4 + i in the high half
//   keys, 2 bit:   [d / 8, 32, 4] bytes: from the lowest bits up, channels 8j + i and 8j + 4 + i of token t,
//                  then of token t + 32
//   values, 4 bit: [8, d, 4] bytes: tokens 8j + i in the low, 8j + 4 + i in the high half
//   values, 2 bit: [4, d, 4] bytes: from the lowest bits up, tokens 16j + i, 16j + 4 + i, 16j + 8 + i, ...
#pragma once

#include <memory>

#include "kv/codec.h"

namespace throng::kv {

std::shared_ptr<const Codec> MakeFlashq(int bits, int head_dim);  // 4 or 2 bits

}  // namespace throng::kv
