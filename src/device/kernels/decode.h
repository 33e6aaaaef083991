// Attention of one token per sequence over the pages of its cache.
//
// A sequence's pages are cut into splits of kSplitPages at absolute page numbers, and a block of threads
// takes one split of one KV head for all query heads that share it, so each page is read once. A warp takes
// every fourth page of the split with an online softmax of its own; the warps' results are merged in their
// order, and MergeSplits merges splits in theirs. So a sequence's result does not depend on others, nor on
// how many pages follow.
#pragma once

#include "device/intrinsics.h"
#include "device/kernels/half_page.h"
#include "device/kernels/page_row.h"
#include "device/kernels/quantize.h"
#include "device/kernels/softmax_row.h"

namespace throng::device {

inline constexpr int kSplitPages = 16;

struct DecodeSequence {
  const uint8_t* const* sealed;  // its sealed blocks
  const uint8_t* open;           // its open block
  int num_sealed;
  int open_tokens;    // >= 1, with the query's own
  int first_visible;  // token; a sliding window hides those before it
};

// One layer. Places in blocks are in bytes, those of KV head 0; heads are head_stride apart.
struct DecodeArgs {
  const DecodeSequence* sequences;  // one for each z of the grid
  const float* queries;             // [sequences, kv_heads, group, d] after rotation
  float* out;                       // the same
  float* split_max;                 // [sequences, kv_heads, max_splits, kGroupRows]; split_sum too
  float* split_sum;
  float* split_out;  // [sequences, kv_heads, max_splits, kGroupRows, d]
  float scale;       // of scores
  int group;         // <= kGroupRows
  int kv_heads;
  int max_splits;
  int64_t keys, values, head_stride;                 // of sealed blocks
  int64_t open_keys, open_values, open_head_stride;  // of open blocks
};

// Grid: [splits, kv_heads, sequences].
template <typename Page>
struct Decode {
  using Args = DecodeArgs;
  static constexpr int kDim = Page::kHeadDim;
  static constexpr int kWarps = 4;
  static constexpr int kThreads = kWarps * kWarpThreads;
  static constexpr int kBlocks = 2;
  static_assert(kSplitPages % kWarps == 0);

  struct Partial {
    float max[kWarps][kGroupRows];
    float sum[kWarps][kGroupRows];
    float out[kWarps][kGroupRows][kDim];
  };
  struct Shared {
    QueryRows<kDim> queries;
    Partial partial;
    typename Page::Scratch scratch[kWarps];
  };
  static constexpr size_t kSharedBytes = sizeof(Shared);

  using Row = OutputState<kDim>;

  static THRONG_DEVICE void Run(const Args& args) {
    const Index3 at = BlockIndex();
    const DecodeSequence& sequence = args.sequences[at.z];
    const int first = Max(at.x * kSplitPages, sequence.first_visible / kPageTokens);
    const int end = Min((at.x + 1) * kSplitPages, sequence.num_sealed + 1);
    if (first >= end) return;  // MergeSplits knows
    Shared& shared = *static_cast<Shared*>(SharedMemory());
    PrepareQueries(args, shared.queries);
    ClearScratch(shared.scratch[Warp()], args.group);
    Barrier();

    const typename Page::Query query = Page::Query::Of(shared.queries);
    const typename HalfPage<kDim>::Query open_query = HalfPage<kDim>::Query::Of(shared.queries);
    typename Page::Scratch& scratch = shared.scratch[Warp()];
    NoScratch none;
    Row state;
    int page = at.x * kSplitPages + Warp();
    for (; page < Min(end, sequence.num_sealed); page += kWarps) {
      if (page < first) continue;
      const uint8_t* block = sequence.sealed[page] + at.y * args.head_stride;
      AttendPage<Page>(block + args.keys, block + args.values, query,
                       sequence.first_visible - page * kPageTokens, kPageTokens, scratch, state);
    }
    if constexpr (Page::kRotated) Page::RotateBack(state.out);
    if (page < end) {  // the open page, which is never before `first`
      const uint8_t* block = sequence.open + at.y * args.open_head_stride;
      AttendPage<HalfPage<kDim>>(block + args.open_keys, block + args.open_values, open_query,
                                 sequence.first_visible - page * kPageTokens, sequence.open_tokens, none,
                                 state);
    }
    MergeWarps(args, state, shared.partial);
  }

 private:
  static THRONG_DEVICE int Max(int a, int b) { return a > b ? a : b; }
  static THRONG_DEVICE int Min(int a, int b) { return a < b ? a : b; }

  // Tokens of the page from `begin` on and before `end` are seen.
  template <typename P>
  static THRONG_DEVICE void AttendPage(const uint8_t* keys, const uint8_t* values,
                                       const typename P::Query& query, int begin, int end,
                                       typename P::Scratch& scratch, Row& state) {
    PageRow scores;
    P::Score(keys, query, scratch, scores);
    Hide(begin, end, scores);
    const SoftmaxStep step = Softmax(ExactSoftmax(), scores, state);
    P::Mix(values, scores, step.top, step.rescale, scratch, state.out);
  }

