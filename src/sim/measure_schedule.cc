#include "sim/measure_schedule.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "base/rng.h"

namespace throng::sim {

namespace {

constexpr uint32_t kNone = UINT32_MAX;
constexpr double kSecondsPerTick = 0.05;
// A call takes 10 to 30 ticks, one in eight five times as long.
constexpr uint32_t kShortestCall = 10;
constexpr uint32_t kCallRange = 21;
constexpr uint32_t kSlowOneIn = 8;
constexpr uint32_t kSlower = 5;
constexpr uint32_t kNumSlots = 256;  // of the wheel: more than the longest call has ticks
constexpr int kChecks = 8;           // in a run; each compares some agents with all others
constexpr int kAgentsPerCheck = 4;

class Clock {
 public:
  void Start() { start_ = std::chrono::steady_clock::now(); }
  void Stop() {
    seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }
  double Seconds() const { return seconds_; }

 private:
  std::chrono::steady_clock::time_point start_;
  double seconds_ = 0;
};

Space SpaceOf(const ScheduleLoad& load) {
  const double side = std::ceil(std::sqrt(load.tiles_per_agent * load.agents));
  if (!(side >= 1 && side < INT32_MAX)) {
    throw MakeError(ErrorCode::kInvalid,
                    "{} agents on {} tiles each: the grid has from 1 to 2^31 tiles a side", load.agents,
                    load.tiles_per_agent);
  }
  return {static_cast<int32_t>(side), static_cast<int32_t>(side), Metric::kChebyshev};
}

std::vector<Pos> StartOf(const ScheduleLoad& load, const Space& space) {
  std::vector<Pos> start(load.agents);
  for (AgentId agent = 0; agent < load.agents; ++agent) {
    CounterRng rng(load.seed, agent);
    start[agent] = {static_cast<int32_t>(rng.NextBelow(static_cast<uint64_t>(space.Width()))),
                    static_cast<int32_t>(rng.NextBelow(static_cast<uint64_t>(space.Height())))};
  }
  return start;
}

class Measurement {
 public:
  Measurement(const ScheduleLoad& load, Mode mode)
      : load_(load),
        mode_(mode),
        space_(SpaceOf(load)),
        graph_(space_, load.rules, load.coupling, StartOf(load, space_), load.steps),
        slots_(kNumSlots),
        next_member_(load.agents, kNone) {}

  ScheduleCost Run() {
    const uint64_t total = uint64_t{load_.agents} * static_cast<uint64_t>(load_.steps);
    uint64_t next_check = total / (kChecks + 1);
    clock_.Start();
    graph_.Start(released_);
    StartReleased();
    for (; running_ > 0; ++now_) {
      std::vector<AgentId>& slot = slots_[now_ % kNumSlots];
      if (slot.empty()) continue;
      done_.swap(slot);
      // What arrives at one moment may be committed in any order; ids of neighbours are close.
      std::sort(done_.begin(), done_.end());
      for (const AgentId first : done_) Commit(first);
      done_.clear();
      if (running_ == 0) StartHeld();
      if (cost_.agent_steps >= next_check) {
        clock_.Stop();
        CheckInvariant();
        next_check += total / (kChecks + 1);
        clock_.Start();
      }
    }
    clock_.Stop();
    THRONG_CHECK(cost_.agent_steps == total);
    cost_.seconds = clock_.Seconds();
    cost_.virtual_s = kSecondsPerTick * static_cast<double>(now_);
    cost_.bytes_per_agent = graph_.BytesPerAgent();
    Hasher hasher;
    for (AgentId agent = 0; agent < load_.agents; ++agent) {
      const Pos pos = graph_.PosOf(agent);
      hasher.Add(pos.x).Add(pos.y);
    }
    cost_.end = hasher.Finish();
    return cost_;
  }

 private:
  uint32_t TicksOf(AgentId agent, Step step) const {
    const uint64_t random = CounterRng(load_.seed, agent, step).At(0);
    const auto ticks = kShortestCall + static_cast<uint32_t>((random >> 32) % kCallRange);
    return random % kSlowOneIn == 0 ? ticks * kSlower : ticks;
  }

