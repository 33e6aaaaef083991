#include "kv/int8/int8_open.h"

#include <algorithm>
#include <cstring>

#include "kv/finite.h"
#include "kv/int8/int8.h"
#include "kv/int8/int8_kernels.h"
#include "kv/integer_query.h"

namespace throng::kv {
namespace {

size_t NumCodes(int head_dim) { return static_cast<size_t>(kPageTokens) * head_dim; }

// Follows the codes in a page.
struct Scales {
  float rows[kPageTokens];
  float universal;
  float zeros[15];  // pads the page to a multiple of 64 bytes

  const float* Of(float (&same)[kPageTokens]) const {
    if (universal == 0.0f) return rows;
    std::fill(same, same + kPageTokens, universal);
    return same;
  }
};

class Int8Open : public OpenCodec {
 public:
  explicit Int8Open(int head_dim) : head_dim_(head_dim) {}

  std::string Name() const override { return "int8-buffer"; }
  OpenType Open() const override { return OpenType::kInt8; }
  ByteCounts Count(Part) const override { return {.codes = NumCodes(head_dim_), .scales = sizeof(Scales)}; }

  void Begin(Part, uint8_t* page, float scale) const override {
    At(page) = {};
    if (scale >= kLeastScale) At(page).universal = scale;
  }
  void Append(Part part, uint8_t* page, int first, int count, const float* rows,
              size_t stride) const override {
    Scales& scales = At(page);
    if (first == 0) Clear(part, page, 0);
    int8_t codes[kMaxHeadDim];
    for (int i = 0; i < count; ++i) {
      const float* row = rows + i * stride;
      scales.rows[first + i] = QuantizeInt8(row, head_dim_, kLargestElement, codes);
      if (scales.universal > 0.0f) {
        QuantizeInt8By(row, head_dim_, scales.universal, kUniversalRange, codes);
      }
      StoreInt8Row(part, codes, head_dim_, first + i, page);
    }
  }
  void Clear(Part part, uint8_t* page, int first) const override {
    const int8_t zeros[kMaxHeadDim] = {};
    for (int t = first; t < kPageTokens; ++t) {
      StoreInt8Row(part, zeros, head_dim_, t, page);
      At(page).rows[t] = 0.0f;
    }
  }

  void Encode(Part part, const float* block, uint8_t* encoded) const override {
    Begin(part, encoded, 0.0f);
    Append(part, encoded, 0, kPageTokens, block, head_dim_);
  }
  void Decode(Part part, const uint8_t* page, float* block) const override {
    float same[kPageTokens];
    DecodeInt8Rows(part, page, At(page).Of(same), head_dim_, block);
  }

  size_t QueryBytes() const override { return IntegerQueryBytes(QueryForm::kCodesAndPairs, head_dim_); }
  void PrepareQuery(const float* query, void* prepared) const override {
    PrepareInt8Query(query, head_dim_, prepared);
  }
  void Score(const uint8_t* keys, const void* prepared, int num_rows, float* scores) const override {
    float same[kPageTokens];
    ScoreInt8(keys, At(keys).Of(same), prepared, head_dim_, num_rows, scores);
  }
  void Mix(const uint8_t* values, const float* probabilities, const float* rescale, int num_rows,
           float* out) const override {
    float same[kPageTokens];
    MixInt8(values, At(values).Of(same), probabilities, rescale, head_dim_, num_rows, out);
  }
  void MixKeys(const uint8_t* keys, const float* probabilities, const float* rescale, LatentDims dims,
               int num_rows, float* out) const override {
    float same[kPageTokens];
    MixInt8Keys(keys, At(keys).Of(same), probabilities, rescale, dims.value, num_rows, out);
  }

 private:
  Scales& At(uint8_t* page) const { return *reinterpret_cast<Scales*>(page + NumCodes(head_dim_)); }
  const Scales& At(const uint8_t* page) const {
    return *reinterpret_cast<const Scales*>(page + NumCodes(head_dim_));
  }

  const int head_dim_;
};

}  // namespace

std::shared_ptr<const OpenCodec> MakeInt8Open(int head_dim) { return std::make_shared<Int8Open>(head_dim); }

void ReadInt8Open(Part part, const uint8_t* page, int head_dim, Int8OpenPage& to) {
  Scales scales;
  std::memcpy(&scales, page + NumCodes(head_dim), sizeof(scales));
  to.universal = scales.universal;
  to.wanted = *std::max_element(scales.rows, scales.rows + kPageTokens) *
              (127.0f / static_cast<float>(kUniversalRange));
  LoadInt8Rows(part, page, head_dim, to.codes);
}

}  // namespace throng::kv
