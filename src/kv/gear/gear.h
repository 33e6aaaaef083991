// The codecs of the KIVI, KCVT and GEAR family: X ~ D + L + S over one page of 64 tokens.
//
//   D  codes of 2, 3 or 4 bits, x = code * scale + zero, scale and zero as f16. Keys share them per channel,
//      over g tokens; values per token, over g channels (kivi), or over all channels of the head (kcvt). The
//      keys of kcvt equal those of kivi with g = 64; for head sizes up to 64, the values do too.
//   L  gear, gearl: a fit of rank r to what D leaves, by 3 sweeps of power iteration from one constant start.
//   S  gear: round(s * 64 * d) outliers, left out of their groups' ranges. They are chosen one by one: each
//      time the element whose removal most reduces the square of its group's range. They are kept as 2 bytes
//      of position and the difference to D + L as f16.
//
// The papers fit D first, then L to what is left, once (rounds=0 does). Here they take turns, at the same
// bytes: L is first fitted to X without its groups' means, S is chosen from what is left, then D is fitted to
// X - L and L to X - D, twice. A low-rank part that is taken away first makes the ranges of D's groups
// smaller, which saves more than taking it from what quantisation leaves: the error of synthetic pages falls
// by 20 % (keys) and 30 % (values). More rounds gain little, and sealing has to stay below 5 % of a prefill.
// Where more directions than L has are of one size, as in keys that turn with the position alone, once is
// better. So with 2 bits, whose errors can decide which key wins, a page is fitted both ways, and what leaves
// less squared error is kept.
//
// The factors of L are stored in 8 bits, with one f32 scale for each column of both: r (64 + d + 4) bytes
// where f16 would take 2 r (64 + d), half of it. That changes L by at most 3 % (4 % at head size 576) and the
// error of a page by less than one part in a thousand. All other sizes are the papers' with units of 64
// tokens. The backbone of gear4 is kivi by default: kcvt (the paper's at 4 bits) saves 0.25 bits per element
// of the values at d = 128 for 7 % more error.
//
// Every input gives finite output: NaN counts as 0, values are clamped to +-65504. Groups whose range f16
// cannot tell from 0 become constant. A difference of S beyond +-65504, possible only between values of
// nearly that size, is clamped.
//
// Score and Mix are the same computation on a matrix of codes: keys as [d, 64] with the query as weights,
// values as [64, d] with the probabilities,
//   out[n] = sum_k w[k] (scale[k, G] code[k, n] + zero[k, G])  +  sum_r (sum_k w[k] a[k, r]) b[n, r]
//            +  sum over outliers (k, n) of w[k] difference.
// The scales go into the weights once per page and group: f[k] = w[k] scale[k, G] is rounded to integers of
// 8 bits, with a sign for keys, and the sum over codes is exact. The effect of rounding on the codes' mean
// goes into the row's constant, with the zeros, so rounding affects only the codes' deviations from their
// middle. Channels of keys whose scale is more than four times the average, such as those with a large bias
// that RoPE turns, would take all levels: the 16 widest are added in f32 instead. Then rounding adds at most
// 3 % to the error of codes, and of codes with L. L and S are computed in f32. With AVX-512, codes of 2 and 4
// bits are used packed; otherwise a page's codes are unpacked to bytes in L1 or L2 once for all rows of a
// call. Four rows share each load of codes, each factor and each outlier. docs/kernels.md counts the
// operations.
#pragma once

#include <memory>

#include "kv/codec.h"

namespace throng {
class KeyValues;
}

namespace throng::kv {

// The defaults of a name in the codec table; parameters override them.
struct GearOptions {
  const char* name;
  int bits = 4;
  int group = 64;       // g=: 16, 32 or 64
  bool kcvt = false;    // kcvt=1
  int rank = 0;         // r=, allowed if not 0 here
  double sparsity = 0;  // s=, allowed if not 0 here
  int rounds = 0;       // rounds=, allowed with a rank
};

std::shared_ptr<const Codec> MakeGear(GearOptions options, KeyValues& parameters, int head_dim);

}  // namespace throng::kv
