// Mixes of the codecs rot4, rot3 and rot2.
#if defined(THRONG_KV_ROT_ROT_MIX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef THRONG_KV_ROT_ROT_MIX_INL_H_
#undef THRONG_KV_ROT_ROT_MIX_INL_H_
#else
#define THRONG_KV_ROT_ROT_MIX_INL_H_
#endif

#include <type_traits>

#include "hwy/highway.h"
#include "kv/amx-inl.h"
#include "kv/codec.h"
#include "kv/integer_rows-inl.h"
#include "kv/rot/hadamard-inl.h"
#include "kv/rot/rot_score-inl.h"

THRONG_BEFORE_NAMESPACE();
namespace throng::kv {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The weights of one row, from the tokens' probabilities: weights[t] = round(p[t] h[t] / unit), 0..32767.
struct Weights {
  HWY_ALIGN int16_t weights[kPageTokens];
  int32_t sum;
  float unit;    // the largest p h / 32767
  float middle;  // sum of p[t] m[t]
};

HWY_NOINLINE void FillWeights(const float* probabilities, const uint8_t* scales, Weights& out) {
  const auto product = [&](auto df, size_t t) THRONG_ATTR {
    return hn::Mul(hn::LoadU(df, probabilities + t), LoadHalf(df, scales + 2 * t));
  };
  const WeightUnit found = QuantizeWeights(product, out.weights);
  out.unit = found.unit;
  out.sum = found.sum;
  const hn::CappedTag<float, 8> df;
  auto middle = hn::Zero(df);
  for (size_t t = 0; t < kPageTokens; t += hn::Lanes(df)) {
    const auto p = hn::LoadU(df, probabilities + t);
    middle = hn::MulAdd(p, LoadHalf(df, scales + 2 * (kPageTokens + t)), middle);
  }
  out.middle = hn::GetLane(hn::SumOfLanes(df, middle));
}

// sum + weights times the field kField of the words: codes of two tokens for each lane of 32 bits.
template <int kShift, int kMask, int kRows, int kVecs, class DU, class DI>
HWY_INLINE void AddField(DU du, DI di, const hn::Vec<DU>* words, const hn::Vec<DU>* top,
                         const Weights* weights, int pair, hn::Vec<DI> (&sum)[kRows][kVecs]) {
  const hn::RebindToSigned<DU> dw;
  hn::Vec<decltype(dw)> codes[kVecs];
  HWY_UNROLL(4)
  for (int v = 0; v < kVecs; ++v) {
    const auto field = hn::And(hn::ShiftRight<kShift>(words[v]), hn::Set(du, kMask));
    codes[v] = hn::BitCast(dw, hn::Or(field, top[v]));
  }
  HWY_UNROLL(4)
  for (int r = 0; r < kRows; ++r) {
    const auto w = hn::BitCast(dw, hn::Set(di, FourBytes(weights[r].weights + 2 * pair)));
    HWY_UNROLL(4)
    for (int v = 0; v < kVecs; ++v) sum[r][v] = AddPairs(di, w, codes[v], sum[r][v]);
  }
}

// Integer sums of the dimensions from c on, one per lane of 32 bits, over all tokens.
template <int kBits, int kRows, int kVecs, class DI>
HWY_INLINE void SumCodes(DI di, const uint8_t* values, int head_dim, size_t c, const Weights* weights,
                         hn::Vec<DI> (&sum)[kRows][kVecs]) {
  const hn::Repartition<uint16_t, DI> du;
  using VU = hn::Vec<decltype(du)>;
  const size_t N = hn::Lanes(di);
  const auto load = [&](size_t row, VU* to) THRONG_ATTR {
    HWY_UNROLL(4)
    for (int v = 0; v < kVecs; ++v) {
      to[v] = hn::LoadU(du, reinterpret_cast<const uint16_t*>(values) + row * 2 * head_dim + 2 * (c + v * N));
    }
  };
  VU w[kVecs], top[kVecs], bit[kVecs];
  HWY_UNROLL(4)
  for (int v = 0; v < kVecs; ++v) bit[v] = hn::Zero(du);
  if constexpr (kBits == 4) {
    for (int g = 0; g < 8; ++g) {
      load(g, w);
      AddField<0, 15, kRows, kVecs>(du, di, w, bit, weights, 4 * g, sum);
      AddField<4, 15, kRows, kVecs>(du, di, w, bit, weights, 4 * g + 1, sum);
      AddField<8, 15, kRows, kVecs>(du, di, w, bit, weights, 4 * g + 2, sum);
      AddField<12, 15, kRows, kVecs>(du, di, w, bit, weights, 4 * g + 3, sum);
    }
    return;
  }
  for (int g = 0; g < 4; ++g) {
    load(g, w);
    // The third bits of this group are the low or the high byte of their word.
    if constexpr (kBits == 3) {
      load(4 + g / 2, top);
      HWY_UNROLL(4)
      for (int v = 0; v < kVecs; ++v)
        top[v] = hn::ShiftLeft<2>(g % 2 == 1 ? hn::ShiftRight<8>(top[v]) : top[v]);
    }
    const auto add = [&](auto field) THRONG_ATTR {
      if constexpr (kBits == 3) {
        HWY_UNROLL(4)
        for (int v = 0; v < kVecs; ++v) {
          bit[v] = hn::And(top[v], hn::Set(du, 4));
          top[v] = hn::ShiftRight<1>(top[v]);
        }
      }
      AddField<2 * field(), 3, kRows, kVecs>(du, di, w, bit, weights, 8 * g + field(), sum);
    };
    add(std::integral_constant<int, 0>());
    add(std::integral_constant<int, 1>());
    add(std::integral_constant<int, 2>());
    add(std::integral_constant<int, 3>());
    add(std::integral_constant<int, 4>());
    add(std::integral_constant<int, 5>());
    add(std::integral_constant<int, 6>());
    add(std::integral_constant<int, 7>());
  }
}

// The sums of weights and codes as rotated elements of the output.
template <int kBits, class DI>
HWY_INLINE hn::Vec<hn::Rebind<float, DI>> Rotated(DI di, hn::Vec<DI> sum, const Weights& row) {
  const hn::Rebind<float, DI> df;
  const auto centred = hn::Sub(hn::Add(sum, sum), hn::Set(di, ((1 << kBits) - 1) * row.sum));
  return hn::Add(hn::Mul(hn::ConvertTo(df, centred), hn::Set(df, row.unit)), hn::Set(df, row.middle));
}

template <int kBits, int kRows, int kVecs, class DI>
HWY_INLINE void MixTile(DI di, const uint8_t* values, int head_dim, size_t c, const Weights* weights,
                        float (*rotated)[kMaxHeadDim]) {
  const hn::Rebind<float, DI> df;
  hn::Vec<DI> sum[kRows][kVecs];
  HWY_UNROLL(4)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(4)
    for (int v = 0; v < kVecs; ++v) sum[r][v] = hn::Zero(di);
  }
  SumCodes<kBits, kRows, kVecs>(di, values, head_dim, c, weights, sum);
  HWY_UNROLL(4)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(4)
    for (int v = 0; v < kVecs; ++v) {
      hn::StoreU(Rotated<kBits>(di, sum[r][v], weights[r]), df, rotated[r] + c + v * hn::Lanes(di));
    }
  }
}

