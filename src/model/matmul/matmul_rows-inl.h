// The integer kernel for few rows: codes go from their blocks to registers and are multiplied there, each
// output's with one horizontal sum per group. A tile (matmul_int-inl.h) costs more than it saves when hardly
// a row shares it. Both do the same operations on floats in the same order, and sums of integers are exact in
// any order, so their results are the same bits.

#if defined(THRONG_MODEL_MATMUL_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef THRONG_MODEL_MATMUL_ROWS_INL_H_
#undef THRONG_MODEL_MATMUL_ROWS_INL_H_
#else
#define THRONG_MODEL_MATMUL_ROWS_INL_H_
#endif

#include <type_traits>

#include "model/matmul/matmul.h"
#include "model/matmul/matmul_int-inl.h"
#include "model/matmul/matmul_levels-inl.h"
#include "model/matmul/matmul_unpack-inl.h"

HWY_BEFORE_NAMESPACE();
namespace throng::model {
namespace HWY_NAMESPACE {

// Of the 4-byte words of each 128-bit block: [a0 + a2, b0 + b2, a1 + a3, b1 + b3], added as numbers of D.
template <class D>
HWY_INLINE hn::Vec<D> AddWords(D d, hn::Vec<D> a, hn::Vec<D> b) {
  const DU du;
  const auto a32 = hn::BitCast(du, a);
  const auto b32 = hn::BitCast(du, b);
  return hn::Add(hn::BitCast(d, hn::InterleaveLower(du, a32, b32)),
                 hn::BitCast(d, hn::InterleaveUpper(du, a32, b32)));
}

// Of its 8-byte words: [a0 + a1, b0 + b1]. After two AddWords, each 4 bytes belong to one of four vectors.
template <class D>
HWY_INLINE hn::Vec<D> AddDoubleWords(D d, hn::Vec<D> a, hn::Vec<D> b) {
  const DU64 du;
  const auto a64 = hn::BitCast(du, a);
  const auto b64 = hn::BitCast(du, b);
  return hn::Add(hn::BitCast(d, hn::InterleaveLower(du, a64, b64)),
                 hn::BitCast(d, hn::InterleaveUpper(du, a64, b64)));
}

// The products of 16 codes (or of 32, with kBoth) of row-major weights with x, summed: lane = output.
template <Kind kKind, bool kBoth>
HWY_INLINE VI SumProducts(const Field& w0, const Field& w1, VU8 x0, VU8 x1) {
  const DI di;
  if constexpr (ShortSums(kKind) >= 2) {
    V16 sums[4];
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; ++i) {
      sums[i] = PairProducts(w0.v[i], x0);
      if constexpr (kBoth) sums[i] = hn::Add(sums[i], PairProducts(w1.v[i], x1));
    }
    const V16 a = AddWords(D16(), sums[0], sums[1]);
    const V16 b = AddWords(D16(), sums[2], sums[3]);
    constexpr size_t kTerms = kBoth ? 4 : 2;
    static_assert(ShortSums(kKind) >= kTerms);
    if constexpr (ShortSums(kKind) >= 2 * kTerms) {
      return AddPairs(AddDoubleWords(D16(), a, b));
    } else {
      return AddDoubleWords(di, AddPairs(a), AddPairs(b));
    }
  } else {
    VI sums[4];
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; ++i) {
      sums[i] = DotQuads<kKind.is_signed>(hn::Zero(di), w0.v[i], hn::BitCast(di, x0));
      if constexpr (kBoth) {
        sums[i] = DotQuads<kKind.is_signed>(sums[i], w1.v[i], hn::BitCast(di, x1));
      }
    }
    return AddDoubleWords(di, AddWords(di, sums[0], sums[1]), AddWords(di, sums[2], sums[3]));
  }
}

