// Attention of a chunk of tokens to the pages before them and to their own block, causal.
//
// A block of threads takes a tile: up to 64 rows, of tokens of one block of the cache and all query heads
// that share a KV head. Pages of flashq, int8 and rot come to shared memory one ahead of the one that is
// used, are expanded to bytes once for all warps, and each warp multiplies its 16 rows with them. Other pages
// are used where they lie, and so is the tile's own block, which is open.
//
// Pages come in the order in which Decode's warps and splits have them, and what was found is merged where
// Decode merges, so a row has the bits that Decode gives it.
#pragma once

#include <type_traits>

#include "device/intrinsics.h"
#include "device/kernels/decode.h"
#include "device/kernels/half_page.h"
#include "device/kernels/page_row.h"
#include "device/kernels/page_tiles.h"
#include "device/kernels/quantize.h"
#include "device/kernels/softmax_row.h"

namespace throng::device {

// Row r of a tile is query head r % group of its token r / group.
struct PrefillTile {
  const uint8_t* const* sealed;  // the sequence's blocks before the tile's own
  const uint8_t* open;           // the tile's own block
  int num_sealed;
  int first_in_block;  // the tile's first token
  int num_tokens;      // at most kTileRows / group, up to the block's end
  int first_query;     // where the first token is in queries, out, first_visible and thresholds
};

struct PrefillArgs {
  AttentionArgs attention;       // of at most kTileRows query heads for a KV head
  const PrefillTile* tiles;      // one for each x of the grid
  const int32_t* first_visible;  // [rows]: the first token that each sees; it never falls
  const float* thresholds;       // [rows], of SAS; null for the exact softmax
};

// Grid: [tiles, kv_heads]. kSas: 1 for the SAS softmax, 0 for the exact one.
template <typename Tiles, int kSas>
struct Prefill {
  using Args = PrefillArgs;
  static constexpr int kDim = Tiles::kHeadDim;
  static constexpr int kSteps = kDim / 32;
  static constexpr int kThreads = kTileThreads;
  static constexpr int kBlocks = 2;

  using Page = typename Tiles::Page;
  using Kernel = SoftmaxOfKernel<kSas>;
  static constexpr bool kExpands = Tiles::Shared::kExpands;

  // What a thread has merged of its two rows: nobody else reads it.
  struct Merged {
    float max[2][kThreads];
    float sum[2][kThreads];
  };
  struct Shared {
    typename Tiles::Shared pages;
    typename Kernel::Shared softmax;
    Merged split, total;
    float split_out[kDim / 2][kThreads];
  };
  static constexpr size_t kSharedBytes = sizeof(Shared);

  // One of the two rows that a lane's row of four has: g and g + 8 of the warp's 16.
  struct Row {
    const float* query;
    float* out;  // null beyond the tile's rows
    int position;
    int first_visible;
    EncodedQuery encoded;  // of pages that are expanded
    float threshold;
    OutputState<kDim> state;
  };

