#include "kv/flashq/flashq.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "base/text/key_values.h"
#include "kv/int8/int8_open.h"
#include "kv/integer_query.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kv/flashq/flashq.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// After foreach_target.h, which includes it once per target.
#include "kv/flashq/flashq-inl.h"
#include "kv/flashq/flashq_latent-inl.h"

#if HWY_ONCE
namespace throng::kv {
namespace {

HWY_EXPORT(ScoreFlashq4);
HWY_EXPORT(ScoreFlashq2);
HWY_EXPORT(MixFlashq4);
HWY_EXPORT(MixFlashq2);
HWY_EXPORT(MixKeysFlashq4);
HWY_EXPORT(MixKeysFlashq2);
HWY_EXPORT(QuantizeStageOne);

constexpr int kRange = kUniversalRange;
constexpr int kQueryRange = 127;

class Flashq : public Codec {
 public:
  Flashq(int bits, OpenType buffer, int head_dim) : bits_(bits), buffer_(buffer), head_dim_(head_dim) {}

  std::string Name() const override {
    return "flashq" + std::to_string(bits_) + (buffer_ == OpenType::kInt8 ? ":buffer=int8" : "");
  }
  OpenType Open() const override { return buffer_; }
  ByteCounts Count(Part) const override {
    const size_t d = static_cast<size_t>(head_dim_);
    const size_t mean = buffer_ == OpenType::kInt8 ? sizeof(float) : 0;
    return {.codes = kPageTokens * d * bits_ / 8, .scales = 2 * d + sizeof(float) + mean};
  }

  void Encode(Part part, const float* block, uint8_t* encoded) const override {
    int8_t codes[kPageTokens * kMaxHeadDim];
    const size_t count = static_cast<size_t>(kPageTokens) * head_dim_;
    const float scale = HWY_DYNAMIC_DISPATCH(QuantizeStageOne)(block, count, kRange, codes);
    EncodeStageTwo(part, codes, scale, encoded);
    if (buffer_ == OpenType::kInt8) SetNextScale(part, scale, encoded);
  }

  void Seal(Part part, const OpenCodec& open, const uint8_t* rows, const PagesBefore& before,
            uint8_t* encoded) const override {
    if (buffer_ != OpenType::kInt8) return Codec::Seal(part, open, rows, before, encoded);
    Int8OpenPage page;
    ReadInt8Open(part, rows, head_dim_, page);
    if (page.universal == 0.0f || before.last == nullptr) {
      Codec::Seal(part, open, rows, before, encoded);
      SetNextScale(part, page.wanted, encoded);
      return;
    }
    EncodeStageTwo(part, page.codes, page.universal, encoded);
    const float mean = NextScale(part, before.last);
    SetNextScale(part, mean + (page.wanted - mean) / static_cast<float>(before.count + 1), encoded);
  }
  float NextScale(Part part, const uint8_t* encoded) const override {
    if (buffer_ != OpenType::kInt8) return 0.0f;
    float mean;
    std::memcpy(&mean, encoded + Bytes(part) - sizeof(mean), sizeof(mean));
    return mean;
  }

  // Scales that are not finite would make all scores of a page NaN.
  bool Accepts(Part part, const uint8_t* encoded) const override {
    float scale;
    std::memcpy(&scale, encoded + Count(part).codes + 2 * static_cast<size_t>(head_dim_), sizeof(scale));
    return std::isfinite(scale) && std::isfinite(NextScale(part, encoded));
  }

  void Decode(Part part, const uint8_t* encoded, float* block) const override {
    const size_t d = static_cast<size_t>(head_dim_);
    const uint8_t* scales = encoded + Count(part).codes;
    float scale;
    std::memcpy(&scale, scales + 2 * d, sizeof(scale));
    for (int t = 0; t < kPageTokens; ++t) {
      for (int c = 0; c < head_dim_; ++c) {
        const Place at = Find(part, t, c);
        const int code = encoded[at.byte] >> at.shift & ((1 << bits_) - 1);
        const int rebuilt = code * scales[c] + static_cast<int8_t>(scales[d + c]);
        block[t * d + c] = scale * static_cast<float>(rebuilt);
      }
    }
  }

  size_t QueryBytes() const override { return IntegerQueryBytes(QueryForm::kCodes, head_dim_); }
  void PrepareQuery(const float* query, void* prepared) const override {
    int8_t codes[kMaxHeadDim];
    const float scale = HWY_DYNAMIC_DISPATCH(QuantizeStageOne)(query, head_dim_, kQueryRange, codes);
    StoreIntegerQuery(codes, scale, nullptr, head_dim_, prepared);
  }