// Adds to sum[r] the products of four words of codes of weights in strips with row r of x (stride: bytes from
// row to row), lane = output. The rows' chains of additions are interleaved, so that they do not wait for
// each other.
template <Kind kKind, size_t kRows>
HWY_INLINE void AddFourWords(const Field& w, const int8_t* x, size_t stride, VI (&sum)[kRows]) {
#if HWY_TARGET == HWY_AVX3_DL
  // Left to itself, GCC 12 takes the address of each word from memory, and copies sums between registers.
  if constexpr (kRows == 8) {
#define THRONG_ADD_WORD(i, r, row) "vpdpbusd 4*" #i row "%{1to16%}, %[w" #i "], %[s" #r "]\n\t"
#define THRONG_ADD_WORDS(i)                    \
  THRONG_ADD_WORD(i, 0, "(%[x0])")             \
  THRONG_ADD_WORD(i, 1, "(%[x0],%[stride])")   \
  THRONG_ADD_WORD(i, 2, "(%[x0],%[stride],2)") \
  THRONG_ADD_WORD(i, 3, "(%[x3])")             \
  THRONG_ADD_WORD(i, 4, "(%[x3],%[stride])")   \
  THRONG_ADD_WORD(i, 5, "(%[x3],%[stride],2)") \
  THRONG_ADD_WORD(i, 6, "(%[x6])")             \
  THRONG_ADD_WORD(i, 7, "(%[x6],%[stride])")
    asm(THRONG_ADD_WORDS(0) THRONG_ADD_WORDS(1) THRONG_ADD_WORDS(2) THRONG_ADD_WORDS(3)
        : [s0] "+v"(sum[0].raw), [s1] "+v"(sum[1].raw), [s2] "+v"(sum[2].raw), [s3] "+v"(sum[3].raw),
          [s4] "+v"(sum[4].raw), [s5] "+v"(sum[5].raw), [s6] "+v"(sum[6].raw), [s7] "+v"(sum[7].raw)
        : [w0] "v"(w.v[0].raw), [w1] "v"(w.v[1].raw), [w2] "v"(w.v[2].raw), [w3] "v"(w.v[3].raw), [x0] "r"(x),
          [x3] "r"(x + 3 * stride), [x6] "r"(x + 6 * stride), [stride] "r"(stride),
          "m"(*reinterpret_cast<const int8_t(*)[1 << 30]>(x)));
#undef THRONG_ADD_WORDS
#undef THRONG_ADD_WORD
    return;
  }
#endif
  const int8_t* row[kRows];
#pragma GCC unroll 8
  for (size_t r = 0; r < kRows; ++r) {
    row[r] = x + r * stride;
    asm("" : "+r"(row[r]));  // so that addresses are made from these pointers
  }
#pragma GCC unroll 4
  for (size_t i = 0; i < 4; ++i) {
#pragma GCC unroll 8
    for (size_t r = 0; r < kRows; ++r) {
      sum[r] = DotQuadsWithWord<kKind.is_signed>(sum[r], w.v[i], row[r] + 4 * i);
    }
  }
}

// Adds to sum[r] the products of half kPart of the codes, or of both with kParts = 1, with row r of x, where
// `x` is the first row's codes of the group.
template <Kind kKind, size_t kPart, size_t kParts, size_t kRows>
HWY_INLINE void SumWords(const Codes& codes, const int8_t* x, size_t stride, VI (&sum)[kRows]) {
  constexpr size_t kFirst = 4 * kPart;
  constexpr size_t kCount = 8 / kParts;
  constexpr size_t kShort = HWY_MIN(kCount, ShortSums(kKind));
  if constexpr (kShort >= 2) {
#pragma GCC unroll 4
    for (size_t i0 = kFirst; i0 < kFirst + kCount; i0 += kShort) {
#pragma GCC unroll 8
      for (size_t r = 0; r < kRows; ++r) {
        V16 pairs = hn::Zero(D16());
#pragma GCC unroll 8
        for (size_t i = i0; i < i0 + kShort; ++i) {
          const VU8 xs = hn::BitCast(DU8(), BroadcastWord(x + r * stride + 4 * i));
          pairs = hn::Add(pairs, PairProducts(codes.half[i / 4].v[i % 4], xs));
        }
        sum[r] = hn::Add(sum[r], AddPairs(pairs));
      }
    }
  } else {
    AddFourWords<kKind>(codes.half[kPart], x + 4 * kFirst, stride, sum);
    if constexpr (kParts == 1) AddFourWords<kKind>(codes.half[1], x + 16, stride, sum);
  }
}