// to = to * rescale + the row rotated back. back: as for MixTileRows; rotated: [d], used up.
HWY_INLINE void AddRotated(float* rotated, const float* back, float rescale, int head_dim, float* to) {
  const hn::CappedTag<float, 8> df;
  const size_t d = static_cast<size_t>(head_dim);
  if (back != nullptr) HadamardBlocks(rotated, d);
  const auto scale = hn::Set(df, rescale);
  for (size_t i = 0; i < d; i += hn::Lanes(df)) {
    auto added = hn::Load(df, rotated + i);
    if (back != nullptr) added = hn::Mul(added, hn::LoadU(df, back + i));
    hn::StoreU(hn::MulAdd(hn::LoadU(df, to + i), scale, added), df, to + i);
  }
}

// back: [d], the factor of each element after the transform; null: no transform.
template <int kBits, int kRows>
HWY_INLINE void MixTileRows(const uint8_t* values, const float* probabilities, const float* rescale,
                            const float* back, int head_dim, float* out) {
  const size_t d = static_cast<size_t>(head_dim);
  const uint8_t* scales = values + kPageTokens * d * kBits / 8;
  Weights weights[kRows];
  HWY_ALIGN float rotated[kRows][kMaxHeadDim];
  for (int r = 0; r < kRows; ++r) FillWeights(probabilities + r * kPageTokens, scales, weights[r]);
  constexpr int kVecs = hn::MaxLanes(hn::CappedTag<int32_t, 16>()) >= 16 ? 4 : 2;
  ForDimensions<kVecs, int32_t>(head_dim, [&](auto di, auto vecs, size_t c) THRONG_INLINE_ATTR {
    MixTile<kBits, kRows, vecs()>(di, values, head_dim, c, weights, rotated);
  });
  for (int r = 0; r < kRows; ++r) AddRotated(rotated[r], back, rescale[r], head_dim, out + r * d);
}

#if THRONG_VNNI

