// Rotates queries and keys of new tokens and writes keys and values to open pages, in one pass. Products and
// sums are rounded as in model/row_ops.cc, so pages and queries have the processor's bits.
#pragma once

#include "device/intrinsics.h"
#include "device/kernels/attention_args.h"
#include "device/kernels/page_row.h"
#include "device/kernels/quantize.h"

namespace throng::device {

struct AppendToken {
  uint8_t* open;    // the open block of its sequence
  int in_block;     // its row there
  int clear_after;  // 1: the rows after it become 0, as of a page that is begun and not filled
};

// One layer.
struct AppendArgs {
  const AppendToken* tokens;  // one for each x of the grid
  float* queries;             // [tokens, kv_heads, group, d], rotated in place
  const float* keys;          // [tokens, kv_heads, d] before rotation
  const float* values;        // the same
  const float* cos_sin;       // [tokens, 2, pairs]
  int pairs;                  // the first 2 * pairs elements of a head are rotated; at most d / 2
  int halves;                 // 1: pairs (i, i + pairs); 0: pairs (2 i, 2 i + 1)
  int group;
  int kv_heads;
  Places open;  // in open blocks
};

// Grid: [tokens, kv_heads].
template <int kDim>
struct Append {
  using Args = AppendArgs;
  static constexpr int kThreads = kDim;
  static constexpr int kBlocks = 8;
  static constexpr size_t kSharedBytes = 0;

  static THRONG_DEVICE void Run(const Args& args) {
    const Index3 at = BlockIndex();
    const AppendToken& token = args.tokens[at.x];
    const int64_t head = static_cast<int64_t>(at.x) * args.kv_heads + at.y;
    const float* cos = args.cos_sin + static_cast<int64_t>(at.x) * 2 * args.pairs;
    const float* sin = cos + args.pairs;
    uint8_t* block = token.open + at.y * args.open.head_stride;
    auto* keys = reinterpret_cast<uint16_t*>(block + args.open.keys);      // [d, 64]
    auto* values = reinterpret_cast<uint16_t*>(block + args.open.values);  // [64, d]
    const float* key = args.keys + head * kDim;
    const int c = ThreadIndex();
    values[token.in_block * kDim + c] = FloatToHalfBits(Finite(args.values[head * kDim + c]));
    if (c < args.pairs) {
      const Pair place = PlaceOf(args, c);
      float a = key[place.first];
      float b = key[place.second];
      Turn(cos[c], sin[c], a, b);
      keys[place.first * kPageTokens + token.in_block] = FloatToHalfBits(Finite(a));
      keys[place.second * kPageTokens + token.in_block] = FloatToHalfBits(Finite(b));
      for (int g = 0; g < args.group; ++g) {
        float* query = args.queries + (head * args.group + g) * kDim;
        Turn(cos[c], sin[c], query[place.first], query[place.second]);
      }
    }
    if (c >= 2 * args.pairs) keys[c * kPageTokens + token.in_block] = FloatToHalfBits(Finite(key[c]));
    if (token.clear_after == 0) return;
    for (int row = token.in_block + 1; row < kPageTokens; ++row) {
      keys[c * kPageTokens + row] = 0;
      values[row * kDim + c] = 0;
    }
  }

 private:
  struct Pair {
    int first;
    int second;
  };
  static THRONG_DEVICE Pair PlaceOf(const Args& args, int pair) {
    if (args.halves != 0) return {pair, pair + args.pairs};
    return {2 * pair, 2 * pair + 1};
  }
  static THRONG_DEVICE void Turn(float cos, float sin, float& a, float& b) {
    const float turned = a * cos - b * sin;
    b = a * sin + b * cos;
    a = turned;
  }
};

}  // namespace throng::device
