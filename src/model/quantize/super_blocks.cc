#include "model/quantize/super_blocks.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <span>

#include "base/half.h"
#include "model/quantize/fit.h"

namespace throng::model {
namespace {

constexpr size_t kElements = 256;
constexpr int kRounds = 2;  // of choosing codes and then the block's scale again

using Part = std::span<const float>;

float AsHalf(float value) { return HalfToFloat(FloatToHalf(value)); }
void StoreHalf(float value, uint8_t* to) {
  const uint16_t bits = FloatToHalf(value);
  std::memcpy(to, &bits, sizeof bits);
}

// Formats without minimums: x is near d * scale * code.
template <size_t kParts, typename Codes>
class ScaledBlock {
 public:
  static constexpr size_t kPart = kElements / kParts;

  // scales: the best for each part by itself, any sign; a part's is stored as a number from least to most.
  ScaledBlock(const float* x, Codes codes, const std::array<float, kParts>& scales, int least, int most)
      : x_(x), codes_(codes), least_(least), most_(most) {
    const float largest = *std::ranges::max_element(scales, {}, [](float s) { return std::abs(s); });
    Choose(AsHalf(largest / static_cast<float>(least)), scales);
    for (int round = 0; round < kRounds && d_ != 0.0f; ++round) Improve(scales);
  }

  float D() const { return d_; }
  int Scale(size_t part) const { return scales_[part]; }
  float InverseOf(size_t part) const { return Inverse(d_ * static_cast<float>(scales_[part])); }

 private:
  Part PartOf(size_t part) const { return Part(x_ + part * kPart, kPart); }

  float Error(size_t part, float d, int number) const {
    const float scale = d * static_cast<float>(number);
    const float inverse = Inverse(scale);
    float error = 0.0f;
    for (const float x : PartOf(part)) {
      const float difference = x - scale * codes_(x * inverse);
      error += difference * difference;
    }
    return error;
  }

  // The best numbers for d, near those that give the parts' own scales. Keeps them if they are better.
  void Choose(float d, const std::array<float, kParts>& scales) {
    std::array<int, kParts> numbers{};
    float total = 0.0f;
    for (size_t part = 0; part < kParts; ++part) {
      const auto near = d != 0.0f
                            ? static_cast<int>(std::lround(std::clamp(
                                  scales[part] / d, static_cast<float>(least_), static_cast<float>(most_))))
                            : 0;
      float best = std::numeric_limits<float>::infinity();
      for (int number = std::max(near - 1, least_); number <= std::min(near + 1, most_); ++number) {
        const float error = Error(part, d, number);
        if (!(error < best)) continue;
        best = error;
        numbers[part] = number;
      }
      total += best;
    }
    if (!(total < error_)) return;
    error_ = total;
    d_ = d;
    scales_ = numbers;
  }

  // The d that is best for the codes there are.
  void Improve(const std::array<float, kParts>& scales) {
    float along = 0.0f, square = 0.0f;
    for (size_t part = 0; part < kParts; ++part) {
      const float inverse = InverseOf(part);
      for (const float x : PartOf(part)) {
        const float code = static_cast<float>(scales_[part]) * codes_(x * inverse);
        along += x * code;
        square += code * code;
      }
    }
    if (square > 0.0f) Choose(AsHalf(along / square), scales);
  }

  const float* x_;
  const Codes codes_;
  const int least_, most_;
  float d_ = 0.0f;
  float error_ = std::numeric_limits<float>::infinity();
  std::array<int, kParts> scales_{};
};

// x is near d * scale * code - dmin * min, with eight parts, 6-bit scales and minimums and codes of 4 bits.
class Q4KBlock {
 public:
  static constexpr size_t kParts = 8, kPart = 32;
  static constexpr float kMostScale = 63.0f, kMostCode = 15.0f;

  explicit Q4KBlock(const float* x) : x_(x) {
    float scale = 0.0f, min = 0.0f;
    for (size_t part = 0; part < kParts; ++part) {
      fits_[part] = FitScaleAndMin(PartOf(part), static_cast<int>(kMostCode));
      scale = std::max(scale, fits_[part].scale);
      min = std::max(min, fits_[part].min);
    }
    Choose(AsHalf(scale / kMostScale), AsHalf(min / kMostScale));
    for (int round = 0; round < kRounds; ++round) Improve();
  }

  void Store(uint8_t* block) const {
    StoreHalf(d_, block);
    StoreHalf(dmin_, block + 2);
    uint8_t* packed = block + 4;
    std::fill_n(packed, 12, uint8_t{0});
    for (size_t i = 0; i < kParts; ++i) {
      const auto [scale, min] = numbers_[i];
      if (i < 4) {
        packed[i] |= scale;
        packed[i + 4] |= min;
      } else {
        packed[i + 4] |= static_cast<uint8_t>((scale & 15) | (min & 15) << 4);
        packed[i - 4] |= static_cast<uint8_t>((scale >> 4) << 6);
        packed[i] |= static_cast<uint8_t>((min >> 4) << 6);
      }
    }
    for (size_t i = 0; i < kElements / 2; ++i) {
      const size_t part = i / kPart * 2;
      const uint8_t low = CodeAt(part, i % kPart), high = CodeAt(part + 1, i % kPart);
      block[16 + i] = static_cast<uint8_t>(low | high << 4);
    }
  }

 private:
  struct Numbers {
    uint8_t scale, min;
  };

  Part PartOf(size_t part) const { return Part(x_ + part * kPart, kPart); }
  static float Code(float x, float inverse, float min) {
    return std::clamp(Nearest((x + min) * inverse), 0.0f, kMostCode);
  }

