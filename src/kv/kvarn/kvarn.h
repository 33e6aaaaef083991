// The codec kvarn (KVarN, arXiv 2606.03458): rotated rows, whose tokens and channels are brought to one
// variance before they are quantised.
//
// The rows of a page are rotated by the orthonormal Walsh-Hadamard transform (of blocks of powers of two,
// largest first). Then 16 times in turns each column and each row of the page is divided by its standard
// deviation, with factors bounded as published, and of all turns the one is kept whose deviations differ
// least. Rows are what shares a scale: channels of keys, tokens of values; columns are the others. The
// columns' factors are kept as f16; the page divided by them is a page of kivi with one group per row
// (gear.h), into whose scale and zero the row's factor goes. So decoded, rotated elements are
//   x[k, n] = column[n] (scale[k] code[k, n] + zero[k]).
// A page is the unit, as the published tile of 64 tokens. Left out, as for every codec here: the published
// pool of tokens kept in f16.
//
// Score and Mix are GEAR's kernels on the query after rotation, with the scores, or the sums, times the
// columns' factors; sums of values are rotated back once per row and page.
#pragma once

#include <memory>

#include "kv/codec.h"

namespace throng {
class KeyValues;
}

namespace throng::kv {

// Parameters k= and v=: bits of keys and values, 2, 3 or 4.
std::shared_ptr<const Codec> MakeKvarn(KeyValues& parameters, int head_dim);

}  // namespace throng::kv
