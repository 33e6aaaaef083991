#include "trace/true_dependencies.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <utility>

#include "base/error.h"

namespace throng::trace {
namespace {

constexpr uint64_t kMaxNodes = uint64_t{1} << 28;  // about 2 GB of graph with two edges a node

// Agents by position, in square buckets at least as wide as the radius. There are at most about four buckets
// per agent, however large the grid.
class Buckets {
 public:
  Buckets(const Trace& trace, int radius) {
    const double area = static_cast<double>(trace.width) * trace.height;
    const double side = std::sqrt(area / (4.0 * static_cast<double>(trace.agents.size())));
    side_ = std::max(radius + 1, static_cast<int>(std::ceil(side)));
    width_ = (trace.width - 1) / side_ + 1;
    height_ = (trace.height - 1) / side_ + 1;
    agents_.resize(static_cast<size_t>(width_) * height_);
  }

  void Add(sim::AgentId agent, sim::Pos pos) { At(pos).push_back(agent); }
  void Move(sim::AgentId agent, sim::Pos from, sim::Pos to) {
    if (&At(from) == &At(to)) return;
    std::erase(At(from), agent);
    Add(agent, to);
  }

  // All agents within the radius of pos, and some that are farther away.
  template <typename Function>
  void ForEachNear(sim::Pos pos, Function function) const {
    const int32_t x = pos.x / side_;
    const int32_t y = pos.y / side_;
    for (int32_t by = std::max(0, y - 1); by <= std::min(height_ - 1, y + 1); ++by) {
      for (int32_t bx = std::max(0, x - 1); bx <= std::min(width_ - 1, x + 1); ++bx) {
        for (const sim::AgentId agent : agents_[static_cast<size_t>(by) * width_ + bx]) function(agent);
      }
    }
  }

 private:
  std::vector<sim::AgentId>& At(sim::Pos pos) {
    return agents_[static_cast<size_t>(pos.y / side_) * width_ + pos.x / side_];
  }

  int32_t side_;
  int32_t width_;
  int32_t height_;
  std::vector<std::vector<sim::AgentId>> agents_;  // [height x width]
};

// Goes through the day step by step and collects edges.
class Miner {
 public:
  Miner(const Trace& trace, int radius_p, const TrueDependencies& nodes)
      : trace_(trace),
        nodes_(nodes),
        space_(trace.width, trace.height, sim::Metric::kChebyshev),
        radius_(radius_p),
        now_(trace, radius_p),
        before_(trace, radius_p) {
    for (sim::AgentId agent = 0; agent < nodes_.NumAgents(); ++agent) {
      const sim::Pos pos = trace.agents[agent].path.front().second;
      pos_.push_back(pos);
      now_.Add(agent, pos);
      before_.Add(agent, pos);
    }
    old_pos_ = pos_;
    next_.resize(pos_.size(), 1);
  }

  std::vector<std::pair<uint32_t, uint32_t>> Mine() {
    for (sim::Step step = 1; step < nodes_.NumSteps(); ++step) {
      Advance(step);
      for (sim::AgentId agent = 0; agent < nodes_.NumAgents(); ++agent) {
        AddPerceived(agent, step);
        if (pos_[agent] != old_pos_[agent]) AddNewlySeen(agent, step);
      }
      for (const sim::AgentId agent : movers_) RecordDeparture(agent, step - 1);
    }
    return std::move(edges_);
  }

 private:
  // The agents that left a cell last: usually one, several if they left in the same step. Those that left
  // earlier are ancestors of these, which perceived the cell.
  struct Departure {
    sim::Step step = -1;
    std::vector<sim::AgentId> agents;
  };

  static uint64_t CellKey(int32_t x, int32_t y) {
    return static_cast<uint64_t>(static_cast<uint32_t>(y)) << 32 | static_cast<uint32_t>(x);
  }

  void Advance(sim::Step step) {
    for (const sim::AgentId agent : movers_) {
      before_.Move(agent, old_pos_[agent], pos_[agent]);
      old_pos_[agent] = pos_[agent];
    }
    movers_.clear();
    for (sim::AgentId agent = 0; agent < nodes_.NumAgents(); ++agent) {
      const auto& path = trace_.agents[agent].path;
      if (next_[agent] == path.size() || path[next_[agent]].first != step) continue;
      pos_[agent] = path[next_[agent]++].second;
      now_.Move(agent, old_pos_[agent], pos_[agent]);
      movers_.push_back(agent);
    }
  }