  uint8_t CodeAt(size_t part, size_t i) const {
    const float inverse = Inverse(d_ * static_cast<float>(numbers_[part].scale));
    return static_cast<uint8_t>(
        Code(PartOf(part)[i], inverse, dmin_ * static_cast<float>(numbers_[part].min)));
  }

  float Error(size_t part, float scale, float min) const {
    const float inverse = Inverse(scale);
    float error = 0.0f;
    for (const float x : PartOf(part)) {
      const float difference = x - (scale * Code(x, inverse, min) - min);
      error += difference * difference;
    }
    return error;
  }

  // The best numbers for d and dmin near those of the parts' own fits. Keeps them if they are better.
  void Choose(float d, float dmin) {
    std::array<Numbers, kParts> numbers{};
    float total = 0.0f;
    for (size_t part = 0; part < kParts; ++part) {
      const auto near = [](float value, float unit) {
        return unit != 0.0f ? std::clamp(Nearest(std::min(value / unit, kMostScale)), 0.0f, kMostScale)
                            : 0.0f;
      };
      const float near_scale = near(fits_[part].scale, d), near_min = near(fits_[part].min, dmin);
      float best = std::numeric_limits<float>::infinity();
      for (float scale = std::max(near_scale - 1, 0.0f); scale <= std::min(near_scale + 1, kMostScale);
           ++scale) {
        for (float min = std::max(near_min - 1, 0.0f); min <= std::min(near_min + 1, kMostScale); ++min) {
          const float error = Error(part, d * scale, dmin * min);
          if (!(error < best)) continue;
          best = error;
          numbers[part] = {static_cast<uint8_t>(scale), static_cast<uint8_t>(min)};
        }
      }
      total += best;
    }
    if (!(total < error_)) return;
    error_ = total;
    d_ = d;
    dmin_ = dmin;
    numbers_ = numbers;
  }

  // The d and dmin that are best for the codes there are: least squares in two unknowns.
  void Improve() {
    double aa = 0, ab = 0, bb = 0, ax = 0, bx = 0;  // a: scale * code; b: -min
    for (size_t part = 0; part < kParts; ++part) {
      const float scale = numbers_[part].scale, min = numbers_[part].min;
      const float inverse = Inverse(d_ * scale);
      for (const float x : PartOf(part)) {
        const double a = static_cast<double>(scale * Code(x, inverse, dmin_ * min));
        const double b = static_cast<double>(-min);
        aa += a * a, ab += a * b, bb += b * b;
        ax += a * static_cast<double>(x), bx += b * static_cast<double>(x);
      }
    }
    const double determinant = aa * bb - ab * ab;
    if (!(determinant > 0)) {  // no minimums
      if (aa > 0) Choose(AsHalf(static_cast<float>(ax / aa)), dmin_);
      return;
    }
    const auto d = static_cast<float>((ax * bb - bx * ab) / determinant);
    const auto dmin = static_cast<float>((bx * aa - ax * ab) / determinant);
    if (d > 0.0f && dmin > 0.0f) Choose(AsHalf(d), AsHalf(dmin));
  }

  const float* x_;
  std::array<ScaleAndMin, kParts> fits_;
  float d_ = 0.0f, dmin_ = 0.0f;
  float error_ = std::numeric_limits<float>::infinity();
  std::array<Numbers, kParts> numbers_{};
};

}  // namespace

void QuantizeQ4K(const float* x, uint8_t* block) { Q4KBlock(x).Store(block); }

void QuantizeQ6K(const float* x, uint8_t* block) {
  constexpr WholeCodes kCodes{-32.0f, 31.0f};
  std::array<float, 16> scales;
  for (size_t i = 0; i < 16; ++i) scales[i] = FitScale(Part(x + 16 * i, 16), kCodes);
  const ScaledBlock<16, WholeCodes> fit(x, kCodes, scales, -128, 127);
  std::fill_n(block, 192, uint8_t{0});
  for (size_t i = 0; i < kElements; ++i) {
    const size_t half = i / 128, group = i % 128 / 32, k = i % 32;
    const int code = static_cast<int>(kCodes(x[i] * fit.InverseOf(i / 16))) + 32;
    block[half * 64 + group % 2 * 32 + k] |= static_cast<uint8_t>(group < 2 ? code & 15 : (code & 15) << 4);
    block[128 + half * 32 + k] |= static_cast<uint8_t>((code >> 4) << (2 * group));
  }
  for (size_t i = 0; i < 16; ++i) block[192 + i] = static_cast<uint8_t>(static_cast<int8_t>(fit.Scale(i)));
  StoreHalf(fit.D(), block + 208);
}

void QuantizeIq4Xs(const float* x, uint8_t* block) {
  std::array<float, 8> scales;
  for (size_t i = 0; i < 8; ++i) scales[i] = FitScale(Part(x + 32 * i, 32), TableCodes());
  const ScaledBlock<8, TableCodes> fit(x, {}, scales, -32, 31);
  StoreHalf(fit.D(), block);
  uint16_t high = 0;
  uint32_t low = 0;
  for (size_t group = 0; group < 8; ++group) {
    const auto number = static_cast<uint32_t>(fit.Scale(group) + 32);
    low |= (number & 15) << (4 * group);
    high = static_cast<uint16_t>(high | (number >> 4) << (2 * group));
    const float inverse = fit.InverseOf(group);
    const auto code = [&](size_t i) { return TableCodes::Index(x[32 * group + i] * inverse); };
    for (size_t i = 0; i < 16; ++i) {
      block[8 + 16 * group + i] = static_cast<uint8_t>(code(i) | code(i + 16) << 4);
    }
  }
  std::memcpy(block + 2, &high, sizeof high);
  std::memcpy(block + 4, &low, sizeof low);
}

}  // namespace throng::model
