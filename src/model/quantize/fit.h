// Least squares between weights and their codes: what the quantisers of all formats share.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>

#include "model/matmul/codebooks.h"

namespace throng::model {

// The nearest whole number below 2^22; larger ones stay large.
inline float Nearest(float x) {
  constexpr float kShift = 12582912.0f;  // 1.5 * 2^23: the fraction does not fit beside it
  return (x + kShift) - kShift;
}

// Codes that are whole numbers in a range.
struct WholeCodes {
  float least, most;
  static constexpr float kMargin = 1.0f;  // beyond the ends of the range that FitScale tries
  float operator()(float x) const { return std::clamp(Nearest(x), least, most); }
};

// Codes that are places in IQ4's table: the nearest values. Twice the border between two values is whole, so
// the whole number from 2 * x upwards says the place.
struct TableCodes {
  static constexpr float least = kIq4Values.front(), most = kIq4Values.back();
  static constexpr float kMargin = 9.0f;

  // x: what is no number has place 0.
  static size_t Index(float x) { return kPlaces.places[Slot(x)]; }
  float operator()(float x) const { return kPlaces.values[Slot(x)]; }

 private:
  static constexpr int kEnd = 256;  // beyond twice any border
  struct Places {
    constexpr Places() {
      for (int up = -kEnd; up < kEnd; ++up) {
        uint8_t place = 0;
        while (place + 1u < kIq4Values.size() && up > kIq4Values[place] + kIq4Values[place + 1u]) ++place;
        places[static_cast<size_t>(up + kEnd)] = place;
        values[static_cast<size_t>(up + kEnd)] = kIq4Values[place];
      }
    }
    std::array<uint8_t, 2 * kEnd> places{};
    std::array<float, 2 * kEnd> values{};
  };
  static const Places kPlaces;

  static size_t Slot(float x) {
    constexpr float kMost = kEnd - 1;
    float twice = 2.0f * x;
    twice = twice > -kMost ? twice : -kMost;
    twice = twice < kMost ? twice : kMost;
    const int down = static_cast<int>(twice);
    return static_cast<size_t>(down + (twice > static_cast<float>(down)) + kEnd);
  }
};
inline constexpr TableCodes::Places TableCodes::kPlaces;

// 1 / x, and 0 for 0: codes of a scale of 0 are those of 0.
inline float Inverse(float x) { return x != 0.0f ? 1.0f / x : 0.0f; }

// A scale s such that s * code is near each x: tries scales of both signs that put the largest |x| near
// either end of the codes, and improves each by least squares. 0 for zeros.
template <typename Codes>
float FitScale(std::span<const float> x, const Codes& codes) {
  constexpr size_t kTries = 20;  // of each sign
  float largest = 0.0f;
  for (const float value : x) largest = std::max(largest, std::abs(value));
  if (largest < 1e-30f) return 0.0f;
  std::array<float, 2 * kTries> inverses, along{}, square{};
  const float first = codes.most - Codes::kMargin, last = -codes.least + Codes::kMargin;
  for (size_t i = 0; i < kTries; ++i) {
    inverses[i] = (first + (last - first) * static_cast<float>(i) / (kTries - 1)) / largest;
    inverses[kTries + i] = -inverses[i];
  }
  for (const float value : x) {
    for (size_t i = 0; i < inverses.size(); ++i) {
      const float code = codes(value * inverses[i]);
      along[i] += value * code;
      square[i] += code * code;
    }
  }
  float best = 0.0f;
  float most_explained = 0.0f;  // of the squared length of x; the error is the rest
  for (size_t i = 0; i < inverses.size(); ++i) {
    if (square[i] == 0.0f || along[i] * along[i] / square[i] <= most_explained) continue;
    most_explained = along[i] * along[i] / square[i];
    best = along[i] / square[i];
  }
  return best;
}

// x is near scale * code - min with codes from 0 to `most`; both are at least 0.
struct ScaleAndMin {
  float scale;
  float min;
};
ScaleAndMin FitScaleAndMin(std::span<const float> x, int most);

}  // namespace throng::model
