// Where agents are and how far apart: grids with three metrics.
#pragma once

#include <algorithm>
#include <cstdint>

namespace throng::sim {

struct Pos {
  int32_t x = 0;
  int32_t y = 0;
  auto operator<=>(const Pos&) const = default;
};

enum class Metric { kChebyshev, kEuclid, kManhattan };

class Space {
 public:
  Space(int32_t width, int32_t height, Metric metric) : width_(width), height_(height), metric_(metric) {}

  int32_t Width() const { return width_; }
  int32_t Height() const { return height_; }
  Metric GetMetric() const { return metric_; }
  bool Contains(Pos pos) const { return pos.x >= 0 && pos.y >= 0 && pos.x < width_ && pos.y < height_; }

  // dist(a, b) <= radius, exactly (Euclid compares squares).
  bool Within(Pos a, Pos b, int64_t radius) const {
    const int64_t dx = a.x < b.x ? int64_t{b.x} - a.x : int64_t{a.x} - b.x;
    const int64_t dy = a.y < b.y ? int64_t{b.y} - a.y : int64_t{a.y} - b.y;
    return WithinDelta(dx, dy, radius);
  }

  // dist(pos, box [low, high]) <= radius.
  bool WithinOfBox(Pos pos, Pos low, Pos high, int64_t radius) const {
    const auto gap = [](int64_t at, int64_t from, int64_t to) {
      return std::max<int64_t>({from - at, at - to, 0});
    };
    return WithinDelta(gap(pos.x, low.x, high.x), gap(pos.y, low.y, high.y), radius);
  }

  // The same for coordinate differences 0 <= dx, dy < 2^31.
  bool WithinDelta(int64_t dx, int64_t dy, int64_t radius) const {
    if (radius < 0) return false;
    switch (metric_) {
      case Metric::kChebyshev:
        return dx <= radius && dy <= radius;
      case Metric::kEuclid:
        return radius >= kMaxRoot || dx * dx + dy * dy <= radius * radius;
      case Metric::kManhattan:
        return dx + dy <= radius;
    }
    return false;
  }

 private:
  static constexpr int64_t kMaxRoot =
      3037000500;  // its square does not fit 64 bits; no two positions are so far apart

  int32_t width_;
  int32_t height_;
  Metric metric_;
};

}  // namespace throng::sim
