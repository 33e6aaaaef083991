// Open pages in INT8: the buffer of TurboAttention, for codecs whose Open() is kInt8.
//
// A page has a universal scale u, set by the earlier pages: its rows become round(x / u), clamped at 119 u.
// So no row is quantised again while the page grows. A sequence's first page (and one after pages of only
// zeros) has no u; there, each row has its own scale, max|x| / 127. The page keeps that scale of every row,
// from which its codec computes the scale that the page would have wanted. (The paper fixes u once, from the
// prompt, and does not say how it begins.)
//
// Bytes of a page's keys, or values: 64 d codes in the layout of int8.h, 64 row scales, u as f32, and 60
// zeros.
#pragma once

#include <memory>

#include "kv/open_codec.h"

namespace throng::kv {

inline constexpr int kUniversalRange = 119;  // leaves room for FlashQ's second stage

std::shared_ptr<const OpenCodec> MakeInt8Open(int head_dim);

struct Int8OpenPage {
  float universal;                          // 0: rows have their own scales
  float wanted;                             // max|x| / 119 over all rows, before they were clamped
  int8_t codes[kPageTokens * kMaxHeadDim];  // [64, d]
};
// page: written by the codec of MakeInt8Open.
void ReadInt8Open(Part part, const uint8_t* page, int head_dim, Int8OpenPage& to);

}  // namespace throng::kv
