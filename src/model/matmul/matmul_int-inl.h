// The integer kernel: packed groups of two vectors of outputs, times 8-bit activations.

#if defined(THRONG_MODEL_MATMUL_INT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef THRONG_MODEL_MATMUL_INT_INL_H_
#undef THRONG_MODEL_MATMUL_INT_INL_H_
#else
#define THRONG_MODEL_MATMUL_INT_INL_H_
#endif

#include <bit>

#include "model/matmul/integer_products.h"
#include "model/matmul/matmul.h"
#include "model/matmul/matmul_amx-inl.h"
#include "model/matmul/matmul_tiles-inl.h"

HWY_BEFORE_NAMESPACE();
namespace throng::model {
namespace HWY_NAMESPACE {

constexpr size_t kMaxKernelRows = 4;  // 8 integer accumulators: as many as hide the latency of a dot product

// acc + the sums of 4 products each of codes w (see Kind) and int8 x. No step saturates: |x| <= 127, and with
// maddubs signed codes have |code| <= 128 and unsigned ones are below 128.
template <bool kSigned>
HWY_INLINE VI DotQuads(VI acc, VU8 w, VI x) {
#if HWY_TARGET == HWY_AVX3_DL
  static_assert(!kSigned);
  // Written out because this Highway target's flags lack avx512vnni, though it is checked for at run time.
  asm("vpdpbusd %2, %1, %0" : "+v"(acc.raw) : "v"(w.raw), "v"(x.raw));
  return acc;
#elif HWY_TARGET == HWY_AVX3
  const __m512i ones = _mm512_set1_epi16(1);
  __m512i codes = w.raw;
  __m512i xs = x.raw;
  if constexpr (kSigned) {
    xs = _mm512_mask_sub_epi8(xs, _mm512_movepi8_mask(codes), _mm512_setzero_si512(), xs);
    codes = _mm512_abs_epi8(codes);
  }
  return hn::Add(acc, VI{_mm512_madd_epi16(_mm512_maddubs_epi16(codes, xs), ones)});
#elif HWY_TARGET == HWY_AVX2
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i codes = w.raw;
  __m256i xs = x.raw;
  if constexpr (kSigned) {
    xs = _mm256_sign_epi8(xs, codes);
    codes = _mm256_abs_epi8(codes);
  }
  return hn::Add(acc, VI{_mm256_madd_epi16(_mm256_maddubs_epi16(codes, xs), ones)});
#elif HWY_TARGET == HWY_SSE4 || HWY_TARGET == HWY_SSSE3
  const __m128i ones = _mm_set1_epi16(1);
  __m128i codes = w.raw;
  __m128i xs = x.raw;
  if constexpr (kSigned) {
    xs = _mm_sign_epi8(xs, codes);
    codes = _mm_abs_epi8(codes);
  }
  return hn::Add(acc, VI{_mm_madd_epi16(_mm_maddubs_epi16(codes, xs), ones)});
#else
  const DI di;
  const hn::Repartition<int16_t, DI> d16;
  const auto w16 = hn::BitCast(d16, w);
  const auto x16 = hn::BitCast(d16, x);
  // Sign extension is right for unsigned codes too: they are below 128.
  const auto even =
      hn::Mul(hn::ShiftRight<8>(hn::ShiftLeft<8>(w16)), hn::ShiftRight<8>(hn::ShiftLeft<8>(x16)));
  const auto odd = hn::Mul(hn::ShiftRight<8>(w16), hn::ShiftRight<8>(x16));
  const auto pairs = hn::BitCast(di, hn::Add(even, odd));
  return hn::Add(acc, hn::Add(hn::ShiftRight<16>(hn::ShiftLeft<16>(pairs)), hn::ShiftRight<16>(pairs)));
#endif
}

// Where products come as sums of two in 16 bits: PairProducts of codes below 128 and int8 x, and their sums
// in 32 bits. ShortSums says how many of the former, a power of two, can be added before: none saturates.
#if HWY_TARGET == HWY_AVX2
constexpr bool kPairProducts = true;
HWY_INLINE V16 PairProducts(VU8 w, VU8 x) { return V16{_mm256_maddubs_epi16(w.raw, x.raw)}; }
HWY_INLINE VI AddPairs(V16 a) { return VI{_mm256_madd_epi16(a.raw, _mm256_set1_epi16(1))}; }
#elif HWY_TARGET == HWY_SSE4 || HWY_TARGET == HWY_SSSE3
constexpr bool kPairProducts = true;
HWY_INLINE V16 PairProducts(VU8 w, VU8 x) { return V16{_mm_maddubs_epi16(w.raw, x.raw)}; }
HWY_INLINE VI AddPairs(V16 a) { return VI{_mm_madd_epi16(a.raw, _mm_set1_epi16(1))}; }
#else
constexpr bool kPairProducts = false;
V16 PairProducts(VU8 w, VU8 x);
VI AddPairs(V16 a);
#endif
constexpr size_t ShortSums(Kind kind) {
  if (!kPairProducts || kind.is_signed) return 0;
  return std::bit_floor(32767u / (2 * 127 * static_cast<unsigned>(kind.largest)));
}

HWY_INLINE VI BroadcastWord(const int8_t* x) {
  int32_t word;
  std::memcpy(&word, x, sizeof(word));
  return hn::Set(DI(), word);
}

// DotQuads with the 4 bytes at x in all lanes.
template <bool kSigned>
HWY_INLINE VI DotQuadsWithWord(VI acc, VU8 w, const int8_t* x) {
#if HWY_TARGET == HWY_AVX3_DL
  const auto& word = *reinterpret_cast<const int8_t(*)[4]>(x);
  asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(acc.raw) : "v"(w.raw), "m"(word));
  return acc;
#else
  return DotQuads<kSigned>(acc, w, BroadcastWord(x));
#endif
}

// Rows of QuantizedRows, from some row and group on.
struct XRows {
  const int8_t* codes;
  const float* scales;
  const float* sums;
  const int32_t* code_sums;
  const int32_t* half_sums;
  size_t groups;  // per row: the stride
};

// group: the first row's first group.
HWY_INLINE XRows RowsAt(const QuantizedRows& x, size_t group) {
  return {x.codes.data() + group * kGroup, x.scales.data() + group,        x.sums.data() + group,
          x.code_sums.data() + group,      x.half_sums.data() + 2 * group, x.groups};
}

// What a minimum is multiplied by: the sum of the rounded x of a group, or of its half `part`.
template <Kind kKind>
HWY_INLINE float SumOfX(const XRows& x, size_t group, size_t part) {
  if constexpr (!kKind.halves) return x.sums[group];
  return x.scales[group] * static_cast<float>(x.half_sums[2 * group + part]);
}

// acc[r, tile] += products of `groups` groups, one after the other.
template <Kind kKind, size_t kRows>
HWY_INLINE void MultiplyGroups(const Packed* HWY_RESTRICT w, size_t groups, XRows x, float* HWY_RESTRICT acc,
                               Ahead& ahead) {
  const DF df;
  const DI di;
  const DU8 d8;
  constexpr size_t kParts = kKind.halves ? 2 : 1;
  for (size_t g = 0; g < groups; ++g) {
    ahead.Fetch();
    for (size_t part = 0; part < kParts; ++part) {
      VI sum[kRows][2];
#pragma GCC unroll 4
      for (size_t r = 0; r < kRows; ++r) {
        const size_t group = r * x.groups + g;
        const int32_t codes = kKind.halves ? x.half_sums[2 * group + part] : x.code_sums[group];
        sum[r][0] = sum[r][1] = hn::Set(di, -kKind.offset * codes);
      }
      constexpr size_t kWords = 8 / kParts;
      const size_t first = (g * 8 + part * kWords) * kVectorBytes;
      const auto code_at = [&](size_t v, size_t i)
                               HWY_ATTR { return hn::Load(d8, w[v].codes + first + i * kVectorBytes); };
      const auto x_at = [&](size_t r, size_t i) HWY_ATTR {
        return BroadcastWord(x.codes + (r * x.groups + g) * kGroup + 4 * (part * kWords + i));
      };
      constexpr size_t kShort = HWY_MIN(kWords, ShortSums(kKind));
      if constexpr (kShort >= 2) {
#pragma GCC unroll 2
        for (size_t i0 = 0; i0 < kWords; i0 += kShort) {
          V16 pairs[kRows][2];
#pragma GCC unroll 8
          for (size_t i = i0; i < i0 + kShort; ++i) {
            const VU8 w0 = code_at(0, i);
            const VU8 w1 = code_at(1, i);
#pragma GCC unroll 4
            for (size_t r = 0; r < kRows; ++r) {
              const VU8 xs = hn::BitCast(d8, x_at(r, i));
              const V16 p0 = PairProducts(w0, xs);
              const V16 p1 = PairProducts(w1, xs);
              pairs[r][0] = i == i0 ? p0 : hn::Add(pairs[r][0], p0);
              pairs[r][1] = i == i0 ? p1 : hn::Add(pairs[r][1], p1);
            }
          }
#pragma GCC unroll 4
          for (size_t r = 0; r < kRows; ++r) {
            sum[r][0] = hn::Add(sum[r][0], AddPairs(pairs[r][0]));
            sum[r][1] = hn::Add(sum[r][1], AddPairs(pairs[r][1]));
          }
        }
      } else {
#pragma GCC unroll 8
        for (size_t i = 0; i < kWords; ++i) {
          const VU8 w0 = code_at(0, i);
          const VU8 w1 = code_at(1, i);
#pragma GCC unroll 4
          for (size_t r = 0; r < kRows; ++r) {
            const VI xs = x_at(r, i);
            sum[r][0] = DotQuads<kKind.is_signed>(sum[r][0], w0, xs);
            sum[r][1] = DotQuads<kKind.is_signed>(sum[r][1], w1, xs);
          }
        }
      }
      const VF scale0 = hn::Load(df, w[0].scales + (g * kParts + part) * kLanes);
      const VF scale1 = hn::Load(df, w[1].scales + (g * kParts + part) * kLanes);
#pragma GCC unroll 4
      for (size_t r = 0; r < kRows; ++r) {
        const VF xs = hn::Set(df, x.scales[r * x.groups + g]);
        float* y = acc + r * kTile;
        VF y0 = hn::MulAdd(hn::ConvertTo(df, sum[r][0]), hn::Mul(scale0, xs), hn::Load(df, y));
        VF y1 = hn::MulAdd(hn::ConvertTo(df, sum[r][1]), hn::Mul(scale1, xs), hn::Load(df, y + kLanes));
        if constexpr (kKind.has_min) {
          const VF x_sum = hn::Set(df, SumOfX<kKind>(x, r * x.groups + g, part));
          y0 = hn::MulAdd(hn::Load(df, w[0].mins + (g * kParts + part) * kLanes), x_sum, y0);
          y1 = hn::MulAdd(hn::Load(df, w[1].mins + (g * kParts + part) * kLanes), x_sum, y1);
        }
        hn::Store(y0, df, y);
        hn::Store(y1, df, y + kLanes);
      }
    }
  }
}

// The same for any number of rows; group: the first row's first group.
template <Kind kKind>
HWY_INLINE void MultiplyRows(const Packed* packed, size_t groups, const QuantizedRows& x, size_t group,
                             size_t num_rows, float* acc, Ahead& ahead) {
  const auto rows_at = [&](size_t row) { return RowsAt(x, group + row * x.groups); };
  size_t r = 0;
  for (; r + 4 <= num_rows; r += 4) {
    MultiplyGroups<kKind, 4>(packed, groups, rows_at(r), acc + r * kTile, ahead);
  }
  if (r + 2 <= num_rows) {
    MultiplyGroups<kKind, 2>(packed, groups, rows_at(r), acc + r * kTile, ahead);
    r += 2;
  }
  if (r < num_rows) {
    MultiplyGroups<kKind, 1>(packed, groups, rows_at(r), acc + r * kTile, ahead);
  }
}

constexpr size_t kMaxTileRows = 256;  // accumulators of one tile: 32 KiB

constexpr size_t IntWorkerBytes() {
  return kChunkGroups * 2 * kPackedVectors * kVectorBytes + kMaxTileRows * kTile * sizeof(float) +
         kAmxBufferBytes;
}

// kAmx: by matrix instructions.
template <TensorType kType, class Tile, bool kAmx>
HWY_NOINLINE void IntTileRows(const Product& product, size_t first_output, const Terms& terms,
                              size_t first_row, size_t num_rows, uint8_t* buffer) {
  constexpr Kind kKind = KindOf<kType>();
  constexpr BlockSize block = *BlockSizeOf(kType);
  constexpr size_t kVectorChunk = kChunkGroups * kVectorBytes;
  Packed packed[2];
  for (size_t v = 0; v < 2; ++v) {
    packed[v].codes = buffer + v * kPackedVectors * kVectorChunk;
    packed[v].scales = reinterpret_cast<float*>(packed[v].codes + 8 * kVectorChunk);
    packed[v].mins = packed[v].scales + 2 * kChunkGroups * kLanes;
  }
  const Tile tile(product.w, first_output);
  float* acc = reinterpret_cast<float*>(buffer + 2 * kPackedVectors * kVectorChunk);
  std::memset(acc, 0, hwy::RoundUpTo(num_rows, kActivationRows) * kTile * sizeof(float));
  const size_t all_groups = terms.Groups();
  // With several terms, the size of chunks is part of the order of additions.
  const size_t chunk = kAmx && terms.terms.size() == 1 ? kAmxChunkGroups : kChunkGroups;
  for (size_t g0 = 0; g0 < all_groups; g0 += chunk) {
    const size_t groups = HWY_MIN(chunk, all_groups - g0);
    const size_t offset = g0 * kGroup / block.elements * block.bytes;
    const size_t bytes = groups * kGroup / block.elements * block.bytes;
    const auto pack = [&](size_t v, auto packer) HWY_ATTR {
      VisitGroups<kType>(tile.At(v, offset, bytes).InLanes(), groups, packer);
    };
    constexpr size_t kRowsOfCall = kAmx ? kActivationRows : kMaxKernelRows;
    const size_t calls = groups * ((num_rows + kRowsOfCall - 1) / kRowsOfCall);
    Ahead ahead = tile.AheadOf(offset, bytes, calls);
    pack(0, Packer<kType, kAmx>{packed[0]});
    if constexpr (kAmx) {
      TileProducts<kKind> products(packed, groups, terms.terms, first_row / kActivationRows * all_groups + g0,
                                   all_groups, num_rows, acc, buffer + IntWorkerBytes() - kAmxBufferBytes);
      pack(1, BeginningPacker<kType>{{packed[1]}, products});
      constexpr size_t kLag = BeginningPacker<kType>::kLag;
      for (size_t g = groups - HWY_MIN(groups, kLag); g < groups; ++g) products.Begin(g);
      products.Run(ahead);
    } else {
      pack(1, Packer<kType, kAmx>{packed[1]});
      for (const Term& x : terms.terms) {
        MultiplyRows<kKind>(packed, groups, *x.rows, first_row * all_groups + g0, num_rows, acc, ahead);
      }
    }
  }
  const size_t outputs = HWY_MIN(kTile, product.w.rows - first_output);
  for (size_t r = 0; r < num_rows; ++r) {
    float* y = product.y + (first_row + r) * product.y_stride + first_output;
    for (size_t v = 0; v < 2; ++v) StoreOutputs(acc + r * kTile + v * kLanes, v * kLanes, outputs, y);
  }
}

template <TensorType kType, class Tile, bool kAmx>
HWY_INLINE void IntTile(const Product& product, size_t first_output, const Terms& terms, size_t num_rows,
                        uint8_t* buffer) {
  for (size_t row = 0; row < num_rows; row += kMaxTileRows) {
    IntTileRows<kType, Tile, kAmx>(product, first_output, terms, row, HWY_MIN(kMaxTileRows, num_rows - row),
                                   buffer);
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace throng::model
HWY_AFTER_NAMESPACE();

#endif  // THRONG_MODEL_MATMUL_INT_INL_H_