  static THRONG_DEVICE void Run(const Args& args) {
    const PrefillTile& tile = args.tiles[BlockIndex().x];
    Shared& shared = *static_cast<Shared*>(SharedMemory());
    Kernel::Prepare(shared.softmax);
    if constexpr (kSas != 0) Barrier();
    Row rows[2];
    THRONG_UNROLL
    for (int r = 0; r < 2; ++r) BeginRow(args, tile, r, rows[r], shared.total);
    if constexpr (kExpands) {
      Words4 queries[kSteps];
      THRONG_UNROLL
      for (int r = 0; r < 2; ++r) {
        rows[r].encoded = EncodeQueryRow<Page>(
            [&](int channel) { return QueryElement(args, rows[r], channel); }, r, queries);
      }
      THRONG_UNROLL
      for (int s = 0; s < kSteps; ++s) shared.pages.queries[s][ThreadIndex()] = queries[s];
      if constexpr (Page::kRotated) shared.pages.signs[ThreadIndex()] = Page::SignsOfLane();
    } else {
      Tiles::KeepQueries([&](int r, int channel) { return QueryElement(args, rows[r], channel); },
                         tile.num_tokens * args.attention.group - 16 * Warp(), shared.pages);
    }
    const int first_page = args.first_visible[tile.first_query] / kPageTokens;
    const int first_split = first_page / kSplitPages;
    int raw = 0;  // where the next page comes to
    if constexpr (kExpands)
      StartCopy(args, tile, first_split * kSplitPages, first_page, shared.pages.raw[raw]);
    THRONG_NO_UNROLL
    for (int split = first_split; split <= tile.num_sealed / kSplitPages; ++split) {
      THRONG_NO_UNROLL
      for (int warp = 0; warp < kSplitWarps; ++warp) {
        THRONG_UNROLL
        for (int r = 0; r < 2; ++r) rows[r].state = {};
        THRONG_NO_UNROLL
        for (int i = 0; i < kSplitPages / kSplitWarps; ++i) {
          const int page = split * kSplitPages + warp + i * kSplitWarps;
          if (page < first_page || page >= tile.num_sealed) continue;
          if constexpr (kExpands) {
            WaitCopies<0>();
            Barrier();  // the page is there, and nobody uses the tiles and the other page any more
            StartCopy(args, tile, After(page), first_page, shared.pages.raw[1 - raw]);
            Tiles::ExpandKeys(shared.pages.raw[raw].keys, shared.pages.tiles);
            Tiles::ExpandValues(shared.pages.raw[raw].values, shared.pages.tiles);
            Barrier();
            AttendTiles(page, shared.pages.raw[raw], shared, rows);
            raw = 1 - raw;
          } else {
            const Places& places = args.attention.sealed;
            const uint8_t* block = tile.sealed[page] + BlockIndex().y * places.head_stride;
            if constexpr (std::is_same_v<Page, HalfPage<kDim>>) {
              AttendHalves(args, page, block + places.keys, block + places.values, shared, rows);
            } else {
              AttendCodes(page, block + places.keys, block + places.values, shared, rows);
            }
          }
        }
        if constexpr (Page::kRotated) {
          THRONG_UNROLL
          for (int r = 0; r < 2; ++r) Page::RotateBack(shared.pages.signs[ThreadIndex()], rows[r].state.out);
        }
        if (tile.num_sealed / kSplitPages == split && tile.num_sealed % kSplitWarps == warp) {
          const Places& places = args.attention.open;
          const uint8_t* block = tile.open + BlockIndex().y * places.head_stride;
          AttendHalves(args, tile.num_sealed, block + places.keys, block + places.values, shared, rows);
        }
        THRONG_UNROLL
        for (int r = 0; r < 2; ++r) MergeWarp(r, warp == 0, rows[r], shared);
      }
      THRONG_UNROLL
      for (int r = 0; r < 2; ++r) MergeSplit(r, split == first_split, rows[r], shared);
    }
    THRONG_UNROLL
    for (int r = 0; r < 2; ++r) Finish(r, rows[r], shared.total);
  }

 private:
  // The page that comes after another: those of a warp of Decode, then the next warp's, then the next split.
  static THRONG_DEVICE int After(int page) {
    if (page % kSplitPages + kSplitWarps < kSplitPages) return page + kSplitWarps;
    if (page % kSplitWarps + 1 < kSplitWarps) return page + kSplitWarps + 1 - kSplitPages;
    return page + 1;
  }
  // The first sealed page that is seen, from `page` on; -1: none.
  static THRONG_DEVICE int SealedFrom(int page, int first_page, int num_sealed) {
    while (page < first_page || page >= num_sealed) {
      if (page / kSplitPages > num_sealed / kSplitPages) return -1;
      page = After(page);
    }
    return page;
  }

