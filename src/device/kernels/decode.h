// Attention of one token per sequence over the pages of its cache.
//
// A sequence's pages are cut into splits of kSplitPages at absolute page numbers, and a block of threads
// takes one split of one KV head for all query heads that share it, so each page is read once. A warp takes
// every fourth page of the split with an online softmax of its own; the warps' results are merged in their
// order, and MergeSplits merges splits in theirs. So a token's result depends on its own pages alone, and
// Prefill, which takes the same steps in the same order for more rows at once, gives it the same bits.
#pragma once

#include "device/intrinsics.h"
#include "device/kernels/attention_args.h"
#include "device/kernels/half_page.h"
#include "device/kernels/page_row.h"
#include "device/kernels/quantize.h"
#include "device/kernels/softmax_row.h"

namespace throng::device {

inline constexpr int kSplitPages = 16;
inline constexpr int kSplitWarps = 4;  // warp w of a split has pages w, w + 4 and so on

// A token that attends, with what it sees.
struct DecodeSequence {
  const uint8_t* const* sealed;  // its sealed blocks
  const uint8_t* open;           // its open block
  int num_sealed;
  int open_tokens;    // >= 1, with the query's own
  int first_visible;  // token; a sliding window hides those before it
  int row;            // of queries and out
  float threshold;    // of SAS
};

struct DecodeArgs {
  AttentionArgs attention;          // of at most kGroupRows query heads for a KV head
  const DecodeSequence* sequences;  // one for each z of the grid
  float* split_max;                 // [sequences, kv_heads, max_splits, kGroupRows]; split_sum too
  float* split_sum;
  float* split_out;  // [sequences, kv_heads, max_splits, kGroupRows, d]
  int64_t max_splits;
};

// Grid: [splits, kv_heads, sequences]. kSas: 1 for the SAS softmax, 0 for the exact one.
template <typename Page, int kSas>
struct Decode {
  using Args = DecodeArgs;
  using Kernel = SoftmaxOfKernel<kSas>;
  static constexpr int kDim = Page::kHeadDim;
  static constexpr int kWarps = kSplitWarps;
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
    typename Kernel::Shared softmax;
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
    PrepareQueries(args, sequence, shared.queries);
    Kernel::Prepare(shared.softmax);
    ClearScratch(shared.scratch[Warp()], args.attention.group);
    Barrier();

    const auto softmax = Kernel::Of(shared.softmax, sequence.threshold);
    const typename Page::Query query = Page::Query::Of(shared.queries);
    const typename HalfPage<kDim>::Query open_query = HalfPage<kDim>::Query::Of(shared.queries);
    typename Page::Scratch& scratch = shared.scratch[Warp()];
    NoScratch none;
    Row state;
    int page = at.x * kSplitPages + Warp();
    for (; page < Min(end, sequence.num_sealed); page += kWarps) {
      if (page < first) continue;
      const uint8_t* block = sequence.sealed[page] + at.y * args.attention.sealed.head_stride;
      AttendPage<Page>(softmax, block + args.attention.sealed.keys, block + args.attention.sealed.values,
                       query, sequence.first_visible - page * kPageTokens, kPageTokens, scratch, state);
    }
    if constexpr (Page::kRotated) Page::RotateBack(Page::SignsOfLane(), state.out);
    if (page < end) {  // the open page, which is never before `first`
      const uint8_t* block = sequence.open + at.y * args.attention.open.head_stride;
      AttendPage<HalfPage<kDim>>(
          softmax, block + args.attention.open.keys, block + args.attention.open.values, open_query,
          sequence.first_visible - page * kPageTokens, sequence.open_tokens, none, state);
    }
    MergeWarps(args, softmax, state, shared.partial);
  }

 private:
  static THRONG_DEVICE int Max(int a, int b) { return a > b ? a : b; }
  static THRONG_DEVICE int Min(int a, int b) { return a < b ? a : b; }

  // Tokens of the page from `begin` on and before `end` are seen.
  template <typename P, typename Kind>
  static THRONG_DEVICE void AttendPage(const Kind& softmax, const uint8_t* keys, const uint8_t* values,
                                       const typename P::Query& query, int begin, int end,
                                       typename P::Scratch& scratch, Row& state) {
    PageRow scores;
    P::Score(keys, query, scratch, scores);
    Hide(begin, end, scores);
    const SoftmaxStep step = Softmax(softmax, scores, state);
    P::Mix(values, scores, step.top, step.rescale, scratch, state.out);
  }