  void AddEdge(sim::AgentId from, sim::Step from_step, sim::AgentId to, sim::Step step) {
    edges_.emplace_back(nodes_.NodeOf(from, from_step), nodes_.NodeOf(to, step));
  }

  // Agents that are near now, or were in the step before.
  void AddPerceived(sim::AgentId agent, sim::Step step) {
    const sim::Pos pos = pos_[agent];
    now_.ForEachNear(pos, [&](sim::AgentId other) {
      if (other != agent && space_.Within(pos, pos_[other], radius_)) AddEdge(other, step - 1, agent, step);
    });
    before_.ForEachNear(pos, [&](sim::AgentId other) {
      if (other != agent && space_.Within(pos, old_pos_[other], radius_) &&
          !space_.Within(pos, pos_[other], radius_)) {
        AddEdge(other, step - 1, agent, step);
      }
    });
  }

  // Cells that this move brought into view, and the agents that left them earlier.
  void AddNewlySeen(sim::AgentId agent, sim::Step step) {
    const sim::Pos pos = pos_[agent];
    const sim::Pos old = old_pos_[agent];
    const int32_t left = std::max(0, pos.x - radius_);
    const int32_t right = std::min(trace_.width - 1, pos.x + radius_);
    for (int32_t y = std::max(0, pos.y - radius_); y <= std::min(trace_.height - 1, pos.y + radius_); ++y) {
      for (int32_t x = left; x <= right; ++x) {
        if (space_.Within(old, {x, y}, radius_)) {
          x = std::min(right, old.x + radius_);  // the rest of the row was in view up to here
          continue;
        }
        const auto found = departures_.find(CellKey(x, y));
        if (found == departures_.end()) continue;
        for (const sim::AgentId other : found->second.agents) {
          if (other != agent) AddEdge(other, found->second.step, agent, step);
        }
      }
    }
  }

  void RecordDeparture(sim::AgentId agent, sim::Step step) {
    Departure& departure = departures_[CellKey(old_pos_[agent].x, old_pos_[agent].y)];
    if (departure.step != step) departure = {step, {}};
    departure.agents.push_back(agent);
  }

  const Trace& trace_;
  const TrueDependencies& nodes_;
  sim::Space space_;
  int radius_;
  Buckets now_;
  Buckets before_;
  std::vector<sim::Pos> pos_;      // at the start of this step
  std::vector<sim::Pos> old_pos_;  // at the start of the previous step
  std::vector<size_t> next_;       // by agent: the path's next entry
  std::vector<sim::AgentId> movers_;
  std::unordered_map<uint64_t, Departure> departures_;  // by cell; departures before the last step
  std::vector<std::pair<uint32_t, uint32_t>> edges_;
};

}  // namespace

TrueDependencies::TrueDependencies(const Trace& trace, int radius_p, sim::Step steps)
    : num_agents_(static_cast<uint32_t>(trace.agents.size())), num_steps_(steps), radius_p_(radius_p) {
  if (uint64_t{num_agents_} * static_cast<uint64_t>(steps) > kMaxNodes) {
    throw MakeError(ErrorCode::kInvalid,
                    "{}: {} agents for {} steps are too many to mine dependencies; allowed: {} agent-steps",
                    trace.name, num_agents_, steps, kMaxNodes);
  }
  const std::vector<std::pair<uint32_t, uint32_t>> edges = Miner(trace, radius_p, *this).Mine();
  first_.resize(NumNodes() + size_t{1});
  for (const auto& [from, to] : edges) ++first_[from + 1];
  for (size_t i = 1; i < first_.size(); ++i) first_[i] += first_[i - 1];
  successors_.resize(edges.size());
  std::vector<uint32_t> next(first_.begin(), first_.end() - 1);
  for (const auto& [from, to] : edges) successors_[next[from]++] = to;
}

}  // namespace throng::trace
