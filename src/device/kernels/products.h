// Products of rows with weights in their file format: y[r, o] = sum over k of x[r, k] * w[o, k].
//
// Weights of integers are multiplied with activations rounded to 8 bits, by tensor cores, a group of 32 at a
// time. A group's sum is an integer; groups are added in f32, in the order of model/matmul/matmul.h, so that
// results have the processor's bits where that has fused additions. That holds for MultiplyFew and
// MultiplyMany alike: a row's results do not depend on how many rows there are. Weights of floats are
// multiplied in f32, in an order of their own.
#pragma once

#include "device/intrinsics.h"
#include "device/kernels/weight_blocks.h"

namespace throng::device {

// Activations rounded to 8 bits, in groups of 32, as QuantizedRows of model/matmul/matmul.h.
struct RoundedRows {
  int8_t* codes;  // [rows, groups * 32]
  float* scales;  // [rows, groups]
  float* sums;    // [rows, groups]: scale * sum of codes
};

struct RoundArgs {
  const float* x;  // [groups, 32]: of all rows; finite
  int64_t groups;
  RoundedRows out;
  RoundedRows left;  // what rounding to `out` left, rounded; codes null: not wanted
};

// Grid: [groups / kWarps, rounded up].
struct RoundRows {
  using Args = RoundArgs;
  static constexpr int kThreads = 256;
  static constexpr int kWarps = kThreads / kWarpThreads;
  static constexpr int kBlocks = 8;
  static constexpr size_t kSharedBytes = 0;

  static THRONG_DEVICE void Run(const Args& args) {
    const int64_t group = int64_t{BlockIndex().x} * kWarps + Warp();
    if (group >= args.groups) return;
    float x = args.x[group * kGroupWeights + Lane()];
    RoundGroup(x, group, args.out);
    if (args.left.codes != nullptr) RoundGroup(x, group, args.left);
  }

 private:
  // x: the lane's; what is left of it at the end.
  static THRONG_DEVICE void RoundGroup(float& x, int64_t group, const RoundedRows& out) {
    float largest = Abs(x);
    THRONG_UNROLL
    for (int mask = 1; mask < kWarpThreads; mask *= 2) largest = Max(largest, ShuffleXor(largest, mask));
    const float scale = largest / 127.0f;
    const float inverse = scale > 0.0f ? 127.0f / largest : 0.0f;
    const float rounded = Max(Min(Round(x * inverse), 127.0f), -127.0f);
    int32_t sum = static_cast<int32_t>(rounded);
    out.codes[group * kGroupWeights + Lane()] = static_cast<int8_t>(sum);
    THRONG_UNROLL
    for (int mask = 1; mask < kWarpThreads; mask *= 2) sum += ShuffleXor(sum, mask);
    if (Lane() == 0) {
      out.scales[group] = scale;
      out.sums[group] = scale * static_cast<float>(sum);
    }
    x = Fma(-rounded, scale, x);
  }
};

struct ProductArgs {
  const uint8_t* weights;  // [outputs], rows of whole blocks; aligned to 16
  int64_t row_bytes;
  int outputs;
  int cols;          // a multiple of 32, of weights of floats of 8
  RoundedRows x[2];  // of weights of integers
  int terms;         // 2: x[0] + x[1] is multiplied, where results need to be finer than 8 bits
  int rows;
  const float* x_rows;  // [rows, cols]: of weights of floats
  float* y;             // [rows], y_stride floats from row to row
  int64_t y_stride;
};

inline constexpr int kProductChunk = 16;  // groups of x[0] that come before those of x[1]

// How both kernels take a group of 16 outputs and 8 rows.
template <typename Blocks>
struct GroupProduct {
  static constexpr int kParts = Blocks::kHalves ? 2 : 1;

