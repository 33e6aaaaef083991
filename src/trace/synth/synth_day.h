// Where each agent of a synthetic town is during the day, and what it does. synth.cc makes the calls.
#pragma once

#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "trace/synth/synth.h"  // kTownAgents
#include "trace/trace.h"

namespace throng::trace {

inline constexpr sim::Step kStepsPerHour = 360;  // steps of 10 s
inline constexpr sim::Step kStepsPerDay = 24 * kStepsPerHour;
inline constexpr int32_t kTownWidth = 140;  // in tiles, as the Ville
inline constexpr int32_t kTownHeight = 100;

// Random numbers for one purpose.
class Draws {
 public:
  template <typename... Words>
  explicit Draws(Words... key) : rng_(key...) {}

  double Uniform() { return rng_.NextDouble(); }
  double Between(double low, double high) { return low + (high - low) * Uniform(); }
  bool Chance(double p) { return Uniform() < p; }
  int Int(int low, int high) {  // both ends inclusive
    return low + static_cast<int>(rng_.NextBelow(static_cast<uint64_t>(high - low) + 1));
  }
  double Normal() {  // Box-Muller
    const double radius = std::sqrt(-2 * std::log(1 - Uniform()));
    return radius * std::cos(6.283185307179586 * Uniform());
  }
  double LogNormal(double mean, double sigma) {
    return mean * std::exp(sigma * Normal() - sigma * sigma / 2);
  }

 private:
  CounterRng rng_;
};

struct AgentDay {
  TraceAgent trace;  // without calls
  sim::Step wake = 0;
  sim::Step sleep = 0;
  std::vector<sim::Step> decisions;  // steps at which a new action begins, awake; ascending

  bool AwakeAt(sim::Step step) const { return step >= wake && step < sleep; }
};

// At most 25 agents. Each walks at most one tile per step.
std::vector<AgentDay> MakeTownDay(int agents, uint64_t seed);

}  // namespace throng::trace