// Sums of kRows rows of x.
template <TensorType kType, size_t kRows, bool kInLanes>
struct RowSums {
  static constexpr Kind kKind = KindOf<kType>();
  // Block by block where the memory takes most of the time: looking ahead would break its stream. With 8
  // rows, products hide the latency of unpacking many at once better.
  static constexpr size_t kScalesAtOnce = kRows < 8 ? 1 : kChunkGroups;
  static constexpr size_t kParts = kKind.halves ? 2 : 1;
  static constexpr size_t kOffsets = kParts * kChunkGroups;

  HWY_INLINE void Begin(size_t groups, const float* acc) {
#pragma GCC unroll 8
    for (size_t r = 0; r < kRows; ++r) {
      y[r] = hn::Load(DF(), acc + r * kLanes);
      if constexpr (kKind.offset != 0) {
        const DI di;
        const int32_t* sums = kKind.halves ? x.half_sums + 2 * r * x.groups : x.code_sums + r * x.groups;
        const size_t count = kParts * groups;
        int32_t* out = offsets + r * kOffsets;
        size_t i = 0;
        for (; i + kLanes <= count; i += kLanes) {
          hn::StoreU(hn::Mul(hn::LoadU(di, sums + i), hn::Set(di, -kKind.offset)), di, out + i);
        }
        for (; i < count; ++i) out[i] = -kKind.offset * sums[i];
      }
    }
  }

  // Adds to sum[r] the products with row r of the codes of half kPart or, where halves share a scale, of
  // both.
  template <size_t kPart>
  HWY_INLINE void Sum(size_t g, const Codes& codes, VI (&sum)[kRows]) const {
    if constexpr (UsesLevels<kType>()) {
      const int8_t* ordered = x_codes + (g * kParts + kPart) * kGroup;
      AddFourWords<kKind>(codes.half[0], ordered, x_stride, sum);
      AddFourWords<kKind>(codes.half[1], ordered + 16, x_stride, sum);
    } else if constexpr (kInLanes) {
      SumWords<kKind, kPart, kParts>(codes, x_codes + g * kGroup, x_stride, sum);
    } else {
      const DU8 d8;
#pragma GCC unroll 8
      for (size_t r = 0; r < kRows; ++r) {
        const auto* bytes = reinterpret_cast<const uint8_t*>(x_codes + g * kGroup + r * x_stride);
        const VU8 x0 = hn::LoadDup128(d8, bytes);
        const VU8 x1 = hn::LoadDup128(d8, bytes + 16);
        if constexpr (kKind.halves) {
          const VU8 xs = kPart ? x1 : x0;
          sum[r] = hn::Add(sum[r], SumProducts<kKind, false>(codes.half[kPart], codes.half[kPart], xs, xs));
        } else {
          sum[r] = hn::Add(sum[r], SumProducts<kKind, true>(codes.half[0], codes.half[1], x0, x1));
        }
      }
    }
  }

  template <size_t kPart>
  HWY_INLINE void AddPart(size_t g, const Codes& codes, const Scales& scales) {
    const DF df;
    const DI di;
    VI sum[kRows];
#pragma GCC unroll 8
    for (size_t r = 0; r < kRows; ++r) {
      sum[r] = kKind.offset ? hn::Set(di, offsets[r * kOffsets + g * kParts + kPart]) : hn::Zero(di);
    }
    Sum<kPart>(g, codes, sum);
#pragma GCC unroll 8
    for (size_t r = 0; r < kRows; ++r) {
      const VF x_scale = hn::Set(df, x.scales[r * x.groups + g]);
      y[r] = hn::MulAdd(hn::ConvertTo(df, sum[r]), hn::Mul(scales.scale[kPart], x_scale), y[r]);
      if constexpr (kKind.has_min) {
        y[r] = hn::MulAdd(scales.min[kPart], hn::Set(df, SumOfX<kKind>(x, r * x.groups + g, kPart)), y[r]);
      }
    }
  }