  static THRONG_DEVICE void BeginRow(const Args& args, const PrefillTile& tile, int r, Row& to,
                                     Merged& total) {
    const int row = Warp() * 16 + Lane() / 4 + 8 * r;
    const bool used = row < tile.num_tokens * args.attention.group;
    const int token = used ? row / args.attention.group : 0;
    const int head = used ? row % args.attention.group : 0;
    const int kv_head = BlockIndex().y;
    const int64_t at =
        (((tile.first_query + token) * args.attention.kv_heads + kv_head) * args.attention.group + head) *
        kDim;
    to.query = args.attention.queries + at;
    to.out = used ? args.attention.out + at : nullptr;
    to.position = tile.num_sealed * kPageTokens + tile.first_in_block + token;
    to.first_visible = args.first_visible[tile.first_query + token];
    to.threshold = kSas != 0 ? args.thresholds[tile.first_query + token] : 0.0f;
    const bool sinks = args.attention.sinks != nullptr;
    total.max[r][ThreadIndex()] =
        sinks ? args.attention.sinks[kv_head * args.attention.group + head] : kHidden;
    total.sum[r][ThreadIndex()] = sinks ? 1.0f : 0.0f;
  }

  static THRONG_DEVICE float QueryElement(const Args& args, const Row& row, int channel) {
    return Finite(row.query[channel] * args.attention.scale);
  }

  // The threads' own parts of the first sealed page that is seen, from `page` on, as one group of copies.
  template <typename Raw>
  static THRONG_DEVICE void StartCopy(const Args& args, const PrefillTile& tile, int page, int first_page,
                                      Raw& raw) {
    page = SealedFrom(page, first_page, tile.num_sealed);
    if (page < 0) return;
    const uint8_t* block = tile.sealed[page] + BlockIndex().y * args.attention.sealed.head_stride;
    for (int e = 16 * ThreadIndex(); e < Tiles::kRawBytes; e += 16 * kThreads) {
      CopyAsync(raw.keys + e, block + args.attention.sealed.keys + e);
      CopyAsync(raw.values + e, block + args.attention.sealed.values + e);
    }
    CommitCopies();
  }

  static THRONG_DEVICE SoftmaxStep SoftmaxOf(const Shared& shared, PageRow& scores, Row& row) {
    return Softmax(Kernel::Of(shared.softmax, row.threshold), scores, row.state);
  }

  template <typename Raw>
  static THRONG_DEVICE void AttendTiles(int page, const Raw& raw, Shared& shared, Row (&rows)[2]) {
    Words4 queries[kSteps];
    THRONG_UNROLL
    for (int s = 0; s < kSteps; ++s) queries[s] = shared.pages.queries[s][ThreadIndex()];
    PageSums sums[2];
    ScoreTiles<kDim>(queries, shared.pages.tiles, sums);
    uint32_t digits[2][Tiles::kDigits][2][4];
    typename Tiles::Weight weights[2];
    float rescale[2];
    THRONG_UNROLL
    for (int r = 0; r < 2; ++r) {
      PageRow scores;
      Tiles::Scale(raw.keys, sums[r], rows[r].encoded, scores);
      Hide(rows[r].first_visible - page * kPageTokens, kPageTokens, scores);
      const SoftmaxStep step = SoftmaxOf(shared, scores, rows[r]);
      weights[r] = Tiles::Weigh(raw.values, scores, step.top, digits[r]);
      rescale[r] = step.rescale;
    }
    MixTiles<Tiles>(raw.values, digits, weights, rescale, shared.pages.tiles,
                    {&rows[0].state.out, &rows[1].state.out});
  }

