// Products of tiles with Intel's matrix instructions (AMX): the sums of 16 rows and 16 outputs at a time come
// from an instruction, the chains of floats are those of the other kernels. Only with the AVX-512 target.

#if defined(THRONG_MODEL_MATMUL_AMX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef THRONG_MODEL_MATMUL_AMX_INL_H_
#undef THRONG_MODEL_MATMUL_AMX_INL_H_
#else
#define THRONG_MODEL_MATMUL_AMX_INL_H_
#endif

#include <cstring>
#include <utility>

#include "model/matmul/integer_products.h"
#include "model/matmul/matmul_tiles-inl.h"

HWY_BEFORE_NAMESPACE();
namespace throng::model {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_AVX3_DL

constexpr bool kHasAmx = true;

// Sums of one unit, which is a group or, where halves have their own scales, half of one: [vector, row,
// lane].
using UnitSums = int32_t[2][kActivationRows][kLanes];
constexpr size_t kBatchUnits = 4;
// While the chains of floats take the sums of one batch of units, those of the next are made.
constexpr size_t kAmxBufferBytes = 2 * kBatchUnits * sizeof(UnitSums);
// What is packed at a time, at most kChunkGroups: with its sums and the rows' tiles it stays in a first-level
// cache of 48 KiB.
constexpr size_t kAmxChunkGroups = 8;

// Rows of a tile register for `rows` rows of activations: 4, 8, 12 or 16.
constexpr size_t RowsOfTile(size_t rows) { return HWY_MIN(kActivationRows, (rows + 3) / 4 * 4); }

// Shapes the tile registers of this thread, and frees them at the end, so that the system does not save them
// whenever it changes threads.
template <bool kHalves>
class AmxSession {
 public:
  explicit AmxSession(size_t rows) {
    struct Shapes {
      uint8_t palette, start_row, reserved[14];
      uint16_t row_bytes[16];
      uint8_t rows[16];
    };
    static_assert(sizeof(Shapes) == 64);
    constexpr size_t kUnit = kHalves ? 16 : 32;
    Shapes shapes{};
    shapes.palette = 1;
    for (const size_t tile : {0, 1, 5, 6}) {  // sums
      shapes.row_bytes[tile] = kVectorBytes;
      shapes.rows[tile] = static_cast<uint8_t>(RowsOfTile(rows));
    }
    shapes.row_bytes[2] = kUnit;  // activations
    shapes.rows[2] = static_cast<uint8_t>(RowsOfTile(rows));
    for (const size_t tile : {3, 4}) {  // weights
      shapes.row_bytes[tile] = kVectorBytes;
      shapes.rows[tile] = kUnit / 4;
    }
    asm volatile("ldtilecfg %0" : : "m"(shapes));
  }
  ~AmxSession() { asm volatile("tilerelease"); }
  AmxSession(const AmxSession&) = delete;
  AmxSession& operator=(const AmxSession&) = delete;
};

// Begins the products of a unit: of x [rows, 32 bytes apart] with codes of two vectors of outputs. Their sums
// stay in tile registers, of odd units others than of even ones. Those of the unit before go to memory: a
// store right after its products would wait for them, and the next products for the store.
template <bool kOdd>
HWY_INLINE void BeginUnit(const int8_t* x, const uint8_t* w0, const uint8_t* w1, UnitSums& before) {
  constexpr size_t kSize = kActivationRows * kLanes * 2;
#define THRONG_BEGIN_UNIT(sum0, sum1, before0, before1)                                       \
  asm volatile(                                                                               \
      "tileloadd (%[x],%[x_stride],1), %%tmm2\n\t"                                            \
      "tileloadd (%[w0],%[stride],1), %%tmm3\n\t"                                             \
      "tilezero %%" sum0                                                                      \
      "\n\t"                                                                                  \
      "tdpbssd %%tmm3, %%tmm2, %%" sum0                                                       \
      "\n\t"                                                                                  \
      "tileloadd (%[w1],%[stride],1), %%tmm4\n\t"                                             \
      "tilezero %%" sum1                                                                      \
      "\n\t"                                                                                  \
      "tdpbssd %%tmm4, %%tmm2, %%" sum1                                                       \
      "\n\t"                                                                                  \
      "tilestored %%" before0                                                                 \
      ", (%[out0],%[stride],1)\n\t"                                                           \
      "tilestored %%" before1 ", (%[out1],%[stride],1)"                                       \
      : "=m"(before)                                                                          \
      : [x] "r"(x), [w0] "r"(w0), [w1] "r"(w1), [out0] "r"(before[0]), [out1] "r"(before[1]), \
        [x_stride] "r"(kGroup), [stride] "r"(kVectorBytes),                                   \
        "m"(*reinterpret_cast<const int8_t(*)[kSize]>(x)),                                    \
        "m"(*reinterpret_cast<const uint8_t(*)[kSize]>(w0)),                                  \
        "m"(*reinterpret_cast<const uint8_t(*)[kSize]>(w1)))
  if constexpr (kOdd) {
    THRONG_BEGIN_UNIT("tmm5", "tmm6", "tmm0", "tmm1");
  } else {
    THRONG_BEGIN_UNIT("tmm0", "tmm1", "tmm5", "tmm6");
  }
#undef THRONG_BEGIN_UNIT
}

// Stores the sums of the unit that was begun last.
HWY_INLINE void EndUnit(bool odd, UnitSums& sums) {
#define THRONG_END_UNIT(sum0, sum1)                           \
  asm volatile("tilestored %%" sum0                           \
               ", (%[out0],%[stride],1)\n\t"                  \
               "tilestored %%" sum1 ", (%[out1],%[stride],1)" \
               : "=m"(sums)                                   \
               : [out0] "r"(sums[0]), [out1] "r"(sums[1]), [stride] "r"(kVectorBytes))
  if (odd) {
    THRONG_END_UNIT("tmm5", "tmm6");
  } else {
    THRONG_END_UNIT("tmm0", "tmm1");
  }
#undef THRONG_END_UNIT
}

// acc[row, kTile] += products of a chunk of packed codes with the rows of each term, 16 at a time. Needs an
// AmxSession for these rows.
template <Kind kKind>
class TileProducts {
 public:
  // terms: tiles are those from `tile` on, all_groups of them to the next rows'. acc: filled up to 16 rows.
  // buffer: kAmxBufferBytes, aligned to 64.
  TileProducts(const Packed* w, size_t groups, std::span<const Term> terms, size_t tile, size_t all_groups,
               size_t num_rows, float* acc, uint8_t* buffer)
      : w_(w),
        units_(groups * kParts),
        terms_(terms),
        tile_(tile),
        all_groups_(all_groups),
        num_rows_(num_rows),
        acc_(acc),
        sums_(reinterpret_cast<UnitSums*>(buffer)),
        next_sums_(sums_ + kBatchUnits) {}

