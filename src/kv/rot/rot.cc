#include "kv/rot/rot.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "base/check.h"
#include "base/half.h"
#include "base/rng.h"
#include "kv/int8/int8_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kv/rot/rot.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "kv/finite-inl.h"
#include "kv/rot/rot_mix-inl.h"
#include "kv/rot/rot_score-inl.h"

THRONG_BEFORE_NAMESPACE();
namespace throng::kv {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// factors: [d], applied before the transform; null: no transform.
void RotateRow(const float* row, const float* factors, int head_dim, float* out) {
  const hn::CappedTag<float, 8> df;
  for (size_t i = 0; i < static_cast<size_t>(head_dim); i += hn::Lanes(df)) {
    auto x = FiniteLanes(df, hn::LoadU(df, row + i));
    if (factors != nullptr) x = hn::Mul(x, hn::LoadU(df, factors + i));
    hn::StoreU(x, df, out + i);
  }
  if (factors == nullptr) return;
  HadamardBlocks(out, static_cast<size_t>(head_dim));
}

// Codes of a row for a half step and a midpoint, and their squared error. Products are not fused and lanes
// are four on every target, so that all targets choose the same step.
HWY_INLINE float QuantizeWith(const float* row, int head_dim, int levels, float half_step, float middle,
                              int32_t* codes) {
  const hn::CappedTag<float, 4> df;
  const hn::RebindToSigned<decltype(df)> di;
  const auto inverse = hn::Set(df, half_step > 0.0f ? 0.5f / half_step : 0.0f);
  const auto offset = hn::Set(df, 0.5f * static_cast<float>(levels));
  const auto top = hn::Set(df, static_cast<float>(levels));
  const auto step = hn::Set(df, half_step);
  const auto mid = hn::Set(df, middle);
  auto error = hn::Zero(df);
  for (size_t i = 0; i < static_cast<size_t>(head_dim); i += hn::Lanes(df)) {
    const auto x = hn::Sub(hn::LoadU(df, row + i), mid);
    const auto place = hn::Add(hn::Mul(x, inverse), offset);
    const auto code = hn::NearestInt(hn::Min(hn::Max(place, hn::Zero(df)), top));
    hn::StoreU(code, di, codes + i);
    const auto value = hn::Mul(hn::Sub(hn::ConvertTo(df, hn::Add(code, code)), top), step);
    const auto miss = hn::Sub(x, value);
    error = hn::Add(error, hn::Mul(miss, miss));
  }
  return hn::GetLane(hn::SumOfLanes(df, error));
}

// Chooses the share of the row's range that the codes cover; without clip, all of it.
void QuantizeToBits(const float* row, int head_dim, int bits, bool clip, uint8_t* codes, uint16_t* half_step,
                    uint16_t* middle) {
  constexpr float kShares[] = {1.0f, 0.92f, 0.84f, 0.76f, 0.68f, 0.6f, 0.52f};
  const int levels = (1 << bits) - 1;
  const auto [low, high] = std::minmax_element(row, row + head_dim);
  *middle = FloatToHalf(0.5f * (*low + *high));
  const float mid = HalfToFloat(*middle);
  const float reach = std::max(*high - mid, mid - *low);
  *half_step = FloatToHalf(reach / static_cast<float>(levels));
  int32_t found[2][kMaxHeadDim];
  float least = QuantizeWith(row, head_dim, levels, HalfToFloat(*half_step), mid, found[0]);
  int best = 0;
  for (size_t s = 1; clip && s < std::size(kShares); ++s) {
    const uint16_t bits16 = FloatToHalf(reach * kShares[s] / static_cast<float>(levels));
    const float error = QuantizeWith(row, head_dim, levels, HalfToFloat(bits16), mid, found[1 - best]);
    if (!(error < least)) continue;
    least = error;
    *half_step = bits16;
    best = 1 - best;
  }
  for (int i = 0; i < head_dim; ++i) codes[i] = static_cast<uint8_t>(found[best][i]);
}

}  // namespace HWY_NAMESPACE
}  // namespace throng::kv
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace throng::kv {
namespace {

HWY_EXPORT(ScoreRot);
HWY_EXPORT(MixRot);
HWY_EXPORT(RotateRow);
HWY_EXPORT(QuantizeToBits);

// The place of a code: `bits` bits at `shift` of the byte at `byte`, and a third bit elsewhere.
struct Place {
  size_t byte;
  int shift;
};

inline Place PlaceKey(int bits, int head_dim, int t, int i) {
  if (bits == 1) {
    const size_t plane = static_cast<size_t>(kPageTokens) * head_dim / 4;
    return {plane + static_cast<size_t>(i / 8) * kPageTokens + t, i % 8 / 2 + i % 2 * 4};
  }
  const int per_word = 16 / bits;
  const size_t word = static_cast<size_t>(i / per_word) * kPageTokens + t;
  return {2 * word + i % 2, i % per_word / 2 * bits};
}

inline Place PlaceValue(int bits, int head_dim, int t, int i) {
  const int per_word = 16 / bits;
  const size_t plane = bits == 1 ? static_cast<size_t>(kPageTokens) * head_dim / 4 : 0;
  const int pair = t / 2;
  const size_t word = (static_cast<size_t>(pair / per_word) * head_dim + i) * 2 + t % 2;
  const int shift = pair % per_word * bits;
  return {plane + 2 * word + shift / 8, shift % 8};
}

class Rot : public Codec {
 public:
  // rotated: false for int4.
  Rot(int bits, int head_dim, bool rotated) : bits_(bits), head_dim_(head_dim), rotated_(rotated) {
    THRONG_CHECK(bits >= 2 && bits <= 4);
    CounterRng signs(0x726f74);  // any constant will do, but it can never change: pages are kept on disk
    int rest = head_dim;
    int i = 0;
    for (int block = 1 << 16; rest > 0; block /= 2) {
      if ((rest & block) == 0) continue;
      for (int j = 0; j < block; ++j, ++i) {
        const double sign = signs.NextBelow(2) == 0 ? 1.0 : -1.0;
        forward_[i] = static_cast<float>(sign / std::sqrt(static_cast<double>(block) * head_dim));
        back_[i] = static_cast<float>(sign * std::sqrt(static_cast<double>(head_dim) / block));
      }
      rest -= block;
    }
  }

  std::string Name() const override { return (rotated_ ? "rot" : "int") + std::to_string(bits_); }
  ByteCounts Count(Part) const override {
    return {.codes = static_cast<size_t>(kPageTokens) * head_dim_ * bits_ / 8,
            .scales = 2 * kPageTokens * sizeof(uint16_t)};
  }

  void Encode(Part part, const float* block, uint8_t* encoded) const override {
    const size_t code_bytes = Count(part).codes;
    std::memset(encoded, 0, code_bytes);
    alignas(64) float rotated[kMaxHeadDim];
    uint8_t codes[kMaxHeadDim];
    uint16_t scales[2][kPageTokens];
    for (int t = 0; t < kPageTokens; ++t) {
      HWY_DYNAMIC_DISPATCH(RotateRow)(block + t * head_dim_, Factors(forward_), head_dim_, rotated);
      HWY_DYNAMIC_DISPATCH(QuantizeToBits)
      (rotated, head_dim_, bits_, rotated_, codes, &scales[0][t], &scales[1][t]);
      for (int i = 0; i < head_dim_; ++i) Put(part, t, i, codes[i], encoded);
    }
    std::memcpy(encoded + code_bytes, scales, sizeof(scales));
  }

  void Decode(Part part, const uint8_t* encoded, float* block) const override {
    uint16_t scales[2][kPageTokens];
    std::memcpy(scales, encoded + Count(part).codes, sizeof(scales));
    alignas(64) float ones[kMaxHeadDim];
    alignas(64) float rotated[kMaxHeadDim];
    std::fill(ones, ones + head_dim_, 1.0f);
    uint8_t codes[kMaxHeadDim];
    const int levels = (1 << bits_) - 1;
    for (int t = 0; t < kPageTokens; ++t) {
      float* row = block + static_cast<size_t>(t) * head_dim_;
      GetRow(part, t, encoded, codes);
      const float half_step = HalfToFloat(scales[0][t]), middle = HalfToFloat(scales[1][t]);
      for (int i = 0; i < head_dim_; ++i) {
        row[i] = static_cast<float>(2 * codes[i] - levels) * half_step + middle;
      }
      if (!rotated_) continue;
      HWY_DYNAMIC_DISPATCH(RotateRow)(row, ones, head_dim_, rotated);
      for (int i = 0; i < head_dim_; ++i) row[i] = rotated[i] * back_[i];
    }
  }

  size_t QueryBytes() const override { return IntegerQueryBytes(QueryForm::kCodesAndPairs, head_dim_); }
  void PrepareQuery(const float* query, void* prepared) const override {
    alignas(64) float rotated[kMaxHeadDim];
    int8_t pairs[2 * kMaxHeadDim];
    int8_t codes[kMaxHeadDim];
    HWY_DYNAMIC_DISPATCH(RotateRow)(query, Factors(back_), head_dim_, rotated);
    const float scale = QuantizeInt8(rotated, head_dim_, hwy::HighestValue<float>(), codes);
    for (int i = 0; i < head_dim_; i += 2) {  // each twice
      std::memcpy(pairs + 2 * i, codes + i, 2);
      std::memcpy(pairs + 2 * i + 2, codes + i, 2);
    }
    StoreIntegerQuery(codes, scale, pairs, head_dim_, prepared);
  }

  void Score(const uint8_t* keys, const void* prepared, int num_rows, float* scores) const override {
    HWY_DYNAMIC_DISPATCH(ScoreRot)(bits_, keys, prepared, head_dim_, num_rows, scores);
  }
  void Mix(const uint8_t* values, const float* probabilities, const float* rescale, int num_rows,
           float* out) const override {
    HWY_DYNAMIC_DISPATCH(MixRot)
    (bits_, values, probabilities, rescale, Factors(back_), head_dim_, num_rows, out);
  }

 private:
  // The low bits of 3-bit codes are stored like 2-bit codes, the third bits in a separate plane.
  int LowBits() const { return bits_ == 3 ? 2 : bits_; }
  Place Find(Part part, int bits, int t, int i) const {
    return part == Part::kKeys ? PlaceKey(bits, head_dim_, t, i) : PlaceValue(bits, head_dim_, t, i);
  }
  void Put(Part part, int t, int i, int code, uint8_t* encoded) const {
    const Place low = Find(part, LowBits(), t, i);
    encoded[low.byte] |= static_cast<uint8_t>((code & ((1 << LowBits()) - 1)) << low.shift);
    if (bits_ != 3) return;
    const Place high = Find(part, 1, t, i);
    encoded[high.byte] |= static_cast<uint8_t>((code >> 2) << high.shift);
  }
  void GetRow(Part part, int t, const uint8_t* encoded, uint8_t* codes) const {
    const auto add = [&](auto bits, int shift) {  // a constant, so that places take no divisions
      for (int i = 0; i < head_dim_; ++i) {
        const Place place = Find(part, bits(), t, i);
        const int code = encoded[place.byte] >> place.shift & ((1 << bits()) - 1);
        codes[i] = static_cast<uint8_t>(codes[i] | code << shift);
      }
    };
    std::fill(codes, codes + head_dim_, uint8_t{0});
    bits_ == 4 ? add(std::integral_constant<int, 4>(), 0) : add(std::integral_constant<int, 2>(), 0);
    if (bits_ == 3) add(std::integral_constant<int, 1>(), 2);
  }

  const float* Factors(const float* factors) const { return rotated_ ? factors : nullptr; }

  const int bits_;
  const int head_dim_;
  const bool rotated_;
  alignas(64) float forward_[kMaxHeadDim] = {};  // before the transform of keys and values
  alignas(64) float back_[kMaxHeadDim] =
      {};  // after the transform on the way back, and before the transform of queries
};

}  // namespace

std::shared_ptr<const Codec> MakeRot(int bits, int head_dim) {
  return std::make_shared<Rot>(bits, head_dim, /*rotated=*/true);
}
std::shared_ptr<const Codec> MakeInt4(int head_dim) {
  return std::make_shared<Rot>(4, head_dim, /*rotated=*/false);
}

}  // namespace throng::kv
#endif  // HWY_ONCE
