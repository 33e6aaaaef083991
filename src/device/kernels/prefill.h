// Attention of a chunk of tokens to the pages before them and to their own block, causal.
//
// A block of threads takes a tile: up to 64 rows, of tokens of one block of the cache and all query heads
// that share a KV head. Pages come to shared memory one ahead of the one that is used, are expanded to bytes
// once for all warps, and each warp multiplies its 16 rows with them in integers. The tile's own block is
// open, in f16. So a row's result depends on its tile's pages alone, in their order.
#pragma once

#include "device/intrinsics.h"
#include "device/kernels/half_page.h"
#include "device/kernels/page_row.h"
#include "device/kernels/page_tiles.h"
#include "device/kernels/quantize.h"
#include "device/kernels/softmax_row.h"

namespace throng::device {

inline constexpr int kTileRows = 64;

// Row r of a tile is query head r % group of its token r / group.
struct PrefillTile {
  const uint8_t* const* sealed;  // the sequence's blocks before the tile's own
  const uint8_t* open;           // the tile's own block
  int num_sealed;
  int first_in_block;  // the tile's first token
  int num_tokens;      // at most kTileRows / group, up to the block's end
  int first_query;     // where the first token is in queries, out and thresholds
};

// One layer. Places in blocks are in bytes, those of KV head 0; heads are head_stride apart.
struct PrefillArgs {
  const PrefillTile* tiles;  // one for each x of the grid
  const float* queries;      // [tokens, kv_heads, group, d] after rotation
  float* out;                // the same
  const float* thresholds;   // [tokens], of SAS; null for the exact softmax
  float scale;               // of scores
  int group;                 // at most kTileRows
  int kv_heads;
  int window;                                        // tokens that a token sees, its own included; 0: all
  int64_t keys, values, head_stride;                 // of sealed blocks
  int64_t open_keys, open_values, open_head_stride;  // of open blocks
};

// Grid: [tiles, kv_heads]. kSas: 1 for the SAS softmax, 0 for the exact one.
template <typename Tiles, int kSas>
struct Prefill {
  using Args = PrefillArgs;
  static constexpr int kDim = Tiles::kHeadDim;
  static constexpr int kSteps = kDim / 32;
  static constexpr int kWarps = kTileRows / 16;
  static constexpr int kThreads = kWarps * kWarpThreads;
  static constexpr int kBlocks = 2;

  struct RawPage {
    alignas(16) uint8_t keys[Tiles::kRawBytes];
    alignas(16) uint8_t values[Tiles::kRawBytes];
  };
  struct Shared {
    RawPage raw[2];
    typename Tiles::Tiles tiles;
    uint16_t powers[SasSoftmax::kPowers];
  };
  static constexpr size_t kSharedBytes = sizeof(Shared);

  // One of the two rows that a lane's row of four has: g and g + 8 of the warp's 16.
  struct Row {
    const float* query;
    float* out;  // null beyond the tile's rows
    int position;
    int first_visible;
    float query_scale;
    float threshold;
    OutputState<kDim> state;
  };

  static THRONG_DEVICE void Run(const Args& args) {
    const PrefillTile& tile = args.tiles[BlockIndex().x];
    Shared& shared = *static_cast<Shared*>(SharedMemory());
    if constexpr (kSas != 0) {
      if (ThreadIndex() < SasSoftmax::kPowers)
        shared.powers[ThreadIndex()] = SasSoftmax::Power(ThreadIndex());
      Barrier();
    }
    Row rows[2];
    uint32_t queries[kSteps][4];
    THRONG_UNROLL
    for (int r = 0; r < 2; ++r) {
      BeginRow(args, tile, Warp() * 16 + Lane() / 4 + 8 * r, rows[r]);
      rows[r].query_scale = EncodeQueryRow<typename Tiles::Page>(
          [&](int channel) { return QueryElement(args, rows[r], channel); }, r, queries);
    }
    const int first_position = tile.num_sealed * kPageTokens + tile.first_in_block;
    const int first_page = FirstVisible(args, first_position) / kPageTokens;
    if (first_page < tile.num_sealed) StartCopy(args, tile, first_page, shared.raw[0]);
    for (int page = first_page; page < tile.num_sealed; ++page) {
      const RawPage& raw = shared.raw[(page - first_page) % 2];
      WaitCopies<0>();
      Barrier();  // the page is there, and nobody uses the tiles and the other page any more
      if (page + 1 < tile.num_sealed) {
        StartCopy(args, tile, page + 1, shared.raw[(page + 1 - first_page) % 2]);
      }
      Tiles::ExpandKeys(raw.keys, shared.tiles);
      Tiles::ExpandValues(raw.values, shared.tiles);
      Barrier();
      AttendPage(page, raw, queries, shared, rows);
    }
    AttendOpen(args, tile, shared, rows);
    THRONG_UNROLL
    for (int r = 0; r < 2; ++r) Finish(rows[r]);
  }

 private:
  static THRONG_DEVICE int FirstVisible(const Args& args, int position) {
    const int first = position + 1 - args.window;
    return args.window > 0 && first > 0 ? first : 0;
  }

  static THRONG_DEVICE void BeginRow(const Args& args, const PrefillTile& tile, int row, Row& to) {
    const bool used = row < tile.num_tokens * args.group;
    const int token = used ? row / args.group : 0;
    const int head = used ? row % args.group : 0;
    const int64_t at =
        ((static_cast<int64_t>(tile.first_query + token) * args.kv_heads + BlockIndex().y) * args.group +
         head) *
        kDim;
    to.query = args.queries + at;
    to.out = used ? args.out + at : nullptr;
    to.position = tile.num_sealed * kPageTokens + tile.first_in_block + token;
    to.first_visible = FirstVisible(args, to.position);
    to.threshold = kSas != 0 ? args.thresholds[tile.first_query + token] : 0.0f;
  }

