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
#include "model/matmul/matmul_unpack-inl.h"

HWY_BEFORE_NAMESPACE();
namespace throng::model {
namespace HWY_NAMESPACE {

constexpr size_t kTile = 2 * kLanes;  // outputs of one tile
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

// Streams that the memory is to bring while codes that are packed are multiplied: some lines per group.
struct Ahead {
  HWY_INLINE void Fetch() {
    for (size_t i = 0; i < lines && next[0] < end; ++i) {
      hwy::Prefetch(next[0]);
      hwy::Prefetch(next[1]);
      next[0] += 64;
      next[1] += 64;
    }
  }

  const uint8_t* next[2];
  const uint8_t* end;  // of the first
  size_t lines;
};

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

constexpr size_t kPackedVectors = 8 + 2 + 2;  // of a group: codes, scales, minimums

constexpr size_t IntWorkerBytes() {
  return kChunkGroups * 2 * kPackedVectors * kVectorBytes + kMaxTileRows * kTile * sizeof(float);
}

// Stores what blocks are unpacked to.
template <TensorType kType>
struct Packer {
  static constexpr size_t kScalesAtOnce = kChunkGroups;
  static constexpr Kind kKind = KindOf<kType>();

  HWY_INLINE void Add(size_t g, const Codes& codes, const Scales& scales) const {
    const DU8 d8;
    const DF df;
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; ++i) {
      hn::Store(codes.half[i / 4].v[i % 4], d8, out.codes + (8 * g + i) * kVectorBytes);
    }
    constexpr size_t kParts = kKind.halves ? 2 : 1;
#pragma GCC unroll 2
    for (size_t part = 0; part < kParts; ++part) {
      const size_t at = (g * kParts + part) * kLanes;
      hn::Store(scales.scale[part], df, out.scales + at);
      if constexpr (kKind.has_min) hn::Store(scales.min[part], df, out.mins + at);
    }
  }

  // Strips are fetched while they are multiplied: StripTile::AheadOf.
  template <size_t kPart, size_t kParts>
  HWY_INLINE void Fetch(const StripBlocks<kType>&) const {}
  template <size_t kPart, size_t kParts>
  HWY_INLINE void Fetch(const RowBlocks<kType, true>& blocks) const {
    FetchAhead<kPart, kParts>(blocks);
  }

  Packed out;
};

// Where a tile's blocks lie: of row-major weights.
template <TensorType kType>
struct RowTile {
  static constexpr size_t kVectorsTogether = 1;
  static constexpr size_t kMaxFewRows = 4;

  RowTile(const Matrix& w, size_t first_output) : row_bytes(w.RowBytes()) {
    // Lanes beyond the last output repeat it; their results are not stored.
    for (size_t i = 0; i < kTile; ++i) rows[i] = w.data + HWY_MIN(first_output + i, w.rows - 1) * row_bytes;
  }
  // The blocks of vector v from `offset` bytes of a row on. The data needed after `bytes` more of each row is
  // the next of these rows or, at their end, the first of the next tile's.
  HWY_INLINE RowBlocks<kType> At(size_t v, size_t offset, size_t bytes) const {
    return {rows + v * kLanes, offset, offset + bytes < row_bytes ? bytes : kTile * row_bytes - offset};
  }

  // Nothing: RowBlocks are fetched ahead as they are packed.
  HWY_INLINE Ahead AheadOf(size_t, size_t, size_t, size_t) const { return {}; }

  const uint8_t* rows[kTile];
  size_t row_bytes;
};

// The same of weights in strips.
template <TensorType kType>
struct StripTile {
  static constexpr size_t kVectorsTogether = kLanes < kStripRows ? 2 : 1;  // that share the lines of a strip
  static constexpr size_t kMaxFewRows = kLanes == 16 ? 8 : 4;              // of which 8 take 24 registers