// Codes of tokens 2 pair and 2 pair + 1, in the 16-bit halves of the lanes of 16 dimensions from i on.
template <int kBits>
HWY_INLINE __m512i PairOfCodes(const uint8_t* values, int head_dim, int pair, int i) {
  const auto field = [&](int row, int shift, int mask) THRONG_ATTR {
    const __m512i words = _mm512_loadu_si512(values + (static_cast<size_t>(row) * head_dim + i) * 4);
    return _mm512_and_si512(_mm512_srl_epi16(words, _mm_cvtsi32_si128(shift)), _mm512_set1_epi16(mask));
  };
  if constexpr (kBits == 4) return field(pair / 4, pair % 4 * 4, 15);
  const __m512i low = field(pair / 8, pair % 8 * 2, 3);
  if constexpr (kBits == 2) return low;
  return _mm512_or_si512(low, _mm512_slli_epi16(field(4 + pair / 16, pair % 16, 1), 2));
}

// A page's codes as bytes, [16, d, 4].
template <int kBits>
HWY_INLINE void UnpackValues(const uint8_t* values, int head_dim, PageBytes& page) {
  // Bytes of tokens 0 2 1 3, put in order.
  const __m512i order = _mm512_set4_epi32(0x0f0d0e0c, 0x0b090a08, 0x07050604, 0x03010200);
  uint8_t* to = page.bytes;
  for (int quad = 0; quad < kPageTokens / 4; ++quad) {
    for (int i = 0; i < head_dim; i += 16, to += 64) {
      const __m512i first = PairOfCodes<kBits>(values, head_dim, 2 * quad, i);
      const __m512i second = PairOfCodes<kBits>(values, head_dim, 2 * quad + 1, i);
      const __m512i both = _mm512_or_si512(first, _mm512_slli_epi16(second, 8));
      _mm512_store_si512(to, _mm512_shuffle_epi8(both, order));
    }
  }
}

template <int kBits>
HWY_INLINE void MixByAmx(const uint8_t* values, const float* probabilities, const float* rescale,
                         const float* back, int head_dim, int num_rows, float* out) {
  const hn::ScalableTag<int32_t> di;
  const hn::ScalableTag<float> df;
  const size_t d = static_cast<size_t>(head_dim);
  const uint8_t* scales = values + kPageTokens * d * kBits / 8;
  const TileScope scope;
  PageBytes page;
  UnpackValues<kBits>(values, head_dim, page);
  Weights rows[kPanelRows];
  PanelWeights weights;
  PanelSums sums;
  HWY_ALIGN float rotated[kPanelRows * kMaxHeadDim];
  for (int first = 0; first < num_rows; first += kPanelRows) {
    const int count = HWY_MIN(kPanelRows, num_rows - first);
    for (int r = 0; r < count; ++r) {
      FillWeights(probabilities + (first + r) * kPageTokens, scales, rows[r]);
      weights.Set(r, rows[r].weights);
    }
    for (int c = 0; c < head_dim; c += kPanelColumns) {
      sums.Multiply(weights, count, page.bytes + 4 * c, head_dim);
      for (int r = 0; r < count; ++r) {
        HWY_UNROLL(4)
        for (int v = 0; v < kPanelColumns; v += 16) {
          hn::Store(Rotated<kBits>(di, sums.Load(di, r, v), rows[r]), df, rotated + r * d + c + v);
        }
      }
    }
    for (int r = 0; r < count; ++r) {
      AddRotated(rotated + r * d, back, rescale[first + r], head_dim, out + (first + r) * d);
    }
  }
}

#endif  // THRONG_VNNI

template <int kBits>
HWY_INLINE void MixRows(const uint8_t* values, const float* probabilities, const float* rescale,
                        const float* back, int head_dim, int num_rows, float* out) {
#if THRONG_VNNI
  if (UsesAmx(head_dim, num_rows)) {
    return MixByAmx<kBits>(values, probabilities, rescale, back, head_dim, num_rows, out);
  }
#endif
  ForRows(num_rows, [&](auto rows, int r) THRONG_INLINE_ATTR {
    MixTileRows<kBits, rows()>(values, probabilities + r * kPageTokens, rescale + r, back, head_dim,
                               out + r * head_dim);
  });
}

void MixRot(int bits, const uint8_t* values, const float* probabilities, const float* rescale,
            const float* back, int head_dim, int num_rows, float* out) {
  const auto rows = bits == 4 ? MixRows<4> : bits == 3 ? MixRows<3> : MixRows<2>;
  rows(values, probabilities, rescale, back, head_dim, num_rows, out);
}

}  // namespace HWY_NAMESPACE
}  // namespace throng::kv
HWY_AFTER_NAMESPACE();

#endif  // THRONG_KV_ROT_ROT_MIX_INL_H_