  Pos MoveOf(AgentId agent, Step step) {
    uint64_t random = CounterRng(load_.seed, agent, step).At(1);
    const Pos from = graph_.PosOf(agent);
    if (load_.perceives) {
      perceived_.clear();
      graph_.FindPerceived(agent, perceived_);
      uint64_t sum = 0;
      for (const AgentId other : perceived_) {
        const Pos pos = graph_.PosOf(other);
        sum += CounterRng(other, pos.x, pos.y).At(0);
      }
      random = Mix64(random ^ sum);
    }
    const int32_t v = load_.rules.max_vel;
    const auto width = static_cast<uint32_t>(2 * v + 1);
    const auto step_of = [&](int32_t at, uint32_t word, int32_t size) {
      return std::clamp(at + static_cast<int32_t>((uint64_t{word} * width) >> 32) - v, 0, size - 1);
    };
    return {step_of(from.x, static_cast<uint32_t>(random), space_.Width()),
            step_of(from.y, static_cast<uint32_t>(random >> 32), space_.Height())};
  }

  void StartReleased() {
    for (size_t i = 0; i < released_.Size(); ++i) {
      const std::span<const AgentId> members = released_[i];
      const AgentId first = members.front();
      const Step step = graph_.StepOf(first);
      uint32_t ticks = 0;
      for (size_t m = 0; m < members.size(); ++m) {
        next_member_[members[m]] = m + 1 < members.size() ? members[m + 1] : kNone;
        ticks = std::max(ticks, TicksOf(members[m], step));
      }
      ++cost_.clusters;
      cost_.largest_cluster = std::max(cost_.largest_cluster, static_cast<uint32_t>(members.size()));
      if (mode_ == Mode::kLockstep && step > step_) {
        held_.push_back({first, ticks});
      } else {
        StartCall(first, ticks);
      }
    }
    released_.Clear();
  }

  void StartCall(AgentId first, uint32_t ticks) {
    slots_[(now_ + ticks) % kNumSlots].push_back(first);
    ++running_;
  }

  // Lockstep: the next step begins when all have done this one.
  void StartHeld() {
    ++step_;
    for (const Held& held : held_) StartCall(held.first, held.ticks);
    held_.clear();
  }

  void Commit(AgentId first) {
    members_.clear();
    for (AgentId member = first; member != kNone; member = next_member_[member]) members_.push_back(member);
    const Step step = graph_.StepOf(first);
    moved_.clear();
    for (const AgentId member : members_) moved_.push_back(MoveOf(member, step));
    graph_.Commit(members_, moved_, released_);
    --running_;
    cost_.agent_steps += members_.size();
    cost_.max_spread = std::max(cost_.max_spread, graph_.FrontStep() - graph_.BaseStep());
    StartReleased();
  }

  void CheckInvariant() {
    CounterRng rng(load_.seed, load_.agents, cost_.agent_steps);
    for (int i = 0; i < kAgentsPerCheck; ++i) {
      const auto agent = static_cast<AgentId>(rng.NextBelow(load_.agents));
      if (!graph_.InvariantHolds(agent)) {
        throw MakeError(ErrorCode::kCorrupt, "agent {} at step {} is too close to one of another step", agent,
                        graph_.StepOf(agent));
      }
      ++cost_.checked_agents;
    }
  }

  struct Held {
    AgentId first;
    uint32_t ticks;
  };

  const ScheduleLoad load_;
  const Mode mode_;
  const Space space_;
  DependencyGraph graph_;
  ScheduleCost cost_;
  Clock clock_;
  std::vector<std::vector<AgentId>> slots_;  // a timing wheel: the first members of clusters that end then
  std::vector<AgentId> next_member_;         // of the same cluster, while it runs
  std::vector<Held> held_;
  uint64_t now_ = 0;  // in ticks
  uint64_t running_ = 0;
  Step step_ = 0;  // of lockstep
  ClusterList released_;
  std::vector<AgentId> done_;
  std::vector<AgentId> members_;
  std::vector<Pos> moved_;
  std::vector<AgentId> perceived_;
};

}  // namespace

ScheduleCost MeasureSchedule(const ScheduleLoad& load, Mode mode) {
  if (mode == Mode::kSingle) {
    throw MakeError(ErrorCode::kInvalid, "mode single: scheduling is measured in lockstep and ooo");
  }
  return Measurement(load, mode).Run();
}

}  // namespace throng::sim