  StripTile(const Matrix& w, size_t first_output) : row_bytes(w.RowBytes()) {
    for (size_t v = 0; v < 2; ++v) {
      const size_t output = HWY_MIN(first_output + v * kLanes, w.rows - 1) / kLanes * kLanes;
      lanes[v] = output % kStripRows;
      strips[v] = w.data + (output - lanes[v]) * row_bytes;
    }
  }
  HWY_INLINE StripBlocks<kType> At(size_t v, size_t offset, size_t) const {
    return {strips[v] + kStripRows * offset, lanes[v]};
  }
  // The `bytes` of each row after as many from `offset` on or, at the end, the first of the next tile's, in
  // the time of `groups` groups of num_rows rows.
  HWY_INLINE Ahead AheadOf(size_t offset, size_t bytes, size_t groups, size_t num_rows) const {
    constexpr size_t kStreams = kLanes < kStripRows ? 1 : 2;
    const bool at_end = offset + bytes >= row_bytes;
    const size_t size = kStripRows * bytes / (3 - kStreams) / 64 * 64;
    const size_t next = at_end ? kStreams * kStripRows * row_bytes : kStripRows * (offset + bytes);
    Ahead ahead;
    ahead.next[0] = strips[0] + next;
    ahead.next[1] = kStreams == 2 ? strips[1] + next : ahead.next[0] + size;
    ahead.end = ahead.next[0] + size;
    const size_t calls = groups * ((num_rows + kMaxKernelRows - 1) / kMaxKernelRows);
    ahead.lines = (size / 64 + calls - 1) / calls;
    return ahead;
  }

  const uint8_t* strips[2];
  size_t lanes[2];
  size_t row_bytes;
};

// y[first, first + kLanes) = sums, as far as y has `outputs` elements.
HWY_INLINE void StoreOutputs(const float* sums, size_t first, size_t outputs, float* y) {
  const DF df;
  if (first + kLanes <= outputs) {
    hn::StoreU(hn::Load(df, sums), df, y + first);
  } else {
    for (size_t i = first; i < outputs; ++i) y[i] = sums[i - first];
  }
}

template <TensorType kType, class Tile>
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
  std::memset(acc, 0, num_rows * kTile * sizeof(float));
  const size_t all_groups = terms.quantized->groups;
  for (size_t g0 = 0; g0 < all_groups; g0 += kChunkGroups) {
    const size_t groups = HWY_MIN(kChunkGroups, all_groups - g0);
    const size_t offset = g0 * kGroup / block.elements * block.bytes;
    const size_t bytes = groups * kGroup / block.elements * block.bytes;
    for (size_t v = 0; v < 2; ++v) {
      Packer<kType> packer{packed[v]};
      VisitGroups<kType>(tile.At(v, offset, bytes).InLanes(), groups, packer);
    }
    Ahead ahead = tile.AheadOf(offset, bytes, groups, num_rows);
    for (const QuantizedRows* x : {terms.quantized, terms.remainder}) {
      if (x) MultiplyRows<kKind>(packed, groups, *x, first_row * all_groups + g0, num_rows, acc, ahead);
    }
  }
  const size_t outputs = HWY_MIN(kTile, product.w.rows - first_output);
  for (size_t r = 0; r < num_rows; ++r) {
    float* y = product.y + (first_row + r) * product.y_stride + first_output;
    for (size_t v = 0; v < 2; ++v) StoreOutputs(acc + r * kTile + v * kLanes, v * kLanes, outputs, y);
  }
}

template <TensorType kType, class Tile>
HWY_INLINE void IntTile(const Product& product, size_t first_output, const Terms& terms, size_t num_rows,
                        uint8_t* buffer) {
  for (size_t row = 0; row < num_rows; row += kMaxTileRows) {
    IntTileRows<kType, Tile>(product, first_output, terms, row, HWY_MIN(kMaxTileRows, num_rows - row),
                             buffer);
  }
}