  static THRONG_DEVICE int64_t SplitIndex(const Args& args) {
    const Index3 at = BlockIndex();
    return (static_cast<int64_t>(at.z) * args.attention.kv_heads + at.y) * args.max_splits + at.x;
  }

  // The query rows, scaled, in f32 and in 8 bits (PrepareQuery of kv/flashq/flashq.cc). Rows beyond the group
  // are 0.
  static THRONG_DEVICE void PrepareQueries(const Args& args, const DecodeSequence& sequence,
                                           QueryRows<kDim>& queries) {
    for (int row = Warp(); row < kGroupRows; row += kWarps) {
      const float* from =
          args.attention.queries +
          ((int64_t{sequence.row} * args.attention.kv_heads + BlockIndex().y) * args.attention.group + row) *
              kDim;
      float x[kDim / kWarpThreads];
      float largest = 0.0f;
      THRONG_UNROLL
      for (int i = 0; i < kDim / kWarpThreads; ++i) {
        x[i] = row < args.attention.group ? from[Lane() + i * kWarpThreads] * args.attention.scale : 0.0f;
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

  template <typename Kind>
  static THRONG_DEVICE void MergeWarps(const Args& args, const Kind& softmax, const Row& state,
                                       Partial& partial) {
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
    for (int e = ThreadIndex(); e < args.attention.group * kDim; e += kThreads) {
      const int r = e / kDim;
      const int c = e % kDim;
      float max = kHidden;
      float total = 0.0f;
      float out = 0.0f;
      for (int w = 0; w < kWarps; ++w) {
        const MergeStep step = Merge(softmax, max, partial.max[w][r]);
        max = step.max;
        total = step.Of(total, partial.sum[w][r]);
        out = step.Of(out, partial.out[w][r][c]);
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
template <int kHeadDim, int kSas>
struct MergeSplits {
  using Args = DecodeArgs;
  using Kernel = SoftmaxOfKernel<kSas>;
  static constexpr int kThreads = 128;
  static constexpr int kBlocks = 8;
  static constexpr size_t kSharedBytes = kSas != 0 ? sizeof(typename Kernel::Shared) : 0;

  static THRONG_DEVICE void Run(const Args& args) {
    const Index3 at = BlockIndex();
    const DecodeSequence& sequence = args.sequences[at.y];
    const int first = sequence.first_visible / kPageTokens / kSplitPages;
    const int last = sequence.num_sealed / kSplitPages;
    const int64_t head = static_cast<int64_t>(at.y) * args.attention.kv_heads + at.x;
    const int64_t row = int64_t{sequence.row} * args.attention.kv_heads + at.x;
    auto& shared = *static_cast<typename Kernel::Shared*>(SharedMemory());
    Kernel::Prepare(shared);
    if constexpr (kSas != 0) Barrier();
    const auto softmax = Kernel::Of(shared, sequence.threshold);
    for (int e = ThreadIndex(); e < args.attention.group * kHeadDim; e += kThreads) {
      const int r = e / kHeadDim;
      const int c = e % kHeadDim;
      float max =
          args.attention.sinks == nullptr ? kHidden : args.attention.sinks[at.x * args.attention.group + r];
      float total = args.attention.sinks == nullptr ? 0.0f : 1.0f;
      float out = 0.0f;
      for (int s = first; s <= last; ++s) {
        const int64_t place = Place(args, head, s, r);
        const MergeStep step = Merge(softmax, max, args.split_max[place]);
        max = step.max;
        total = step.Of(total, args.split_sum[place]);
        out = step.Of(out, args.split_out[place * kHeadDim + c]);
      }
      args.attention.out[(row * args.attention.group + r) * kHeadDim + c] = out / total;
    }
  }

 private:
  static THRONG_DEVICE int64_t Place(const Args& args, int64_t head, int split, int row) {
    return (head * args.max_splits + split) * kGroupRows + row;
  }
};

}  // namespace throng::device