  void Score(const uint8_t* keys, const void* prepared, int num_rows, float* scores) const override {
    if (bits_ == 4) {
      HWY_DYNAMIC_DISPATCH(ScoreFlashq4)(keys, prepared, head_dim_, num_rows, scores);
    } else {
      HWY_DYNAMIC_DISPATCH(ScoreFlashq2)(keys, prepared, head_dim_, num_rows, scores);
    }
  }
  void Mix(const uint8_t* values, const float* probabilities, const float* rescale, int num_rows,
           float* out) const override {
    if (bits_ == 4) {
      HWY_DYNAMIC_DISPATCH(MixFlashq4)(values, probabilities, rescale, head_dim_, num_rows, out);
    } else {
      HWY_DYNAMIC_DISPATCH(MixFlashq2)(values, probabilities, rescale, head_dim_, num_rows, out);
    }
  }
  void MixKeys(const uint8_t* keys, const float* probabilities, const float* rescale, LatentDims dims,
               int num_rows, float* out) const override {
    if (bits_ == 4) {
      HWY_DYNAMIC_DISPATCH(MixKeysFlashq4)(keys, probabilities, rescale, dims, num_rows, out);
    } else {
      HWY_DYNAMIC_DISPATCH(MixKeysFlashq2)(keys, probabilities, rescale, dims, num_rows, out);
    }
  }

 private:
  struct Place {
    size_t byte;
    int shift;
  };

  Place Find(Part part, int t, int c) const {
    if (part == Part::kValues) {
      const int per_byte = 8 / bits_;
      const int quad = t / 4;
      return {(static_cast<size_t>(quad / per_byte) * head_dim_ + c) * 4 + t % 4, quad % per_byte * bits_};
    }
    const int high_channel = c / 4 % 2;
    if (bits_ == 4) return {(static_cast<size_t>(c / 8) * kPageTokens + t) * 4 + c % 4, high_channel * 4};
    const int half = kPageTokens / 2;
    return {(static_cast<size_t>(c / 8) * half + t % half) * 4 + c % 4, t / half * 4 + high_channel * 2};
  }

  void SetNextScale(Part part, float mean, uint8_t* encoded) const {
    std::memcpy(encoded + Bytes(part) - sizeof(mean), &mean, sizeof(mean));
  }

  // codes: [64, d].
  void EncodeStageTwo(Part part, const int8_t* codes, float scale, uint8_t* encoded) const {
    uint8_t* scales = encoded + Count(part).codes;
    std::memset(encoded, 0, Count(part).codes);
    for (int c = 0; c < head_dim_; ++c) EncodeChannel(part, codes + c, c, encoded, scales);
    std::memcpy(scales + 2 * static_cast<size_t>(head_dim_), &scale, sizeof(scale));
  }

  // codes: the first token's; a channel's codes are head_dim_ apart.
  void EncodeChannel(Part part, const int8_t* codes, int c, uint8_t* encoded, uint8_t* scales) const {
    int low = codes[0];
    int high = codes[0];
    for (int t = 1; t < kPageTokens; ++t) {
      low = std::min<int>(low, codes[t * head_dim_]);
      high = std::max<int>(high, codes[t * head_dim_]);
    }
    const int levels = (1 << bits_) - 1;
    const int scale = std::max(1, (high - low + levels - 1) / levels);
    // Quotients of such small integers are ties exactly where they should be.
    const auto steps = [scale](int difference) {
      return static_cast<int>(std::rint(static_cast<float>(difference) / static_cast<float>(scale)));
    };
    int zero = low;
    if (part == Part::kValues) {
      const int of_first = codes[0] - scale * steps(codes[0] - low);
      if (of_first >= std::numeric_limits<int8_t>::min()) zero = of_first;
    }
    scales[c] = static_cast<uint8_t>(scale);
    scales[head_dim_ + c] = static_cast<uint8_t>(zero);
    for (int t = 0; t < kPageTokens; ++t) {
      const int code = std::clamp(steps(codes[t * head_dim_] - zero), 0, levels);
      const Place at = Find(part, t, c);
      encoded[at.byte] |= static_cast<uint8_t>(code << at.shift);
    }
  }

  const int bits_;
  const OpenType buffer_;
  const int head_dim_;
};

}  // namespace

OpenType FlashqBuffer(KeyValues& parameters) {
  return parameters.Choice("buffer", {"f16", "int8"}) == 1 ? OpenType::kInt8 : OpenType::kF16;
}

std::shared_ptr<const Codec> MakeFlashq(int bits, OpenType buffer, int head_dim) {
  return std::make_shared<Flashq>(bits, buffer, head_dim);
}

}  // namespace throng::kv
#endif  // HWY_ONCE
