#include "sim/space/proximity.h"

#include <utility>

#include "base/error.h"
#include "sim/space/metric_proximity.h"
#include "sim/space/network_proximity.h"

namespace throng::sim {

namespace {

constexpr int kMaxRule = 1 << 20;

}  // namespace

const char* CouplingName(Coupling coupling) { return coupling == Coupling::kPaper ? "paper" : "versioned"; }

Coupling ParseCoupling(const std::string& name) {
  for (const Coupling coupling : {Coupling::kPaper, Coupling::kVersioned}) {
    if (name == CouplingName(coupling)) return coupling;
  }
  throw MakeError(ErrorCode::kInvalid, "coupling {}: it must be paper or versioned", name);
}

Proximity::Proximity(const Space& space, std::vector<Rules> rules, std::span<const Pos> start,
                     Step first_step)
    : space_(space), rules_(std::move(rules)), places_(start.size()) {
  if (start.empty()) throw MakeError(ErrorCode::kInvalid, "world: it has no agents");
  if (rules_.size() != 1 && rules_.size() != start.size()) {
    throw MakeError(ErrorCode::kInvalid, "world: rules for {} agents; it has {}", rules_.size(),
                    start.size());
  }
  for (size_t i = 0; i < rules_.size(); ++i) {
    const Rules& rule = rules_[i];
    if (rule.radius_p >= 0 && rule.max_vel >= 0 && rule.radius_p <= kMaxRule && rule.max_vel <= kMaxRule)
      continue;
    throw MakeError(ErrorCode::kInvalid, "world: agent {}: radius {} and speed {}: both must be from 0 to {}",
                    i, rule.radius_p, rule.max_vel, kMaxRule);
  }
  for (size_t i = 0; i < start.size(); ++i) {
    if (!space_.Contains(start[i])) {
      throw MakeError(ErrorCode::kInvalid, "world: agent {} starts at ({}, {}), outside the space of {} x {}",
                      i, start[i].x, start[i].y, space_.Width(), space_.Height());
    }
    places_[i] = {start[i], first_step};
  }
}

void Proximity::SetLookahead(AgentId agent, const Lookahead& lookahead) {
  if (lookahead_.empty()) lookahead_.resize(places_.size());
  lookahead_[agent] = lookahead;
}

size_t Proximity::BaseBytes() const {
  return places_.capacity() * sizeof(Place) + rules_.capacity() * sizeof(Rules) +
         lookahead_.capacity() * sizeof(Lookahead);
}

std::unique_ptr<Proximity> MakeProximity(const Space& space, std::vector<Rules> rules, Coupling coupling,
                                         std::span<const Pos> start, Step first_step) {
  if (space.GetMetric() == Metric::kHops) {
    return std::make_unique<NetworkProximity>(space, std::move(rules), start, first_step);
  }
  return std::make_unique<MetricProximity>(space, std::move(rules), coupling, start, first_step);
}

}  // namespace throng::sim