  HWY_INLINE void Add(size_t g, const Codes& codes, const Scales& scales) {
    AddPart<0>(g, codes, scales);
    if constexpr (kKind.halves) AddPart<1>(g, codes, scales);
  }

  template <size_t kPart, size_t kNumParts, class Blocks>
  HWY_INLINE void Fetch(const Blocks& blocks) const {
    FetchAhead<kPart, kNumParts>(blocks);
  }

  // The same of an eighth of a block.
  HWY_INLINE void FetchPart(const StripBlocks<kType>& blocks, size_t part) const {
    constexpr size_t kLines = (kStripRows * StripBlocks<kType>::kBytes / 8 + 63) / 64;
    FetchLines(blocks, kLines * part, kLines * (part + 1));
  }
  HWY_INLINE void FetchPart(const RowBlocks<kType, true>& blocks, size_t part) const {
    if (part == 0) FetchAhead<0, 1>(blocks);
  }

  HWY_INLINE void End(float* acc) const {
#pragma GCC unroll 8
    for (size_t r = 0; r < kRows; ++r) hn::Store(y[r], DF(), acc + r * kLanes);
  }

  XRows x;
  const int8_t* x_codes;  // of the first row, in the order of the codes that come
  size_t x_stride;        // of its bytes, from row to row
  VF y[kRows];
  // [kRows, groups, parts]: -x times what codes are too large by. Not in here, or y would lie in memory too.
  int32_t* offsets;
};

// acc[r, lane] += products of `groups` groups, at most a chunk. x_codes, x_stride: as in RowSums.
template <TensorType kType, size_t kRows, class Blocks>
HWY_INLINE void AddFewRows(const Blocks& blocks, size_t groups, const XRows& x, const int8_t* x_codes,
                           size_t x_stride, float* acc) {
  using Sums = RowSums<kType, kRows, Blocks::kInLanes>;
  HWY_ALIGN int32_t offsets[kRows * Sums::kOffsets];
  Sums sums;
  sums.x = x;
  sums.x_codes = x_codes;
  sums.x_stride = x_stride;
  sums.offsets = offsets;
  sums.Begin(groups, acc);
  if constexpr (UsesLevels<kType>()) {
    VisitLevels<kType>(blocks, groups, sums);
  } else {
    VisitGroups<kType>(blocks, groups, sums);
  }
  sums.End(acc);
}