  // Begins the products of a packed group if they are among the first. Groups in order.
  HWY_INLINE void Begin(size_t group) {
    const Batch batch = FirstBatch(0, 0);
    if (group >= kBatchUnits / kParts) return;
    if constexpr (kParts == 2) {
      if (group == 0) {
        BeginOf<0>(batch, sums_[0]);  // any place: there is no unit before
        BeginOf<1>(batch, sums_[0]);
      } else {
        BeginOf<2>(batch, sums_[1]);
        BeginOf<3>(batch, sums_[2]);
      }
    } else {
      if (group == 0) BeginOf<0>(batch, sums_[0]);
      if (group == 1) BeginOf<1>(batch, sums_[0]);
      if (group == 2) BeginOf<2>(batch, sums_[1]);
      if (group == 3) BeginOf<3>(batch, sums_[2]);
    }
  }

  // The rest, once all groups are packed and Begin was called for each.
  HWY_INLINE void Run(Ahead& ahead) {
    const size_t blocks = (num_rows_ + kActivationRows - 1) / kActivationRows;
    for (size_t t = 0; t < terms_.size(); ++t) {
      for (size_t b = 0; b < blocks; ++b) {
        const bool last_block = b + 1 == blocks;
        const Batch next = !last_block             ? FirstBatch(t, b + 1)
                           : t + 1 < terms_.size() ? FirstBatch(t + 1, 0)
                                                   : Batch{};
        const size_t rows = last_block ? num_rows_ - b * kActivationRows : kActivationRows;
        float* acc = acc_ + b * kActivationRows * kTile;
        if (rows > 12) {
          AddBlock<16>(FirstBatch(t, b), next, acc, ahead);
        } else if (rows > 8) {
          AddBlock<12>(FirstBatch(t, b), next, acc, ahead);
        } else if (rows > 4) {
          AddBlock<8>(FirstBatch(t, b), next, acc, ahead);
        } else {
          AddBlock<4>(FirstBatch(t, b), next, acc, ahead);
        }
      }
    }
  }

 private:
  static constexpr size_t kParts = kKind.halves ? 2 : 1;
  static_assert(kBatchUnits == 4);

  // Units that follow each other, whole groups of which at most the last batch has fewer than kBatchUnits.
  struct Batch {
    const ActivationTile* x;  // of the first
    size_t first, count;
  };

  HWY_INLINE Batch FirstBatch(size_t term, size_t block) const {
    return {terms_[term].tiles + tile_ + block * all_groups_, 0, HWY_MIN(kBatchUnits, units_)};
  }

  // Begins unit k of a batch, whose sums will be sums[k]. before: where those of the unit before it go.
  template <size_t k>
  HWY_INLINE void BeginOf(const Batch& batch, UnitSums& before) const {
    constexpr size_t kUnitBytes = 8 / kParts * kVectorBytes;
    const size_t code = batch.first * kUnitBytes;
    BeginUnit<k % 2 == 1>(batch.x[k / kParts].codes[0] + k % kParts * 16, w_[0].codes + code + k * kUnitBytes,
                          w_[1].codes + code + k * kUnitBytes, before);
  }

