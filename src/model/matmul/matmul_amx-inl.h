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
    for (const size_t tile : {0, 1}) {  // sums
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

// sums = products of a unit's codes: x [rows, 32 bytes apart], w of two vectors of outputs.
HWY_INLINE void SumUnit(const int8_t* x, const uint8_t* w0, const uint8_t* w1, UnitSums& sums) {
  constexpr size_t kSize = kActivationRows * kLanes * 4;
  asm volatile(
      "tileloadd (%[x],%[x_stride],1), %%tmm2\n\t"
      "tileloadd (%[w0],%[stride],1), %%tmm3\n\t"
      "tilezero %%tmm0\n\t"
      "tdpbssd %%tmm3, %%tmm2, %%tmm0\n\t"
      "tileloadd (%[w1],%[stride],1), %%tmm4\n\t"
      "tilezero %%tmm1\n\t"
      "tdpbssd %%tmm4, %%tmm2, %%tmm1\n\t"
      "tilestored %%tmm0, (%[sums0],%[stride],1)\n\t"
      "tilestored %%tmm1, (%[sums1],%[stride],1)"
      : "=m"(sums)
      : [x] "r"(x), [w0] "r"(w0), [w1] "r"(w1), [sums0] "r"(sums[0]), [sums1] "r"(sums[1]),
        [x_stride] "r"(kGroup), [stride] "r"(kVectorBytes),
        "m"(*reinterpret_cast<const int8_t(*)[kSize / 2]>(x)),
        "m"(*reinterpret_cast<const uint8_t(*)[kSize / 2]>(w0)),
        "m"(*reinterpret_cast<const uint8_t(*)[kSize / 2]>(w1)));
}

// acc[row, kTile] += products of a chunk with `blocks` times 16 rows of activations, or with fewer: the
// first kRows. x: the first row's tiles, x_stride of them to the next rows'.
template <Kind kKind, size_t kRows>
HWY_NOINLINE void MultiplyBlocks(const Packed* HWY_RESTRICT w, size_t groups, const ActivationTile* x,
                                 size_t x_stride, size_t blocks, float* HWY_RESTRICT acc, UnitSums* sums,
                                 Ahead& ahead) {
  const DF df;
  const DI di;
  constexpr size_t kParts = kKind.halves ? 2 : 1;
  const size_t units = groups * kParts;
  const auto make = [&](const ActivationTile* rows, size_t unit, UnitSums& out) HWY_ATTR {
    const size_t code = unit * (8 / kParts) * kVectorBytes;
    SumUnit(rows[unit / kParts].codes[0] + unit % kParts * 16, w[0].codes + code, w[1].codes + code, out);
  };
  UnitSums* next_sums = sums + kBatchUnits;
  for (size_t i = 0; i < HWY_MIN(kBatchUnits, units); ++i) make(x, i, sums[i]);
  for (size_t block = 0; block < blocks; ++block, x += x_stride, acc += kActivationRows * kTile) {
    for (size_t first = 0; first < units; first += kBatchUnits) {
      const size_t count = HWY_MIN(kBatchUnits, units - first);
      // The next batch.
      const bool at_end = first + count == units;
      const ActivationTile* next_x = at_end ? x + x_stride : x;
      const size_t next_first = at_end ? 0 : first + count;
      const size_t next_count = at_end && block + 1 == blocks ? 0 : HWY_MIN(kBatchUnits, units - next_first);
      size_t next = 0;
      for (size_t v = 0; v < 2; ++v) {
        VF y[kRows];
#pragma GCC unroll 16
        for (size_t r = 0; r < kRows; ++r) y[r] = hn::Load(df, acc + r * kTile + v * kLanes);
        for (size_t i = 0; i < count; ++i) {
          const size_t unit = first + i;
          const size_t part = unit % kParts;
          if (v == 0 && part == 0) ahead.Fetch();
          // Spread over the time that this batch takes.
          for (; 2 * next * count < (v * count + i + 1) * next_count; ++next) {
            make(next_x, next_first + next, next_sums[next]);
          }
          const ActivationTile& tile = x[unit / kParts];
          const VF scale = hn::Load(df, w[v].scales + unit * kLanes);
#pragma GCC unroll 16
          for (size_t r = 0; r < kRows; ++r) {
            const VF sum = hn::ConvertTo(df, hn::Load(di, sums[i][v][r]));
            y[r] = hn::MulAdd(sum, hn::Mul(scale, hn::Set(df, tile.scales[r])), y[r]);
          }
          if constexpr (kKind.has_min) {
            const VF min = hn::Load(df, w[v].mins + unit * kLanes);
            const float* x_sums = kKind.halves ? tile.half_sums[part] : tile.sums;
#pragma GCC unroll 16
            for (size_t r = 0; r < kRows; ++r) y[r] = hn::MulAdd(min, hn::Set(df, x_sums[r]), y[r]);
          }
        }
#pragma GCC unroll 16
        for (size_t r = 0; r < kRows; ++r) hn::Store(y[r], df, acc + r * kTile + v * kLanes);
      }
      std::swap(sums, next_sums);
    }
  }
}

// acc[row, kTile] += products of `groups` groups of num_rows rows. acc: filled up to 16 rows. buffer:
// kAmxBufferBytes, aligned to 64. Needs an AmxSession for at least these rows.
template <Kind kKind>
HWY_INLINE void MultiplyTiles(const Packed* packed, size_t groups, const ActivationTile* x, size_t x_stride,
                              size_t num_rows, float* acc, uint8_t* buffer, Ahead& ahead) {
  auto* sums = reinterpret_cast<UnitSums*>(buffer);
  const size_t full = num_rows / kActivationRows;
  if (full > 0) MultiplyBlocks<kKind, kActivationRows>(packed, groups, x, x_stride, full, acc, sums, ahead);
  x += full * x_stride;
  acc += full * kActivationRows * kTile;
  const size_t rest = num_rows % kActivationRows;
  if (rest == 0) return;
  if (rest > 12) {
    MultiplyBlocks<kKind, 16>(packed, groups, x, x_stride, 1, acc, sums, ahead);
  } else if (rest > 8) {
    MultiplyBlocks<kKind, 12>(packed, groups, x, x_stride, 1, acc, sums, ahead);
  } else if (rest > 4) {
    MultiplyBlocks<kKind, 8>(packed, groups, x, x_stride, 1, acc, sums, ahead);
  } else {
    MultiplyBlocks<kKind, 4>(packed, groups, x, x_stride, 1, acc, sums, ahead);
  }
}

#else

constexpr bool kHasAmx = false;
constexpr size_t kAmxBufferBytes = 0;
template <bool kHalves>
class AmxSession;
template <Kind kKind>
void MultiplyTiles(const Packed* packed, size_t groups, const ActivationTile* x, size_t x_stride,
                   size_t num_rows, float* acc, uint8_t* buffer, Ahead& ahead);

#endif

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace throng::model
HWY_AFTER_NAMESPACE();

#endif  // THRONG_MODEL_MATMUL_AMX_INL_H_