// largest[g] = max |x| of each of `count` groups, at most four; [kLanes] in size.
HWY_INLINE void LargestOfGroups(const float* HWY_RESTRICT x, size_t count, float* HWY_RESTRICT largest) {
  const DF df;
  VF v[4];
#pragma GCC unroll 4
  for (size_t g = 0; g < 4; ++g) {
    v[g] = hn::Zero(df);
    if (g >= count) continue;
#pragma GCC unroll 8
    for (size_t i = 0; i < kGroup; i += kLanes)
      v[g] = hn::Max(v[g], hn::Abs(hn::LoadU(df, x + g * kGroup + i)));
  }
  // Of each 128-bit block of the four, the lanes' largest, in the groups' order; then across blocks.
  const auto pairs = [&](VF a, VF b) HWY_ATTR {
    return hn::Max(hn::InterleaveLower(df, a, b), hn::InterleaveUpper(df, a, b));
  };
  VF all = pairs(pairs(v[0], v[2]), pairs(v[1], v[3]));
  if constexpr (kLanes > 8) all = hn::Max(all, hn::SwapAdjacentBlocks(all));
  if constexpr (kLanes > 4) all = hn::Max(all, hn::ReverseBlocks(df, all));
  hn::Store(all, df, largest);
}

// The sum of 16 codes.
HWY_INLINE int32_t SumOfCodes(const int8_t* codes) {
  const hn::Full128<uint8_t> d8;
  const auto raised = hn::Xor(hn::LoadU(d8, reinterpret_cast<const uint8_t*>(codes)), hn::Set(d8, 0x80));
  const auto sums = hn::SumsOf8(raised);
  return static_cast<int32_t>(hn::ExtractLane(sums, 0) + hn::ExtractLane(sums, 1)) - 16 * 128;
}

// Rounds x to one row of `out`. left: receives what rounding left; may be null.
HWY_INLINE void QuantizeRow(const float* HWY_RESTRICT x, size_t row, QuantizedRows& out, float* left) {
  const DF df;
  const DI di;
  const hn::Rebind<int8_t, DF> d8;
  const size_t end = (row + 1) * out.groups;
  HWY_ALIGN float largest[kLanes];
  for (size_t g = row * out.groups; g < end; ++g, x += kGroup) {
    const size_t in_four = (g - row * out.groups) % 4;
    if (in_four == 0) LargestOfGroups(x, HWY_MIN(4, end - g), largest);
    int8_t* codes = out.codes.data() + g * kGroup;
    const float max = largest[in_four];
    const float scale = max / 127.0f;
    const VF inverse = hn::Set(df, scale > 0.0f ? 127.0f / max : 0.0f);
#pragma GCC unroll 8
    for (size_t i = 0; i < kGroup; i += kLanes) {
      const VI code = hn::NearestInt(hn::Mul(hn::LoadU(df, x + i), inverse));
      // Keeps codes within the range that the products rely on, for any input.
      const VI bounded = hn::Max(hn::Min(code, hn::Set(di, 127)), hn::Set(di, -127));
      hn::StoreU(hn::DemoteTo(d8, bounded), d8, codes + i);
      if (left) {
        const VF rounded = hn::ConvertTo(df, bounded);
        hn::StoreU(hn::NegMulAdd(rounded, hn::Set(df, scale), hn::LoadU(df, x + i)), df, left + i);
      }
    }
    if (left) left += kGroup;
    out.half_sums[2 * g] = SumOfCodes(codes);
    out.half_sums[2 * g + 1] = SumOfCodes(codes + 16);
    out.code_sums[g] = out.half_sums[2 * g] + out.half_sums[2 * g + 1];
    out.scales[g] = scale;
    out.sums[g] = scale * static_cast<float>(out.code_sums[g]);
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace throng::model
HWY_AFTER_NAMESPACE();

#endif  // THRONG_MODEL_MATMUL_INT_INL_H_