  // One block of rows, whose first batch is begun; begins that of the next block.
  template <size_t kRows>
  HWY_NOINLINE void AddBlock(Batch batch, const Batch& next_block, float* HWY_RESTRICT acc, Ahead& ahead) {
    for (;;) {
      const size_t end = batch.first + batch.count;
      const Batch next = end < units_
                             ? Batch{batch.x + batch.count / kParts, end, HWY_MIN(kBatchUnits, units_ - end)}
                             : next_block;
      AddBatch<kRows>(batch, next, acc, ahead);
      std::swap(sums_, next_sums_);
      if (end == units_) return;
      batch = next;
    }
  }

  // Begins the units of `next` over the time that the chains of `batch` take.
  template <size_t kRows>
  HWY_INLINE void AddBatch(const Batch& batch, const Batch& next, float* HWY_RESTRICT acc, Ahead& ahead) {
    const DF df;
    const DI di;
    UnitSums* const sums = sums_;
    UnitSums* const next_sums = next_sums_;
    UnitSums* before = sums + batch.count - 1;
    if (next.count == 0 || batch.count % 2 == 1) {
      EndUnit(batch.count % 2 == 0, *before);
      before = next_sums;  // any place
    }
    const float* const scales[2] = {w_[0].scales + batch.first * kLanes, w_[1].scales + batch.first * kLanes};
    const float* const mins[2] = {w_[0].mins + batch.first * kLanes, w_[1].mins + batch.first * kLanes};
#pragma GCC unroll 2
    for (size_t v = 0; v < 2; ++v) {
      VF y[kRows];
#pragma GCC unroll 16
      for (size_t r = 0; r < kRows; ++r) y[r] = hn::Load(df, acc + r * kTile + v * kLanes);
#pragma GCC unroll 4
      for (size_t i = 0; i < kBatchUnits; ++i) {
        if (v == 0 && i == 0 && next.count > 0) BeginOf<0>(next, *before);
        if (v == 0 && i == 2 && next.count > 1) BeginOf<1>(next, next_sums[0]);
        if (v == 1 && i == 0 && next.count > 2) BeginOf<2>(next, next_sums[1]);
        if (v == 1 && i == 2 && next.count > 3) BeginOf<3>(next, next_sums[2]);
        if (i >= batch.count) continue;
        const size_t part = i % kParts;
        if (v == 0 && part == 0) ahead.Fetch();
        const ActivationTile& tile = batch.x[i / kParts];
        const VF scale = hn::Load(df, scales[v] + i * kLanes);
#pragma GCC unroll 16
        for (size_t r = 0; r < kRows; ++r) {
          const VF sum = hn::ConvertTo(df, hn::Load(di, sums[i][v][r]));
          y[r] = hn::MulAdd(sum, hn::Mul(scale, hn::Set(df, tile.scales[r])), y[r]);
        }
        if constexpr (kKind.has_min) {
          const VF min = hn::Load(df, mins[v] + i * kLanes);
          const float* x_sums = kKind.halves ? tile.half_sums[part] : tile.sums;
#pragma GCC unroll 16
          for (size_t r = 0; r < kRows; ++r) y[r] = hn::MulAdd(min, hn::Set(df, x_sums[r]), y[r]);
        }
      }
#pragma GCC unroll 16
      for (size_t r = 0; r < kRows; ++r) hn::Store(y[r], df, acc + r * kTile + v * kLanes);
    }
  }

  const Packed* const w_;
  const size_t units_;
  const std::span<const Term> terms_;
  const size_t tile_;
  const size_t all_groups_;
  const size_t num_rows_;
  float* const acc_;
  UnitSums* sums_;       // [kBatchUnits], of the batch that is added
  UnitSums* next_sums_;  // of the one that is begun
};

// Packs the second vector of a chunk, whose first is packed, and begins the products of all groups but the
// last kLag: a tile's load of what was just packed would wait until the stores are in the cache.
template <TensorType kType>
struct BeginningPacker : Packer<kType, true> {
  static constexpr size_t kLag = 4;

  HWY_INLINE void Add(size_t g, const Codes& codes, const Scales& scales) const {
    Packer<kType, true>::Add(g, codes, scales);
    if (g >= kLag) products.Begin(g - kLag);
  }

  TileProducts<KindOf<kType>()>& products;
};

#else

constexpr bool kHasAmx = false;
constexpr size_t kAmxBufferBytes = 0;
constexpr size_t kAmxChunkGroups = kChunkGroups;
template <bool kHalves>
class AmxSession;
template <Kind kKind>
class TileProducts;
template <TensorType kType>
struct BeginningPacker;

#endif

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace throng::model
HWY_AFTER_NAMESPACE();

#endif  // THRONG_MODEL_MATMUL_AMX_INL_H_
