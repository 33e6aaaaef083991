#include "kv/fp8/fp8.h"

#include <vector>

#include "kv/finite.h"
#include "kv/float/e4m3.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kv/fp8/fp8.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// After foreach_target.h, which includes it once per target.
#include "kv/float/float_page-inl.h"

THRONG_BEFORE_NAMESPACE();
namespace throng::kv {
namespace HWY_NAMESPACE {

// The nearest numbers of E4M3, ties to even, a byte in each lane. x: at most kLargestE4m3 in size.
template <class DF>
HWY_INLINE hn::Vec<hn::RebindToUnsigned<DF>> ToE4m3(DF df, hn::Vec<DF> x) {
  const hn::RebindToUnsigned<DF> du;
  const auto size = hn::Abs(x);
  // Three bits of the mantissa stay, and a carry goes on into the exponent, whose offset is 120 less.
  const auto bits = hn::BitCast(du, size);
  const auto odd = hn::And(hn::ShiftRight<20>(bits), hn::Set(du, 1));
  const auto half = hn::Add(hn::Set(du, (1 << 19) - 1), odd);
  const auto normal = hn::Sub(hn::ShiftRight<20>(hn::Add(bits, half)), hn::Set(du, 120 << 3));
  // Below 2^-6 numbers are multiples of 2^-9, which are the last bits of numbers from 2^14 on.
  const auto magic = hn::Set(df, 0x1p14f);
  const auto subnormal = hn::Sub(hn::BitCast(du, hn::Add(size, magic)), hn::BitCast(du, magic));
  const auto is_subnormal = hn::RebindMask(du, hn::Lt(size, hn::Set(df, 0x1p-6f)));
  const auto sign = hn::ShiftLeft<7>(hn::ShiftRight<31>(hn::BitCast(du, x)));
  return hn::Or(hn::IfThenElse(is_subnormal, subnormal, normal), sign);
}

// row, page: a token's elements, and where the first of them goes; the others follow it `stride` bytes apart.
// Returns the token's scale.
float EncodeToken(const float* row, size_t head_dim, size_t stride, uint8_t* page) {
  const hn::CappedTag<float, 8> df;
  const hn::Rebind<uint8_t, decltype(df)> db;
  float finite[kMaxHeadDim];
  auto most = hn::Zero(df);
  for (size_t i = 0; i < head_dim; i += hn::Lanes(df)) {
    const auto x = FiniteLanes(df, hn::LoadU(df, row + i));
    most = hn::Max(most, hn::Abs(x));
    hn::StoreU(x, df, finite + i);
  }
  // In the decoded page, the largest element is itself.
  const float largest = hn::GetLane(hn::MaxOfLanes(df, most));
  const bool some = largest > kLeastScale;
  const auto inverse = hn::Set(df, some ? kLargestE4m3 / largest : 0.0f);
  const auto limit = hn::Set(df, kLargestE4m3);
  uint8_t encoded[kMaxHeadDim];
  uint8_t* to = stride == 1 ? page : encoded;
  for (size_t i = 0; i < head_dim; i += hn::Lanes(df)) {
    const auto x = hn::Mul(hn::LoadU(df, finite + i), inverse);
    const auto bits = ToE4m3(df, hn::Max(hn::Min(x, limit), hn::Neg(limit)));
    hn::StoreU(hn::DemoteTo(db, hn::BitCast(hn::RebindToSigned<hn::RebindToUnsigned<decltype(df)>>(), bits)),
               db, to + i);
  }
  if (stride != 1) {
    for (size_t i = 0; i < head_dim; ++i) page[i * stride] = encoded[i];
  }
  return some ? largest / kLargestE4m3 : 0.0f;
}

// rows[r, t] = from[r, t] * scales[t].
void ScaleTokens(const float* from, const float* scales, int num_rows, float* rows) {
  const hn::CappedTag<float, 16> df;
  for (int r = 0; r < num_rows; ++r) {
    for (size_t t = 0; t < kPageTokens; t += hn::Lanes(df)) {
      const size_t at = static_cast<size_t>(r) * kPageTokens + t;
      hn::StoreU(hn::Mul(hn::LoadU(df, from + at), hn::LoadU(df, scales + t)), df, rows + at);
    }
  }
}

void ScoreFp8(const E4m3* keys, const float* scales, const float* queries, size_t stride, int head_dim,
              int num_rows, float* scores) {
  ScoreFloat(keys, queries, stride, head_dim, num_rows, scores);
  ScaleTokens(scores, scales, num_rows, scores);
}

void MixFp8(const E4m3* values, const float* scales, const float* probabilities, const float* rescale,
            int head_dim, int num_rows, float* out) {
  constexpr int kRows = 16;
  HWY_ALIGN float weights[kRows * kPageTokens];
  for (int first = 0; first < num_rows; first += kRows) {
    const int rows = HWY_MIN(kRows, num_rows - first);
    ScaleTokens(probabilities + static_cast<size_t>(first) * kPageTokens, scales, rows, weights);
    MixFloat(values, weights, rescale + first, head_dim, rows, out + static_cast<size_t>(first) * head_dim);
  }
}

void MixKeysFp8(const E4m3* keys, const float* scales, const float* probabilities, const float* rescale,
                LatentDims dims, int num_rows, float* out) {
  // At most 65504 / 448 * 2^120, so the factors are finite, and exact.
  HWY_ALIGN float factors[kPageTokens];
  for (int t = 0; t < kPageTokens; ++t) factors[t] = scales[t] * kE4m3Factor;
  const auto load = [&factors](auto df, const E4m3* key, size_t t)
                        THRONG_INLINE_ATTR { return hn::Mul(LoadSmall(df, key), hn::Load(df, factors + t)); };
  MixKeysFloat(keys, load, probabilities, rescale, dims, num_rows, out);
}

void DecodeFp8(Part part, const E4m3* page, int head_dim, float* block) {
  DecodeFloat(part, page, head_dim, block);
}

}  // namespace HWY_NAMESPACE
}  // namespace throng::kv
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace throng::kv {
namespace {

HWY_EXPORT(EncodeToken);
HWY_EXPORT(ScoreFp8);
HWY_EXPORT(MixFp8);
HWY_EXPORT(MixKeysFp8);
HWY_EXPORT(DecodeFp8);

class Fp8 : public Codec {
 public:
  explicit Fp8(int head_dim) : head_dim_(head_dim) {}

  std::string Name() const override { return "fp8"; }
  ByteCounts Count(Part) const override {
    return {.codes = static_cast<size_t>(kPageTokens) * head_dim_, .scales = kPageTokens * sizeof(float)};
  }

  void Encode(Part part, const float* block, uint8_t* encoded) const override {
    auto* scales = reinterpret_cast<float*>(encoded + Count(part).codes);
    const auto d = static_cast<size_t>(head_dim_);
    const bool keys = part == Part::kKeys;
    for (size_t t = 0; t < kPageTokens; ++t) {
      scales[t] = HWY_DYNAMIC_DISPATCH(EncodeToken)(block + t * d, d, keys ? kPageTokens : 1,
                                                    encoded + (keys ? t : t * d));
    }
  }
  void Decode(Part part, const uint8_t* encoded, float* block) const override {
    HWY_DYNAMIC_DISPATCH(DecodeFp8)(part, Elements(encoded), head_dim_, block);
    const float* scales = Scales(part, encoded);
    for (int t = 0; t < kPageTokens; ++t) {
      for (int i = 0; i < head_dim_; ++i) *block++ *= scales[t];
    }
  }

  size_t QueryBytes() const override { return RoundUp64(head_dim_ * sizeof(float)); }
  void PrepareQuery(const float* query, void* prepared) const override {
    CopyFinite(query, head_dim_, static_cast<float*>(prepared));
  }
  void Score(const uint8_t* keys, const void* prepared, int num_rows, float* scores) const override {
    HWY_DYNAMIC_DISPATCH(ScoreFp8)
    (Elements(keys), Scales(Part::kKeys, keys), static_cast<const float*>(prepared),
     QueryBytes() / sizeof(float), head_dim_, num_rows, scores);
  }
  void Mix(const uint8_t* values, const float* probabilities, const float* rescale, int num_rows,
           float* out) const override {
    HWY_DYNAMIC_DISPATCH(MixFp8)
    (Elements(values), Scales(Part::kValues, values), probabilities, rescale, head_dim_, num_rows, out);
  }
  void MixKeys(const uint8_t* keys, const float* probabilities, const float* rescale, LatentDims dims,
               int num_rows, float* out) const override {
    HWY_DYNAMIC_DISPATCH(MixKeysFp8)
    (Elements(keys), Scales(Part::kKeys, keys), probabilities, rescale, dims, num_rows, out);
  }

 private:
  static const E4m3* Elements(const uint8_t* encoded) { return reinterpret_cast<const E4m3*>(encoded); }
  const float* Scales(Part part, const uint8_t* encoded) const {
    return reinterpret_cast<const float*>(encoded + Count(part).codes);
  }

  const int head_dim_;
};

}  // namespace

std::shared_ptr<const Codec> MakeFp8(int head_dim) { return std::make_shared<Fp8>(head_dim); }

}  // namespace throng::kv
#endif  // HWY_ONCE
