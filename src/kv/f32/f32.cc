#include "kv/f32/f32.h"

#include <cstring>

#include "kv/finite.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kv/f32/f32.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "kv/float_page-inl.h"

HWY_BEFORE_NAMESPACE();
namespace throng::kv {
namespace HWY_NAMESPACE {

void ScoreF32(const uint8_t* keys, const float* queries, size_t stride, int head_dim, int num_rows,
              float* scores) {
  ScoreFloat(reinterpret_cast<const float*>(keys), queries, stride, head_dim, num_rows, scores);
}

void MixF32(const uint8_t* values, const float* probabilities, const float* rescale, int head_dim,
            int num_rows, float* out) {
  MixFloat(reinterpret_cast<const float*>(values), probabilities, rescale, head_dim, num_rows, out);
}

void AppendF32(Part part, uint8_t* page, int head_dim, int first, int count, const float* rows,
               size_t stride) {
  AppendFloat(part, reinterpret_cast<float*>(page), head_dim, first, count, rows, stride);
}

void DecodeF32(Part part, const uint8_t* page, int head_dim, float* block) {
  DecodeFloat(part, reinterpret_cast<const float*>(page), head_dim, block);
}

}  // namespace HWY_NAMESPACE
}  // namespace throng::kv
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace throng::kv {
namespace {

HWY_EXPORT(ScoreF32);
HWY_EXPORT(MixF32);
HWY_EXPORT(AppendF32);
HWY_EXPORT(DecodeF32);

class F32 : public OpenCodec {
 public:
  explicit F32(int head_dim) : head_dim_(head_dim) {}

  std::string Name() const override { return "f32"; }
  OpenType Open() const override { return OpenType::kF32; }
  ByteCounts Count(Part) const override {
    return {.codes = static_cast<size_t>(kPageTokens) * head_dim_ * sizeof(float)};
  }

  void Encode(Part part, const float* block, uint8_t* encoded) const override {
    HWY_DYNAMIC_DISPATCH(AppendF32)(part, encoded, head_dim_, 0, kPageTokens, block, head_dim_);
  }
  void Decode(Part part, const uint8_t* encoded, float* block) const override {
    HWY_DYNAMIC_DISPATCH(DecodeF32)(part, encoded, head_dim_, block);
  }

  size_t QueryBytes() const override { return (head_dim_ * sizeof(float) + 63) / 64 * 64; }
  void PrepareQuery(const float* query, void* prepared) const override {
    CopyFinite(query, head_dim_, static_cast<float*>(prepared));
  }

  void Score(const uint8_t* keys, const void* prepared, int num_rows, float* scores) const override {
    HWY_DYNAMIC_DISPATCH(ScoreF32)
    (keys, static_cast<const float*>(prepared), QueryBytes() / sizeof(float), head_dim_, num_rows, scores);
  }
  void Mix(const uint8_t* values, const float* probabilities, const float* rescale, int num_rows,
           float* out) const override {
    HWY_DYNAMIC_DISPATCH(MixF32)(values, probabilities, rescale, head_dim_, num_rows, out);
  }

  void Append(Part part, uint8_t* page, int first, int count, const float* rows,
              size_t stride) const override {
    if (first == 0 && count < kPageTokens) std::memset(page, 0, Bytes(part));
    HWY_DYNAMIC_DISPATCH(AppendF32)(part, page, head_dim_, first, count, rows, stride);
  }
  void Clear(Part part, uint8_t* page, int first) const override {
    const size_t rest = static_cast<size_t>(kPageTokens - first) * sizeof(float);
    if (part == Part::kValues) {
      std::memset(page + static_cast<size_t>(first) * head_dim_ * sizeof(float), 0, rest * head_dim_);
      return;
    }
    for (int i = 0; i < head_dim_; ++i)
      std::memset(page + (i * kPageTokens + first) * sizeof(float), 0, rest);
  }

 private:
  const int head_dim_;
};

}  // namespace

std::shared_ptr<const OpenCodec> MakeF32(int head_dim) { return std::make_shared<F32>(head_dim); }

}  // namespace throng::kv
#endif  // HWY_ONCE