  static THRONG_DEVICE int64_t SplitIndex(const Args& args) {
    const Index3 at = BlockIndex();
    return (static_cast<int64_t>(at.z) * args.kv_heads + at.y) * args.max_splits + at.x;
  }

  // The query rows, scaled, in f32 and in 8 bits (PrepareQuery of kv/flashq/flashq.cc). Rows beyond the group
  // are 0.
  static THRONG_DEVICE void PrepareQueries(const Args& args, QueryRows<kDim>& queries) {
    const Index3 at = BlockIndex();
    for (int row = Warp(); row < kGroupRows; row += kWarps) {
      const float* from =
          args.queries + ((static_cast<int64_t>(at.z) * args.kv_heads + at.y) * args.group + row) * kDim;
      float x[kDim / kWarpThreads];
      float largest = 0.0f;
      THRONG_UNROLL
      for (int i = 0; i < kDim / kWarpThreads; ++i) {
        x[i] = row < args.group ? from[Lane() + i * kWarpThreads] * args.scale : 0.0f;
        const float finite = Finite(x[i]);
        queries.rows[row][Lane() + i * kWarpThreads] = finite;
        x[i] = finite;
      }
      if constexpr (Page::kRotated) Page::RotateQuery(x);
      THRONG_UNROLL
      for (int i = 0; i < kDim / kWarpThreads; ++i) largest = device::Max(largest, Abs(x[i]));
      THRONG_UNROLL
      for (int mask = 16; mask > 0; mask /= 2) largest = device::Max(largest, ShuffleXor(largest, mask));
      THRONG_UNROLL
      for (int i = 0; i < kDim / kWarpThreads; ++i) {
        queries.codes[row][Lane() + i * kWarpThreads] = static_cast<int8_t>(Page::QueryCode(x[i], largest));
      }
      if (Lane() == 0) queries.largest[row] = largest;
    }
  }

  static THRONG_DEVICE void MergeWarps(const Args& args, const Row& state, Partial& partial) {
    const int row = Lane() / 4;
    const float sum = RowSum(state.sum);
    if (Lane() % 4 == 0) {
      partial.max[Warp()][row] = state.max;
      partial.sum[Warp()][row] = sum;
    }
    THRONG_UNROLL
    for (int k = 0; k < kDim / 32; ++k) {
      THRONG_UNROLL
      for (int c = 0; c < 8; ++c) {
        partial.out[Warp()][row][OwnChannel(k) + c] = state.out[k][c % 4][c / 4];
      }
    }
    Barrier();
    const int64_t split = SplitIndex(args);
    for (int e = ThreadIndex(); e < args.group * kDim; e += kThreads) {
      const int r = e / kDim;
      const int c = e % kDim;
      float max = kHidden;
      for (int w = 0; w < kWarps; ++w) max = device::Max(max, partial.max[w][r]);
      float total = 0.0f;
      float out = 0.0f;
      for (int w = 0; w < kWarps; ++w) {
        const float factor = partial.max[w][r] == kHidden ? 0.0f : Exponential(partial.max[w][r] - max);
        total = Fma(partial.sum[w][r], factor, total);
        out = Fma(partial.out[w][r][c], factor, out);
      }
      args.split_out[(split * kGroupRows + r) * kDim + c] = out;
      if (c == 0) {
        args.split_max[split * kGroupRows + r] = max;
        args.split_sum[split * kGroupRows + r] = total;
      }
    }
  }
};

// Grid: [kv_heads, sequences].
template <int kHeadDim>
struct MergeSplits {
  using Args = DecodeArgs;
  static constexpr int kThreads = 128;
  static constexpr int kBlocks = 8;
  static constexpr size_t kSharedBytes = 0;

  static THRONG_DEVICE void Run(const Args& args) {
    const Index3 at = BlockIndex();
    const DecodeSequence& sequence = args.sequences[at.y];
    const int first = sequence.first_visible / kPageTokens / kSplitPages;
    const int last = sequence.num_sealed / kSplitPages;
    const int64_t head = static_cast<int64_t>(at.y) * args.kv_heads + at.x;
    for (int e = ThreadIndex(); e < args.group * kHeadDim; e += kThreads) {
      const int r = e / kHeadDim;
      const int c = e % kHeadDim;
      float max = kHidden;
      for (int s = first; s <= last; ++s) max = Max(max, args.split_max[Place(args, head, s, r)]);
      float total = 0.0f;
      float out = 0.0f;
      for (int s = first; s <= last; ++s) {
        const int64_t place = Place(args, head, s, r);
        const float factor =
            args.split_max[place] == kHidden ? 0.0f : Exponential(args.split_max[place] - max);
        total = Fma(args.split_sum[place], factor, total);
        out = Fma(args.split_out[place * kHeadDim + c], factor, out);
      }
      args.out[(head * args.group + r) * kHeadDim + c] = out / total;
    }
  }

 private:
  static THRONG_DEVICE int64_t Place(const Args& args, int64_t head, int split, int row) {
    return (head * args.max_splits + split) * kGroupRows + row;
  }
};

}  // namespace throng::device