  // A page of f16, open or sealed.
  static THRONG_DEVICE void AttendHalves(const Args& args, int page, const uint8_t* keys,
                                         const uint8_t* values, const Shared& shared, Row (&rows)[2]) {
    AttendInPlace(
        page, shared, rows,
        [&](PageRow* scores) {
          HalfPage<kDim>::template ScoreRows<2>(
              keys,
              [&](int s, uint32_t(&high)[4], uint32_t(&low)[4]) {
                if constexpr (kExpands) {
                  HalfPage<kDim>::template SplitQueries<2>(
                      [&](int r, int channel) { return QueryElement(args, rows[r], channel); }, s, high, low);
                } else {
                  Tiles::FindQueries(shared.pages, s, high, low);
                }
              },
              scores);
        },
        [&](const PageRow* scores, const float*, const float* rescale, OutputRow<kDim>* out) {
          HalfPage<kDim>::template MixRows<2>(values, scores, rescale, out);
        });
  }
  // A sealed page of another kind that is used where it lies.
  static THRONG_DEVICE void AttendCodes(int page, const uint8_t* keys, const uint8_t* values, Shared& shared,
                                        Row (&rows)[2]) {
    AttendInPlace(
        page, shared, rows, [&](PageRow* scores) { Tiles::Score(keys, shared.pages, scores); },
        [&](const PageRow* scores, const float* tops, const float* rescale, OutputRow<kDim>* out) {
          Tiles::Mix(values, scores, tops, rescale, shared.pages, out);
        });
  }
  // score(scores) and mix(probabilities, tops, rescale, out) are of both rows.
  template <typename Score, typename Mix>
  static THRONG_DEVICE void AttendInPlace(int page, const Shared& shared, Row (&rows)[2], const Score& score,
                                          const Mix& mix) {
    PageRow scores[2];
    score(scores);
    float tops[2];
    float rescale[2];
    OutputRow<kDim> out[2];
    const int first_in_page = page * kPageTokens;
    THRONG_UNROLL
    for (int r = 0; r < 2; ++r) {
      Hide(rows[r].first_visible - first_in_page, rows[r].position + 1 - first_in_page, scores[r]);
      const SoftmaxStep step = SoftmaxOf(shared, scores[r], rows[r]);
      tops[r] = step.top;
      rescale[r] = step.rescale;
      CopyRow(rows[r].state.out, out[r]);
    }
    mix(scores, tops, rescale, out);
    THRONG_UNROLL
    for (int r = 0; r < 2; ++r) CopyRow(out[r], rows[r].state.out);
  }
  static THRONG_DEVICE void CopyRow(const OutputRow<kDim>& from, OutputRow<kDim>& to) {
    THRONG_UNROLL
    for (int e = 0; e < kDim / 4; ++e) to[e / 8][e / 2 % 4][e % 2] = from[e / 8][e / 2 % 4][e % 2];
  }

  // What a warp of Decode has found becomes a part of its split. e: of a row's outputs in a lane.
  static THRONG_DEVICE void MergeWarp(int r, bool is_first, const Row& row, Shared& shared) {
    const int thread = ThreadIndex();
    const float part_sum = RowSum(row.state.sum);
    const float max = is_first ? kHidden : shared.split.max[r][thread];
    const float sum = is_first ? 0.0f : shared.split.sum[r][thread];
    const MergeStep step = Merge(Kernel::Of(shared.softmax, row.threshold), max, row.state.max);
    shared.split.max[r][thread] = step.max;
    shared.split.sum[r][thread] = step.Of(sum, part_sum);
    THRONG_UNROLL
    for (int e = 0; e < kDim / 4; ++e) {
      float& out = shared.split_out[r * (kDim / 4) + e][thread];
      out = step.Of(is_first ? 0.0f : out, row.state.out[e / 8][e % 4][e / 4 % 2]);
    }
  }
  // And a split a part of all, whose outputs are in `out`.
  static THRONG_DEVICE void MergeSplit(int r, bool is_first, const Row& row, Shared& shared) {
    const int thread = ThreadIndex();
    const float max = shared.total.max[r][thread];
    const MergeStep step = Merge(Kernel::Of(shared.softmax, row.threshold), max, shared.split.max[r][thread]);
    shared.total.max[r][thread] = step.max;
    shared.total.sum[r][thread] = step.Of(shared.total.sum[r][thread], shared.split.sum[r][thread]);
    if (row.out == nullptr) return;
    THRONG_UNROLL
    for (int e = 0; e < kDim / 4; ++e) {
      float& out = row.out[OwnChannel(e / 8) + e % 8];
      out = step.Of(is_first ? 0.0f : out, shared.split_out[r * (kDim / 4) + e][thread]);
    }
  }

  static THRONG_DEVICE void Finish(int r, const Row& row, const Merged& total) {
    if (row.out == nullptr) return;
    const float sum = total.sum[r][ThreadIndex()];
    THRONG_UNROLL
    for (int e = 0; e < kDim / 4; ++e) row.out[OwnChannel(e / 8) + e % 8] /= sum;
  }
};

}  // namespace throng::device
