#include "kv/float/float.h"

#include <cstring>

#include "kv/finite.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kv/float/float.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// After foreach_target.h, which includes it once per target.
#include "kv/float/float_page-inl.h"

THRONG_BEFORE_NAMESPACE();
namespace throng::kv {
namespace HWY_NAMESPACE {

using hwy::float16_t;

void ScoreF16(const float16_t* keys, const float* queries, size_t stride, int head_dim, int num_rows,
              float* scores) {
  ScoreFloat(keys, queries, stride, head_dim, num_rows, scores);
}
void ScoreF32(const float* keys, const float* queries, size_t stride, int head_dim, int num_rows,
              float* scores) {
  ScoreFloat(keys, queries, stride, head_dim, num_rows, scores);
}

void MixF16(const float16_t* values, const float* probabilities, const float* rescale, int head_dim,
            int num_rows, float* out) {
  MixFloat(values, probabilities, rescale, head_dim, num_rows, out);
}
void MixF32(const float* values, const float* probabilities, const float* rescale, int head_dim, int num_rows,
            float* out) {
  MixFloat(values, probabilities, rescale, head_dim, num_rows, out);
}

void MixKeysF16(const float16_t* keys, const float* probabilities, const float* rescale, LatentDims dims,
                int num_rows, float* out) {
  MixKeysFloat(keys, probabilities, rescale, dims, num_rows, out);
}
void MixKeysF32(const float* keys, const float* probabilities, const float* rescale, LatentDims dims,
                int num_rows, float* out) {
  MixKeysFloat(keys, probabilities, rescale, dims, num_rows, out);
}

void MixRowsTarget(const float* values, size_t stride, const float* probabilities, const float* rescale,
                   int head_dim, int num_rows, float* out) {
  constexpr int kColumns = 64;  // of 64 rows, 16 KiB, which stay in the first cache for all rows of `out`
  for (int c = 0; c < head_dim; c += kColumns) {
    MixFloat(values + c, {stride, static_cast<size_t>(head_dim)}, probabilities, rescale,
             HWY_MIN(kColumns, head_dim - c), num_rows, out + c);
  }
}

void AppendF16(Part part, float16_t* page, int head_dim, int first, int count, const float* rows,
               size_t stride) {
  AppendFloat(part, page, head_dim, first, count, rows, stride);
}
void AppendF32(Part part, float* page, int head_dim, int first, int count, const float* rows, size_t stride) {
  AppendFloat(part, page, head_dim, first, count, rows, stride);
}

void DecodeF16(Part part, const float16_t* page, int head_dim, float* block) {
  DecodeFloat(part, page, head_dim, block);
}
void DecodeF32(Part part, const float* page, int head_dim, float* block) {
  DecodeFloat(part, page, head_dim, block);
}

}  // namespace HWY_NAMESPACE
}  // namespace throng::kv
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace throng::kv {
namespace {

HWY_EXPORT(ScoreF16);
HWY_EXPORT(ScoreF32);
HWY_EXPORT(MixF16);
HWY_EXPORT(MixF32);
HWY_EXPORT(MixKeysF16);
HWY_EXPORT(MixKeysF32);
HWY_EXPORT(MixRowsTarget);
HWY_EXPORT(AppendF16);
HWY_EXPORT(AppendF32);
HWY_EXPORT(DecodeF16);
HWY_EXPORT(DecodeF32);

struct Half {
  using Element = hwy::float16_t;
  static constexpr const char* kName = "f16";
  static constexpr OpenType kOpen = OpenType::kF16;
  static void Score(auto... arguments) { HWY_DYNAMIC_DISPATCH(ScoreF16)(arguments...); }
  static void Mix(auto... arguments) { HWY_DYNAMIC_DISPATCH(MixF16)(arguments...); }
  static void MixKeys(auto... arguments) { HWY_DYNAMIC_DISPATCH(MixKeysF16)(arguments...); }
  static void Append(auto... arguments) { HWY_DYNAMIC_DISPATCH(AppendF16)(arguments...); }
  static void Decode(auto... arguments) { HWY_DYNAMIC_DISPATCH(DecodeF16)(arguments...); }
};

struct Single {
  using Element = float;
  static constexpr const char* kName = "f32";
  static constexpr OpenType kOpen = OpenType::kF32;
  static void Score(auto... arguments) { HWY_DYNAMIC_DISPATCH(ScoreF32)(arguments...); }
  static void Mix(auto... arguments) { HWY_DYNAMIC_DISPATCH(MixF32)(arguments...); }
  static void MixKeys(auto... arguments) { HWY_DYNAMIC_DISPATCH(MixKeysF32)(arguments...); }
  static void Append(auto... arguments) { HWY_DYNAMIC_DISPATCH(AppendF32)(arguments...); }
  static void Decode(auto... arguments) { HWY_DYNAMIC_DISPATCH(DecodeF32)(arguments...); }
};

template <class Format>
class Float : public OpenCodec {
 public:
  explicit Float(int head_dim) : head_dim_(head_dim) {}

  std::string Name() const override { return Format::kName; }
  OpenType Open() const override { return Format::kOpen; }
  ByteCounts Count(Part) const override {
    return {.codes = static_cast<size_t>(kPageTokens) * head_dim_ * sizeof(Element)};
  }

  void Encode(Part part, const float* block, uint8_t* encoded) const override {
    Format::Append(part, reinterpret_cast<Element*>(encoded), head_dim_, 0, kPageTokens, block, head_dim_);
  }
  void Decode(Part part, const uint8_t* encoded, float* block) const override {
    Format::Decode(part, reinterpret_cast<const Element*>(encoded), head_dim_, block);
  }

  size_t QueryBytes() const override { return RoundUp64(head_dim_ * sizeof(float)); }
  void PrepareQuery(const float* query, void* prepared) const override {
    CopyFinite(query, head_dim_, static_cast<float*>(prepared));
  }

  void Score(const uint8_t* keys, const void* prepared, int num_rows, float* scores) const override {
    Format::Score(reinterpret_cast<const Element*>(keys), static_cast<const float*>(prepared),
                  QueryBytes() / sizeof(float), head_dim_, num_rows, scores);
  }
  void Mix(const uint8_t* values, const float* probabilities, const float* rescale, int num_rows,
           float* out) const override {
    Format::Mix(reinterpret_cast<const Element*>(values), probabilities, rescale, head_dim_, num_rows, out);
  }
  void MixKeys(const uint8_t* keys, const float* probabilities, const float* rescale, LatentDims dims,
               int num_rows, float* out) const override {
    Format::MixKeys(reinterpret_cast<const Element*>(keys), probabilities, rescale, dims, num_rows, out);
  }

  void Append(Part part, uint8_t* page, int first, int count, const float* rows,
              size_t stride) const override {
    if (first == 0 && count < kPageTokens) std::memset(page, 0, Bytes(part));
    Format::Append(part, reinterpret_cast<Element*>(page), head_dim_, first, count, rows, stride);
  }
  void Clear(Part part, uint8_t* page, int first) const override {
    const size_t rest = static_cast<size_t>(kPageTokens - first) * sizeof(Element);
    if (part == Part::kValues) {
      std::memset(page + static_cast<size_t>(first) * head_dim_ * sizeof(Element), 0, rest * head_dim_);
      return;
    }
    for (int i = 0; i < head_dim_; ++i)
      std::memset(page + (i * kPageTokens + first) * sizeof(Element), 0, rest);
  }

 private:
  using Element = typename Format::Element;
  const int head_dim_;
};

}  // namespace

void MixRowsOfF32(const float* values, size_t stride, const float* probabilities, const float* rescale,
                  int head_dim, int num_rows, float* out) {
  HWY_DYNAMIC_DISPATCH(MixRowsTarget)(values, stride, probabilities, rescale, head_dim, num_rows, out);
}

std::shared_ptr<const OpenCodec> MakeF16(int head_dim) { return std::make_shared<Float<Half>>(head_dim); }
std::shared_ptr<const OpenCodec> MakeF32(int head_dim) { return std::make_shared<Float<Single>>(head_dim); }

}  // namespace throng::kv
#endif  // HWY_ONCE