// One tile of outputs, at most Tile::kMaxFewRows rows.
template <TensorType kType, class Tile>
HWY_NOINLINE void FewRowsTile(const Product& product, size_t first_output, const Terms& terms,
                              size_t num_rows) {
  constexpr BlockSize block = *BlockSizeOf(kType);
  HWY_ALIGN float acc[2][Tile::kMaxFewRows * kLanes];
  constexpr size_t kOrderedBytes = UsesLevels<kType>() ? kChunkGroups * 2 * kGroup : 0;  // of a row
  HWY_ALIGN int8_t ordered[HWY_MAX(1, Tile::kMaxFewRows * kOrderedBytes)];
  const Tile tile(product.w, first_output);
  const size_t all_groups = terms.Groups();
  for (float* sums : acc) std::memset(sums, 0, num_rows * kLanes * sizeof(float));
  for (size_t first = 0; first < 2; first += Tile::kVectorsTogether) {
    for (size_t g0 = 0; g0 < all_groups; g0 += kChunkGroups) {
      const size_t groups = HWY_MIN(kChunkGroups, all_groups - g0);
      const size_t offset = g0 * kGroup / block.elements * block.bytes;
      const size_t bytes = groups * kGroup / block.elements * block.bytes;
      for (size_t v = first; v < first + Tile::kVectorsTogether; ++v) {
        // Of other formats it costs less to bring codes to their lanes than sums.
        const auto blocks = [&] {
          if constexpr (FamilyOf(kType) == Family::kPlain) {
            return tile.At(v, offset, bytes);
          } else {
            return tile.At(v, offset, bytes).InLanes();
          }
        }();
        for (const Term& term : terms.terms) {
          const QuantizedRows* const x = term.rows;
          const int8_t* x_codes = x->codes.data() + g0 * kGroup;
          size_t x_stride = x->groups * kGroup;
          if constexpr (UsesLevels<kType>()) {
            for (size_t r = 0; r < num_rows; ++r) {
              OrderForLevels<kType>(x_codes + r * x_stride, groups, ordered + r * kOrderedBytes);
            }
            x_codes = ordered;
            asm("" : "+r"(x_codes));  // or GCC warns that the kernel could read beyond it
            x_stride = kOrderedBytes;
          }
          size_t r = 0;
          const auto add = [&](auto rows) HWY_ATTR {
            constexpr size_t kRows = decltype(rows)::value;
            AddFewRows<kType, kRows>(blocks, groups, RowsAt(*x, g0 + r * x->groups), x_codes + r * x_stride,
                                     x_stride, acc[v] + r * kLanes);
            r += kRows;
          };
          if constexpr (Tile::kMaxFewRows == 8) {
            if (num_rows == 8) add(std::integral_constant<size_t, 8>());
          }
          if (r + 4 <= num_rows) add(std::integral_constant<size_t, 4>());
          if (r + 2 <= num_rows) add(std::integral_constant<size_t, 2>());
          if (r < num_rows) add(std::integral_constant<size_t, 1>());
        }
      }
    }
  }
  const size_t outputs = HWY_MIN(kTile, product.w.rows - first_output);
  for (size_t r = 0; r < num_rows; ++r) {
    float* y = product.y + r * product.y_stride + first_output;
    for (size_t v = 0; v < 2; ++v) StoreOutputs(acc[v] + r * kLanes, v * kLanes, outputs, y);
  }
}

// Outputs [first, end), whole tiles.
template <TensorType kType, class Tile>
HWY_INLINE void IntRows(const Product& product, size_t first, size_t end, const Terms& terms, size_t rows,
                        uint8_t* buffer) {
  if constexpr (kHasAmx) {
    if (terms.InTiles()) {
      const AmxSession<KindOf<kType>().halves> session(rows);
      for (size_t o = first; o < end; o += kTile) IntTile<kType, Tile, true>(product, o, terms, rows, buffer);
      return;
    }
  }
  for (size_t o = first; o < end; o += kTile) {
    // From more rows on, a tile is faster; with gathers, which take most of the time, it always is.
    if constexpr (FamilyOf(kType) != Family::kCodebook || UsesLevels<kType>()) {
      if (rows <= Tile::kMaxFewRows) {
        FewRowsTile<kType, Tile>(product, o, terms, rows);
        continue;
      }
    }
    IntTile<kType, Tile, false>(product, o, terms, rows, buffer);
  }
}

// Outputs [first, end), whole tiles, any number of rows. buffer: IntWorkerBytes, aligned to 64.
template <TensorType kType>
void IntProduct(const Product& product, size_t first, size_t end, const Terms& terms, size_t rows,
                uint8_t* buffer) {
  if (product.w.in_strips) return IntRows<kType, StripTile<kType>>(product, first, end, terms, rows, buffer);
  IntRows<kType, RowTile<kType>>(product, first, end, terms, rows, buffer);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace throng::model
HWY_AFTER_NAMESPACE();

#endif  // THRONG_MODEL_MATMUL_ROWS_INL_H_