  static THRONG_DEVICE float QueryElement(const Args& args, const Row& row, int channel) {
    return Finite(row.query[channel] * args.scale);
  }

  // The threads' own parts of a page, as one group of copies.
  static THRONG_DEVICE void StartCopy(const Args& args, const PrefillTile& tile, int page, RawPage& raw) {
    const uint8_t* block = tile.sealed[page] + BlockIndex().y * args.head_stride;
    for (int e = 16 * ThreadIndex(); e < Tiles::kRawBytes; e += 16 * kThreads) {
      CopyAsync(raw.keys + e, block + args.keys + e);
      CopyAsync(raw.values + e, block + args.values + e);
    }
    CommitCopies();
  }

  static THRONG_DEVICE SoftmaxStep SoftmaxOf(const Shared& shared, PageRow& scores, Row& row) {
    if constexpr (kSas != 0) {
      return Softmax(SasSoftmax{shared.powers, row.threshold}, scores, row.state);
    } else {
      return Softmax(ExactSoftmax(), scores, row.state);
    }
  }

  static THRONG_DEVICE void AttendPage(int page, const RawPage& raw, const uint32_t (&queries)[kSteps][4],
                                       Shared& shared, Row (&rows)[2]) {
    PageSums sums[2];
    ScoreTiles<kDim>(queries, shared.tiles, sums);
    uint32_t digits[2][Tiles::kDigits][2][4];
    typename Tiles::Weight weights[2];
    float rescale[2];
    THRONG_UNROLL
    for (int r = 0; r < 2; ++r) {
      PageRow scores;
      Tiles::Scale(raw.keys, sums[r], rows[r].query_scale, scores);
      Hide(rows[r].first_visible - page * kPageTokens, kPageTokens, scores);
      const SoftmaxStep step = SoftmaxOf(shared, scores, rows[r]);
      weights[r] = Tiles::Weigh(raw.values, scores, step.top, digits[r]);
      rescale[r] = step.rescale;
    }
    Mix(raw, digits, weights, rescale, shared.tiles, rows);
  }

  static THRONG_DEVICE void Mix(const RawPage& raw, const uint32_t (&digits)[2][Tiles::kDigits][2][4],
                                const typename Tiles::Weight (&weights)[2], const float (&rescale)[2],
                                typename Tiles::Tiles& tiles, Row (&rows)[2]) {
    THRONG_UNROLL
    for (int k = 0; k < kSteps; ++k) {
      const typename Tiles::Channels channels = Tiles::LoadChannels(raw.values, k);
      THRONG_UNROLL
      for (int v = 0; v < 4; ++v) {
        int32_t sums[Tiles::kDigits][4] = {};
        THRONG_UNROLL
        for (int h = 0; h < 2; ++h) {
          const Words2 values = tiles.Values(ColumnChannel(k) + v, OwnToken(h) / 8);
          THRONG_UNROLL
          for (int digit = 0; digit < Tiles::kDigits; ++digit) {
            const uint32_t operand[4] = {digits[0][digit][h][0], digits[1][digit][h][0],
                                         digits[0][digit][h][2], digits[1][digit][h][2]};
            Tiles::Multiply(sums[digit], operand, values.w);
          }
        }
        THRONG_UNROLL
        for (int e = 0; e < 4; ++e) {
          int32_t of_channel[Tiles::kDigits];
          THRONG_UNROLL
          for (int digit = 0; digit < Tiles::kDigits; ++digit) of_channel[digit] = sums[digit][e];
          float& to = rows[e / 2].state.out[k][v][e % 2];
          to = Tiles::Mixed(of_channel, channels, v, e % 2, weights[e / 2], to * rescale[e / 2]);
        }
      }
    }
  }

  static THRONG_DEVICE void AttendOpen(const Args& args, const PrefillTile& tile, const Shared& shared,
                                       Row (&rows)[2]) {
    const uint8_t* block = tile.open + BlockIndex().y * args.open_head_stride;
    PageRow scores[2];
    HalfPage<kDim>::template ScoreRows<2>(
        block + args.open_keys, [&](int r, int channel) { return QueryElement(args, rows[r], channel); },
        scores);
    float rescale[2];
    OutputRow<kDim> out[2];
    THRONG_UNROLL
    for (int r = 0; r < 2; ++r) {
      const int first_in_page = tile.num_sealed * kPageTokens;
      Hide(rows[r].first_visible - first_in_page, rows[r].position + 1 - first_in_page, scores[r]);
      rescale[r] = SoftmaxOf(shared, scores[r], rows[r]).rescale;
      CopyRow(rows[r].state.out, out[r]);
    }
    HalfPage<kDim>::template MixRows<2>(block + args.open_values, scores, rescale, out);
    THRONG_UNROLL
    for (int r = 0; r < 2; ++r) CopyRow(out[r], rows[r].state.out);
  }
  static THRONG_DEVICE void CopyRow(const OutputRow<kDim>& from, OutputRow<kDim>& to) {
    THRONG_UNROLL
    for (int e = 0; e < kDim / 4; ++e) to[e / 8][e / 2 % 4][e % 2] = from[e / 8][e / 2 % 4][e % 2];
  }

  static THRONG_DEVICE void Finish(const Row& row) {
    const float sum = RowSum(row.state.sum);
    if (row.out == nullptr) return;
    THRONG_UNROLL
    for (int k = 0; k < kSteps; ++k) {
      THRONG_UNROLL
      for (int c = 0; c < 8; ++c) row.out[OwnChannel(k) + c] = row.state.out[k][c % 4][c / 4] / sum;
    }
  }
};

}  // namespace throng::device