  // The warp's 16 rows of weights, of a lane: g and g + 8. Those beyond the last one repeat it.
  static THRONG_DEVICE void FindRows(const ProductArgs& args, int first_output, const uint8_t* (&rows)[2]) {
    THRONG_UNROLL
    for (int h = 0; h < 2; ++h) {
      const int output = first_output + Lane() / 4 + 8 * h;
      rows[h] = args.weights + (output < args.outputs ? output : args.outputs - 1) * args.row_bytes;
    }
  }
  static THRONG_DEVICE void LoadWeights(const uint8_t* const (&rows)[2], int group, uint32_t (&a)[4]) {
    uint32_t codes[2];
    THRONG_UNROLL
    for (int h = 0; h < 2; ++h) {
      Blocks::Load(rows[h], group, Lane() % 4, codes);
      a[h] = codes[0];
      a[h + 2] = codes[1];
    }
  }
  // Of the 8 rows from first_row on; those beyond the last one repeat it.
  static THRONG_DEVICE void LoadActivations(const ProductArgs& args, int term, int first_row, int group,
                                            uint32_t (&b)[2]) {
    const int row = first_row + Lane() / 4 < args.rows ? first_row + Lane() / 4 : args.rows - 1;
    const int8_t* codes = args.x[term].codes + int64_t{row} * args.cols + group * kGroupWeights;
    b[0] = Load4(codes + 4 * (Lane() % 4));
    b[1] = Load4(codes + 16 + 4 * (Lane() % 4));
  }
  // sums[part]: of the halves of a group, or of all of it.
  static THRONG_DEVICE void Sum(const uint32_t (&a)[4], const uint32_t (&b)[2], int32_t (&sums)[kParts][4]) {
    THRONG_UNROLL
    for (int part = 0; part < kParts; ++part) {
      THRONG_UNROLL
      for (int j = 0; j < 4; ++j) sums[part][j] = 0;
      const uint32_t half[2] = {part == 0 ? b[0] : 0, Blocks::kHalves && part == 0 ? 0 : b[1]};
      MmaS8S8(sums[part], a, half);
    }
  }
};

// Up to 8 rows, or 16 with two tiles, for each y of the grid: one pass over the weights. A block has 16
// outputs; its warps take turns with the groups, and then a thread adds the groups of an output and a row.
// Grid: [outputs / 16, rows / kRows], rounded up.
template <typename Blocks, int kTiles>
struct MultiplyFew {
  using Args = ProductArgs;
  using Group = GroupProduct<Blocks>;
  static constexpr int kThreads = 256;
  static constexpr int kWarps = kThreads / kWarpThreads;
  static constexpr int kBlocks = Blocks::kHalves || kTiles > 1 ? 2 : 3;
  static constexpr int kOutputs = 16;
  static constexpr int kRows = 8 * kTiles;
  static constexpr int kParts = Group::kParts;

  struct Shared {
    int32_t sums[2][kProductChunk][kParts][kOutputs * kRows];  // of both terms
    float scales[kProductChunk][kParts][kOutputs];
    float mins[kProductChunk][kOutputs];
  };
  static constexpr size_t kSharedBytes = sizeof(Shared);

  static THRONG_DEVICE void Run(const Args& args) {
    Shared& shared = *static_cast<Shared*>(SharedMemory());
    const int first_output = BlockIndex().x * kOutputs;
    const int first_row = BlockIndex().y * kRows;
    const int groups = args.cols / kGroupWeights;
    const uint8_t* weights[2];
    Group::FindRows(args, first_output, weights);
    float y = 0.0f;
    for (int first = 0; first < groups; first += kProductChunk) {
      const int count = groups - first < kProductChunk ? groups - first : kProductChunk;
      if (first > 0) Barrier();  // the sums before have been added
      for (int g = Warp(); g < count; g += kWarps) SumGroup(args, weights, first_row, first + g, g, shared);
      Barrier();
      if (ThreadIndex() < kOutputs * kRows) y = Add(args, first_row, first, count, shared, y);
    }
    const int output = first_output + OutputOf(ThreadIndex());
    const int row = first_row + RowOf(ThreadIndex());
    if (ThreadIndex() >= kOutputs * kRows || output >= args.outputs || row >= args.rows) return;
    args.y[row * args.y_stride + output] = y;
  }

 private:
  // Where sums lie, and which thread adds them: tile by tile, and 8 rows of an output after each other.
  static THRONG_DEVICE int OutputOf(int place) { return place / 8 % kOutputs; }
  static THRONG_DEVICE int RowOf(int place) { return place / (8 * kOutputs) * 8 + place % 8; }

