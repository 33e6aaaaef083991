// Positions and distances: grids with three metrics, planes (plane.h), networks.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>

#include "sim/space/network.h"

namespace throng::sim {

struct Pos {
  int32_t x = 0;
  int32_t y = 0;
  auto operator<=>(const Pos&) const = default;
};

enum class Metric {
  kChebyshev,
  kEuclid,
  kManhattan,
  kHops,  // hops along the follows of a network: not symmetric
};

class Space {
 public:
  Space(int32_t width, int32_t height, Metric metric) : width_(width), height_(height), metric_(metric) {}
  // Node i is the position (i, 0).
  explicit Space(std::shared_ptr<const Network> network)
      : width_(static_cast<int32_t>(network->NumNodes())),
        height_(1),
        metric_(Metric::kHops),
        network_(std::move(network)) {}

  int32_t Width() const { return width_; }
  int32_t Height() const { return height_; }
  Metric GetMetric() const { return metric_; }
  const Network& GetNetwork() const { return *network_; }  // only for kHops
  bool Contains(Pos pos) const { return pos.x >= 0 && pos.y >= 0 && pos.x < width_ && pos.y < height_; }

  // dist(a, b) <= radius, exactly (Euclid compares squares).
  bool Within(Pos a, Pos b, int64_t radius) const {
    if (metric_ == Metric::kHops) {
      return network_->IsWithin(static_cast<NodeId>(a.x), static_cast<NodeId>(b.x), radius);
    }
    const int64_t dx = a.x < b.x ? int64_t{b.x} - a.x : int64_t{a.x} - b.x;
    const int64_t dy = a.y < b.y ? int64_t{b.y} - a.y : int64_t{a.y} - b.y;
    return WithinDelta(dx, dy, radius);
  }

  // dist(pos, box [low, high]) <= radius; not for kHops.
  bool WithinOfBox(Pos pos, Pos low, Pos high, int64_t radius) const {
    const auto gap = [](int64_t at, int64_t from, int64_t to) {
      return std::max<int64_t>({from - at, at - to, 0});
    };
    return WithinDelta(gap(pos.x, low.x, high.x), gap(pos.y, low.y, high.y), radius);
  }

  // dist <= radius for coordinate differences 0 <= dx, dy < 2^31; not for kHops.
  bool WithinDelta(int64_t dx, int64_t dy, int64_t radius) const {
    if (radius < 0) return false;
    switch (metric_) {
      case Metric::kChebyshev:
        return dx <= radius && dy <= radius;
      case Metric::kEuclid:
        return radius >= kMaxRoot || dx * dx + dy * dy <= radius * radius;
      case Metric::kManhattan:
        return dx + dy <= radius;
      case Metric::kHops:
        break;
    }
    return false;
  }

 private:
  static constexpr int64_t kMaxRoot =
      3037000500;  // its square does not fit in 64 bits; no two positions are that far apart

  int32_t width_;
  int32_t height_;
  Metric metric_;
  std::shared_ptr<const Network> network_;
};

}  // namespace throng::sim
