// The codecs flashq4 and flashq2: FlashQ's two stages of integers, from INT8 per block to 4 or 2 bits per
// channel, and attention on those integers. The specification in plain loops is flashq_reference.h.
//
// Sealing: s1 = max|x| / 119 of the whole block (f32), q1 = round(x / s1); per channel z = min q1,
// s2 = ceil((max q1 - min q1) / (2^b - 1)) >= 1, q2 = round((q1 - z) / s2). Back: q1' = q2 s2 + z, which fits
// 8 bits for keys, and x' = s1 q1'. Values have the z nearest to min q1 with which the block's first token
// falls on a level, q1' = q1, if it fits 8 bits. Heads that have nothing to look for rest on the first token
// of a text, whose values are small: errors of half a step of the other tokens' would be added with all of
// the weight. Elsewhere it changes nothing: an error is half a step at most either way. (The paper has min
// q1.) Each block has its own scale, found when it is sealed; until then its rows are kept in f16. NaN counts
// as 0, and values are clamped to +-65504, as in the open page. With buffer=int8 the rows are kept in INT8
// (kv/int8/int8_open.h), as in the paper: then q1 are the integers of the open page and s1 is its universal
// scale. A sequence's first page has no universal scale, so stage 1 rounds its rows again. A page also keeps
// the mean of the scales that it and all earlier pages would have wanted (f32): the universal scale of the
// next page. buffer=int8 saves 7/16 to 15/32 of the open page; pages clamp where values grow.
//
// Score: the query row becomes INT8 with its own scale s_q; the sum over channels of q[c] q1'[t, c] is exact
// in 32 bits, and s_q s1 scales it. Where one instruction looks up a table of 64 bytes (AVX-512), a page's
// codes become q1' in a tile of d * 64 bytes that all rows of the call share. Elsewhere the scales are folded
// into the query instead, q[c] s2[c] = 128 h + l with h and l of 8 bits.
// Mix: the probabilities of a row and page become integers w of 8 bits, w = round(255 p / max p), and
//   sum_t w[t] q1'[t, c] = s2[c] sum_t w[t] q2[t, c] + z[c] sum_t w[t],   exact in integers,
// so the values are never rebuilt. (The paper rounds to 1/119 of the largest.)
//
// Layout: codes, then s2 as uint8 [d], z as int8 [d], s1 as f32, with buffer=int8 the mean as f32.
//   keys, 4 bit:   [d / 8, 64, 4] bytes: channels 8j + i in the low, 8j + 4 + i in the high half
//   keys, 2 bit:   [d / 8, 32, 4] bytes: from the lowest bits up, channels 8j + i and 8j + 4 + i of token t,
//                  then of token t + 32
//   values, 4 bit: [8, d, 4] bytes: tokens 8j + i in the low, 8j + 4 + i in the high half
//   values, 2 bit: [4, d, 4] bytes: from the lowest bits up, tokens 16j + i, 16j + 4 + i, 16j + 8 + i, ...
#pragma once

#include <memory>

#include "kv/codec.h"

namespace throng {
class KeyValues;
}

namespace throng::kv {

// The parameter buffer=f16|int8: how the rows of open pages are kept.
OpenType FlashqBuffer(KeyValues& parameters);

// bits: 4 or 2. buffer: kF16 or kInt8.
std::shared_ptr<const Codec> MakeFlashq(int bits, OpenType buffer, int head_dim);

}  // namespace throng::kv