  static THRONG_DEVICE void SumGroup(const Args& args, const uint8_t* const (&weights)[2], int first_row,
                                     int group, int g, Shared& shared) {
    uint32_t a[4];
    Group::LoadWeights(weights, group, a);
    for (int term = 0; term < args.terms; ++term) {
      THRONG_UNROLL
      for (int tile = 0; tile < kTiles; ++tile) {
        uint32_t b[2];
        Group::LoadActivations(args, term, first_row + 8 * tile, group, b);
        int32_t sums[kParts][4];
        Group::Sum(a, b, sums);
        THRONG_UNROLL
        for (int part = 0; part < kParts; ++part) {
          THRONG_UNROLL
          for (int j = 0; j < 4; ++j) {
            const int output = Lane() / 4 + j / 2 * 8;
            shared.sums[term][g][part][(tile * kOutputs + output) * 8 + Lane() % 4 * 2 + j % 2] =
                sums[part][j];
          }
        }
      }
    }
    if (Lane() % 4 != 0) return;
    THRONG_UNROLL
    for (int h = 0; h < 2; ++h) {
      const int output = Lane() / 4 + 8 * h;
      THRONG_UNROLL
      for (int part = 0; part < kParts; ++part)
        shared.scales[g][part][output] = Blocks::Scale(weights[h], group, part);
      if constexpr (Blocks::kHasMin) shared.mins[g][output] = Blocks::Min(weights[h], group);
    }
  }

  static THRONG_DEVICE float Add(const Args& args, int first_row, int first, int count, const Shared& shared,
                                 float y) {
    const int output = OutputOf(ThreadIndex());
    const int row = first_row + RowOf(ThreadIndex());
    const int64_t x_group = int64_t{row < args.rows ? row : args.rows - 1} * (args.cols / kGroupWeights);
    for (int term = 0; term < args.terms; ++term) {
      for (int g = 0; g < count; ++g) {
        const float x_scale = args.x[term].scales[x_group + first + g];
        THRONG_UNROLL
        for (int part = 0; part < kParts; ++part) {
          y = Fma(static_cast<float>(shared.sums[term][g][part][ThreadIndex()]),
                  shared.scales[g][part][output] * x_scale, y);
        }
        if constexpr (Blocks::kHasMin)
          y = Fma(shared.mins[g][output], args.x[term].sums[x_group + first + g], y);
      }
    }
    return y;
  }
};

// Many rows: a warp has 16 outputs of 32 rows in registers, and weights are read once for these rows.
// Grid: [outputs / 64, rows / 32], rounded up.
template <typename Blocks>
struct MultiplyMany {
  using Args = ProductArgs;
  using Group = GroupProduct<Blocks>;
  static constexpr int kThreads = 128;
  static constexpr int kBlocks = 4;
  static constexpr size_t kSharedBytes = 0;
  static constexpr int kOutputs = 16 * kThreads / kWarpThreads;
  static constexpr int kTiles = 4;
  static constexpr int kRows = 8 * kTiles;
  static constexpr int kParts = Group::kParts;

  static THRONG_DEVICE void Run(const Args& args) {
    const int first_output = BlockIndex().x * kOutputs + 16 * Warp();
    const int first_row = BlockIndex().y * kRows;
    const int groups = args.cols / kGroupWeights;
    const uint8_t* weights[2];
    Group::FindRows(args, first_output, weights);
    float y[kTiles][4] = {};  // as the d of a product: outputs g and g + 8, rows 2 i and 2 i + 1
    for (int first = 0; first < groups; first += kProductChunk) {
      const int end = groups - first < kProductChunk ? groups : first + kProductChunk;
      for (int term = 0; term < args.terms; ++term) {
        THRONG_NO_UNROLL
        for (int group = first; group < end; ++group) AddGroup(args, weights, term, first_row, group, y);
      }
    }
    THRONG_UNROLL
    for (int tile = 0; tile < kTiles; ++tile) {
      THRONG_UNROLL
      for (int j = 0; j < 4; ++j) {
        const int output = first_output + Lane() / 4 + j / 2 * 8;
        const int row = first_row + 8 * tile + Lane() % 4 * 2 + j % 2;
        if (output < args.outputs && row < args.rows) args.y[row * args.y_stride + output] = y[tile][j];
      }
    }
  }

