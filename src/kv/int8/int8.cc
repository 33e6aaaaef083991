#include "kv/int8/int8.h"

#include <cstring>

#include "kv/finite.h"
#include "kv/int8/int8_kernels.h"
#include "kv/integer_query.h"

namespace throng::kv {
namespace {

size_t PlaceOf(Part part, int head_dim, int t, int i) {
  if (part == Part::kKeys) return (static_cast<size_t>(i / 4) * kPageTokens + t) * 4 + i % 4;
  return (static_cast<size_t>(t / 2) * head_dim + i) * 2 + t % 2;
}

class Int8 : public Codec {
 public:
  explicit Int8(int head_dim) : head_dim_(head_dim) {}

  std::string Name() const override { return "int8"; }
  ByteCounts Count(Part) const override {
    return {.codes = static_cast<size_t>(kPageTokens) * head_dim_, .scales = kPageTokens * sizeof(float)};
  }

  void Encode(Part part, const float* block, uint8_t* encoded) const override {
    auto* scales = reinterpret_cast<float*>(encoded + Count(part).codes);
    int8_t codes[kMaxHeadDim];
    for (int t = 0; t < kPageTokens; ++t) {
      scales[t] = QuantizeInt8(block + static_cast<size_t>(t) * head_dim_, head_dim_, kLargestElement, codes);
      StoreInt8Row(part, codes, head_dim_, t, encoded);
    }
  }
  void Decode(Part part, const uint8_t* encoded, float* block) const override {
    DecodeInt8Rows(part, encoded, Scales(part, encoded), head_dim_, block);
  }

  size_t QueryBytes() const override { return IntegerQueryBytes(QueryForm::kCodesAndPairs, head_dim_); }
  void PrepareQuery(const float* query, void* prepared) const override {
    PrepareInt8Query(query, head_dim_, prepared);
  }
  void Score(const uint8_t* keys, const void* prepared, int num_rows, float* scores) const override {
    ScoreInt8(keys, Scales(Part::kKeys, keys), prepared, head_dim_, num_rows, scores);
  }
  void Mix(const uint8_t* values, const float* probabilities, const float* rescale, int num_rows,
           float* out) const override {
    MixInt8(values, Scales(Part::kValues, values), probabilities, rescale, head_dim_, num_rows, out);
  }
  void MixKeys(const uint8_t* keys, const float* probabilities, const float* rescale, LatentDims dims,
               int num_rows, float* out) const override {
    MixInt8Keys(keys, Scales(Part::kKeys, keys), probabilities, rescale, dims.value, num_rows, out);
  }

 private:
  const float* Scales(Part part, const uint8_t* encoded) const {
    return reinterpret_cast<const float*>(encoded + Count(part).codes);
  }

  const int head_dim_;
};

}  // namespace

void StoreInt8Row(Part part, const int8_t* codes, int head_dim, int t, uint8_t* page) {
  if (part == Part::kValues) {
    uint8_t* to = page + PlaceOf(part, head_dim, t, 0);
    for (int i = 0; i < head_dim; ++i) to[2 * i] = static_cast<uint8_t>(codes[i]);
    return;
  }
  // 4 bytes at once; flipping the top bit adds 128.
  for (int i = 0; i < head_dim; i += 4) {
    uint32_t four;
    std::memcpy(&four, codes + i, sizeof(four));
    four ^= 0x80808080u;
    std::memcpy(page + PlaceOf(part, head_dim, t, i), &four, sizeof(four));
  }
}

void LoadInt8Rows(Part part, const uint8_t* page, int head_dim, int8_t* codes) {
  const auto d = static_cast<size_t>(head_dim);
  if (part == Part::kValues) {
    for (int t = 0; t < kPageTokens; ++t) {
      const uint8_t* from = page + PlaceOf(part, head_dim, t, 0);
      for (size_t i = 0; i < d; ++i) codes[t * d + i] = static_cast<int8_t>(from[2 * i]);
    }
    return;
  }
  for (size_t i = 0; i < d; i += 4) {
    for (size_t t = 0; t < kPageTokens; ++t) {
      uint32_t four;
      std::memcpy(&four, page + i * kPageTokens + 4 * t, sizeof(four));
      four ^= 0x80808080u;
      std::memcpy(codes + t * d + i, &four, sizeof(four));
    }
  }
}

void DecodeInt8Rows(Part part, const uint8_t* page, const float* scales, int head_dim, float* block) {
  int8_t codes[kPageTokens * kMaxHeadDim];
  LoadInt8Rows(part, page, head_dim, codes);
  const int8_t* from = codes;
  for (int t = 0; t < kPageTokens; ++t) {
    for (int i = 0; i < head_dim; ++i) *block++ = static_cast<float>(*from++) * scales[t];
  }
}

void PrepareInt8Query(const float* query, int head_dim, void* prepared) {
  int8_t codes[kMaxHeadDim];
  int16_t wide[kMaxHeadDim];
  const float scale = QuantizeInt8(query, head_dim, kLargestElement, codes);
  for (int i = 0; i < head_dim; ++i) wide[i] = codes[i];
  StoreIntegerQuery(codes, scale, wide, head_dim, prepared);
}

std::shared_ptr<const Codec> MakeInt8(int head_dim) { return std::make_shared<Int8>(head_dim); }

}  // namespace throng::kv
