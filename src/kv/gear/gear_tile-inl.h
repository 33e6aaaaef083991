// A page in the form that Score and Mix of gear.h read, made once for all rows of a call.
#if defined(THRONG_KV_GEAR_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef THRONG_KV_GEAR_TILE_INL_H_
#undef THRONG_KV_GEAR_TILE_INL_H_
#else
#define THRONG_KV_GEAR_TILE_INL_H_
#endif

#include <cstring>

#include "base/half.h"
#include "hwy/highway.h"
#include "kv/gear/gear_layout.h"

HWY_BEFORE_NAMESPACE();
namespace throng::kv {
namespace HWY_NAMESPACE {
namespace gear {
namespace hn = hwy::HWY_NAMESPACE;

constexpr int kTileRows = 4;   // rows of weights that share each load of codes
constexpr size_t kSlack = 64;  // a load of codes may run beyond the last one
constexpr int kMaxEntries = static_cast<int>(kGearMaxSparsity * kPageTokens * kMaxHeadDim + 1.0);

// Channels of keys that dwarf the others would take all levels of the folded weights, so those of more than
// kWideScale times the average scale are decoded, and added like the terms of a low-rank fit.
constexpr float kWideScale = 4.0f;
constexpr int kMaxWide = 16;

// A page's contents, in the form that all tiles of rows share.
struct Tile {
  HWY_ALIGN uint8_t codes[kPageTokens * kMaxHeadDim + kSlack];  // unless they are used packed
  HWY_ALIGN float scales[kGearMaxPairs];                        // [num_groups, rows]; 0 in wide channels
  HWY_ALIGN float bases[kGearMaxPairs];                         // go into the constant of a row
  HWY_ALIGN float row_factors[kGearMaxRank * kMaxHeadDim];      // [rows / 4, Padded(rank), 4]
  // [rank, lanes], with the scale, then [num_wide, lanes], wide channels.
  HWY_ALIGN float lane_factors[(kGearMaxRank + kMaxWide) * kMaxHeadDim];
  HWY_ALIGN float differences[kMaxEntries + 8];
  int wide[kMaxWide];  // rows
  int num_wide;
};

using DF4 = hn::CappedTag<float, 4>;
using DF8 = hn::CappedTag<float, 8>;
using DF16 = hn::CappedTag<float, 16>;  // for counts that are a multiple of 16

// Calls f(DF16()) if `count`, a multiple of 8, fills its vectors, else f(DF8()). Where both are the same
// vectors, only calls f(DF8()).
template <class F>
HWY_INLINE void WithLanes(size_t count, const F& f) {
  if constexpr (hn::MaxLanes(DF16()) > 8) {
    count % 16 == 0 ? f(DF16()) : f(DF8());
  } else {
    f(DF8());
  }
}

inline int Padded(int rank) { return (rank + 3) / 4 * 4; }

template <int kShift, int kMask, class DU>
HWY_INLINE hn::Vec<DU> Bits(DU du, hn::Vec<DU> v) {
  const hn::Repartition<uint16_t, DU> dw;
  if constexpr (kShift != 0) v = hn::BitCast(du, hn::ShiftRight<kShift>(hn::BitCast(dw, v)));
  return hn::And(v, hn::Set(du, kMask));
}

// Adds the third bits at one place to 512 codes whose two low bits are in `to`.
template <int kPlace, class DU>
HWY_INLINE void AddThirdBits(DU du, const uint8_t* from, uint8_t* to) {
  for (size_t j = 0; j < kGearSubChunk; j += hn::Lanes(du)) {
    const auto bit = Bits<kPlace, 1>(du, hn::LoadU(du, from + j));
    const auto high = hn::Add(hn::Add(bit, bit), hn::Add(bit, bit));
    hn::StoreU(hn::Or(hn::LoadU(du, to + kPlace * 64 + j), high), du, to + kPlace * 64 + j);
  }
}

template <class DU>
HWY_INLINE void UnpackTwoBits(DU du, const uint8_t* from, uint8_t* to) {
  for (size_t j = 0; j < kGearSubChunk; j += hn::Lanes(du)) {
    const auto v = hn::LoadU(du, from + j);
    hn::StoreU(Bits<0, 3>(du, v), du, to + j);
    hn::StoreU(Bits<2, 3>(du, v), du, to + 64 + j);
    hn::StoreU(Bits<4, 3>(du, v), du, to + 128 + j);
    hn::StoreU(Bits<6, 3>(du, v), du, to + 192 + j);
  }
}

void UnpackCodes(const GearLayout& layout, const uint8_t* from, uint8_t* to) {
  const hn::CappedTag<uint8_t, 64> du;
  const uint8_t* end = from + layout.count.codes;
  if (layout.bits == 4) {
    for (; from < end; from += 64, to += 128) {
      for (size_t j = 0; j < kGearSubChunk; j += hn::Lanes(du)) {
        const auto v = hn::LoadU(du, from + j);
        hn::StoreU(Bits<0, 15>(du, v), du, to + j);
        hn::StoreU(Bits<4, 15>(du, v), du, to + 64 + j);
      }
    }
  } else if (layout.bits == 2) {
    for (; from < end; from += 64, to += 256) UnpackTwoBits(du, from, to);
  } else {
    for (; from < end; from += 192, to += 512) {
      UnpackTwoBits(du, from, to);
      UnpackTwoBits(du, from + 64, to + 256);
      AddThirdBits<0>(du, from + 128, to);
      AddThirdBits<1>(du, from + 128, to);
      AddThirdBits<2>(du, from + 128, to);
      AddThirdBits<3>(du, from + 128, to);
      AddThirdBits<4>(du, from + 128, to);
      AddThirdBits<5>(du, from + 128, to);
      AddThirdBits<6>(du, from + 128, to);
      AddThirdBits<7>(du, from + 128, to);
    }
  }
}

void ConvertHalves(const uint8_t* from, size_t count, float* to) {
  const DF16 df;
  const hn::Rebind<hwy::float16_t, DF16> dh;
  const size_t N = hn::Lanes(df);
  size_t i = 0;
  for (; i + N <= count; i += N) {
    const auto v = hn::LoadU(dh, reinterpret_cast<const hwy::float16_t*>(from) + i);
    hn::StoreU(hn::PromoteTo(df, v), df, to + i);
  }
  for (; i < count; ++i) {
    uint16_t bits;
    std::memcpy(&bits, from + 2 * i, 2);
    to[i] = HalfToFloat(bits);
  }
}

// count: a multiple of the lanes of df.
template <class DF>
HWY_INLINE void ConvertFactors(DF df, const uint8_t* from, size_t count, float scale, float* to) {
  const hn::Rebind<int32_t, DF> di;
  const hn::Rebind<int8_t, DF> db;
  const auto factor = hn::Set(df, scale);
  for (size_t i = 0; i < count; i += hn::Lanes(df)) {
    const auto v = hn::PromoteTo(di, hn::LoadU(db, reinterpret_cast<const int8_t*>(from) + i));
    hn::StoreU(hn::Mul(hn::ConvertTo(df, v), factor), df, to + i);
  }
}

void FillFactors(const GearLayout& layout, const uint8_t* encoded, Tile& tile) {
  const size_t rows = static_cast<size_t>(layout.rows);
  const size_t lanes = static_cast<size_t>(layout.lanes);
  const size_t rank = static_cast<size_t>(layout.rank);
  const uint8_t* of_rows = encoded + layout.row_factors;
  if (rank % 4 == 0) {
    ConvertFactors(DF16(), of_rows, rank * rows, 1.0f, tile.row_factors);
  } else {
    const size_t padded = static_cast<size_t>(Padded(layout.rank));
    std::memset(tile.row_factors, 0, padded * rows * sizeof(float));
    for (size_t i = 0; i < rows / 4; ++i) {
      ConvertFactors(DF4(), of_rows + 4 * i * rank, 4 * rank, 1.0f, tile.row_factors + 4 * i * padded);
    }
  }
  for (size_t j = 0; j < rank; ++j) {
    float scale;
    std::memcpy(&scale, encoded + layout.factor_scales + 4 * j, 4);
    const uint8_t* from = encoded + layout.lane_factors + j * lanes;
    WithLanes(lanes, [&](auto df)
                         HWY_ATTR { ConvertFactors(df, from, lanes, scale, tile.lane_factors + j * lanes); });
  }
}

// Moves wide channels, the widest first, from scales and bases to lane_factors.
HWY_NOINLINE void SplitWide(const GearLayout& layout, const uint8_t* encoded, bool unpacked, float middle,
                            float limit, Tile& tile) {
  const size_t rows = static_cast<size_t>(layout.rows);
  const size_t lanes = static_cast<size_t>(layout.lanes);
  const size_t pairs = rows * static_cast<size_t>(layout.num_groups);
  if (!unpacked) UnpackCodes(layout, encoded, tile.codes);
  while (tile.num_wide < kMaxWide) {
    size_t widest = 0;
    for (size_t i = 1; i < pairs; ++i) {
      if (tile.scales[i] > tile.scales[widest]) widest = i;
    }
    if (!(tile.scales[widest] > limit)) return;
    const size_t row = widest % rows;
    const uint8_t* codes = tile.codes + row / 4 * lanes * 4 + row % 4;
    float* to = tile.lane_factors + static_cast<size_t>(layout.rank + tile.num_wide) * lanes;
    for (size_t lane = 0; lane < lanes; ++lane) {
      const size_t pair = lane / static_cast<size_t>(layout.group) * rows + row;
      to[lane] = (static_cast<float>(codes[4 * lane]) - middle) * tile.scales[pair] + tile.bases[pair];
    }
    for (size_t pair = row; pair < pairs; pair += rows) tile.scales[pair] = tile.bases[pair] = 0.0f;
    tile.wide[tile.num_wide++] = static_cast<int>(row);
  }
}

// middle: the code that counts as 0 for the rounding of a group's weights.
void FillTile(const GearLayout& layout, const uint8_t* encoded, bool unpack, float middle, Tile& tile) {
  if (unpack) UnpackCodes(layout, encoded, tile.codes);
  const size_t pairs = static_cast<size_t>(layout.rows) * layout.num_groups;
  ConvertHalves(encoded + layout.scales, pairs, tile.scales);
  ConvertHalves(encoded + layout.zeros, pairs, tile.bases);
  const DF8 df;
  auto sum = hn::Zero(df), largest = hn::Zero(df);
  for (size_t i = 0; i < pairs; i += hn::Lanes(df)) {
    const auto scale = hn::Load(df, tile.scales + i);
    sum = hn::Add(sum, scale);
    largest = hn::Max(largest, scale);
    hn::Store(hn::MulAdd(hn::Set(df, middle), scale, hn::Load(df, tile.bases + i)), df, tile.bases + i);
  }
  if (layout.rank > 0) FillFactors(layout, encoded, tile);
  tile.num_wide = 0;
  if (layout.part == Part::kKeys) {
    const float limit = kWideScale * hn::GetLane(hn::SumOfLanes(df, sum)) / static_cast<float>(pairs);
    if (hn::GetLane(hn::MaxOfLanes(df, largest)) > limit)
      SplitWide(layout, encoded, unpack, middle, limit, tile);
  }
  ConvertHalves(encoded + layout.differences, layout.entries, tile.differences);
}

}  // namespace gear
}  // namespace HWY_NAMESPACE
}  // namespace throng::kv
HWY_AFTER_NAMESPACE();

#endif  // THRONG_KV_GEAR_TILE_INL_H_