 private:
  static THRONG_DEVICE void AddGroup(const Args& args, const uint8_t* const (&weights)[2], int term,
                                     int first_row, int group, float (&y)[kTiles][4]) {
    uint32_t a[4];
    Group::LoadWeights(weights, group, a);
    float scales[2][kParts];
    float mins[2];
    THRONG_UNROLL
    for (int h = 0; h < 2; ++h) {
      THRONG_UNROLL
      for (int part = 0; part < kParts; ++part) scales[h][part] = Blocks::Scale(weights[h], group, part);
      if constexpr (Blocks::kHasMin) mins[h] = Blocks::Min(weights[h], group);
    }
    const int64_t groups = args.cols / kGroupWeights;
    THRONG_UNROLL
    for (int tile = 0; tile < kTiles; ++tile) {
      uint32_t b[2];
      Group::LoadActivations(args, term, first_row + 8 * tile, group, b);
      int32_t sums[kParts][4];
      Group::Sum(a, b, sums);
      THRONG_UNROLL
      for (int j = 0; j < 4; ++j) {
        const int row = first_row + 8 * tile + Lane() % 4 * 2 + j % 2;
        const int64_t at = (row < args.rows ? row : args.rows - 1) * groups + group;
        const float x_scale = args.x[term].scales[at];
        THRONG_UNROLL
        for (int part = 0; part < kParts; ++part)
          y[tile][j] = Fma(static_cast<float>(sums[part][j]), scales[j / 2][part] * x_scale, y[tile][j]);
        if constexpr (Blocks::kHasMin) y[tile][j] = Fma(mins[j / 2], args.x[term].sums[at], y[tile][j]);
      }
    }
  }
};

// Weights of floats. A warp has 4 outputs of up to 16 rows, so that what it loads of either is multiplied
// often; a lane takes 8 inputs of 256 at a time.
// Grid: [outputs / 16, rows / 16], rounded up.
template <typename Weights>
struct MultiplyFloats {
  using Args = ProductArgs;
  static constexpr int kThreads = 128;
  static constexpr int kBlocks = 2;
  static constexpr size_t kSharedBytes = 0;
  static constexpr int kWarpOutputs = 4;
  static constexpr int kOutputs = kWarpOutputs * kThreads / kWarpThreads;
  static constexpr int kRows = 16;

  static THRONG_DEVICE void Run(const Args& args) {
    const int first_output = BlockIndex().x * kOutputs + Warp() * kWarpOutputs;
    const int first_row = BlockIndex().y * kRows;
    float sums[kRows][kWarpOutputs] = {};
    THRONG_NO_UNROLL
    for (int k = 8 * Lane(); k < args.cols; k += 8 * kWarpThreads) {
      float w[kWarpOutputs][8];
      THRONG_UNROLL
      for (int o = 0; o < kWarpOutputs; ++o) {
        const int output = first_output + o < args.outputs ? first_output + o : args.outputs - 1;
        Weights::Load8(args.weights + output * args.row_bytes, k, w[o]);
      }
      THRONG_UNROLL
      for (int r = 0; r < kRows; ++r) {
        if (first_row + r >= args.rows) break;
        const float* from = args.x_rows + int64_t{first_row + r} * args.cols + k;
        const Words4 words[2] = {Load16(from), Load16(from + 4)};
        float x[8];
        THRONG_UNROLL
        for (int e = 0; e < 8; ++e) x[e] = Weights::Activation(BitsToFloat(words[e / 4].w[e % 4]));
        THRONG_UNROLL
        for (int o = 0; o < kWarpOutputs; ++o) {
          THRONG_UNROLL
          for (int e = 0; e < 8; ++e) sums[r][o] = Fma(w[o][e], x[e], sums[r][o]);
        }
      }
    }
    THRONG_UNROLL
    for (int r = 0; r < kRows; ++r) {
      if (first_row + r >= args.rows) break;
      THRONG_UNROLL
      for (int o = 0; o < kWarpOutputs; ++o) {
        float sum = sums[r][o];
        THRONG_UNROLL
        for (int mask = 1; mask < kWarpThreads; mask *= 2) sum += ShuffleXor(sum, mask);
        if (Lane() == 0 && first_output + o < args.outputs)
          args.y[(first_row + r) * args.y_stride + first_output + o] = sum;
      }
    }
  }
};

struct EmbedArgs {
  const uint8_t* table;  // [vocabulary], rows of whole blocks
  int64_t row_bytes;
  const int32_t* tokens;  // [rows]
  float* out;             // [rows, width]
  int64_t width;
};

// Rows of a table, as model/matmul/block_formats.cc widens them. Grid: [width / kThreads, rounded up; rows].
template <typename Weights>
struct EmbedRows {
  using Args = EmbedArgs;
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = 8;
  static constexpr size_t kSharedBytes = 0;

  static THRONG_DEVICE void Run(const Args& args) {
    const int i = BlockIndex().x * kThreads + ThreadIndex();
    if (i >= args.width) return;
    const int row = BlockIndex().y;
    args.out[int64_t{row} * args.width + i] =
        Weights::Weight(args.table + args.tokens[row] * args.row_bytes, i);
  }
};

}  // namespace throng::device
