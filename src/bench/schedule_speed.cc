#include "bench/schedule_speed.h"

#include <time.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "base/rng.h"
#include "llm/backends/fake.h"

namespace throng::bench {

namespace {

constexpr uint32_t kNone = UINT32_MAX;
constexpr double kSecondsPerTick = 0.05;
// A call takes 10 to 30 ticks, one in eight five times as long.
constexpr uint32_t kShortestCall = 10;
constexpr uint32_t kCallRange = 21;
constexpr uint32_t kSlowOneIn = 8;
constexpr uint32_t kSlower = 5;
constexpr uint32_t kNumSlots = 256;  // slots of the wheel: more than the ticks of the longest call
constexpr int kChecks = 8;           // checks in a run; each compares some agents with all others
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

double ThreadCpuSeconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

std::vector<sim::Pos> StartPositions(const ScheduleLoad& load, const sim::Space& grid) {
  std::vector<sim::Pos> start(load.agents);
  for (sim::AgentId agent = 0; agent < load.agents; ++agent) start[agent] = load.StartOf(agent, grid);
  return start;
}

class Measurement {
 public:
  Measurement(const ScheduleLoad& load, sim::Mode mode)
      : load_(load),
        mode_(mode),
        space_(load.Grid()),
        graph_(space_, load.rules, load.coupling, StartPositions(load, space_), load.steps),
        slots_(kNumSlots),
        next_member_(load.agents, kNone) {}

  ScheduleCost Run() {
    const uint64_t total = uint64_t{load_.agents} * static_cast<uint64_t>(load_.steps);
    uint64_t next_check = total / (kChecks + 1);
    clock_.Start();
    graph_.Start(released_);
    StartReleased();
    for (; running_ > 0; ++now_) {
      std::vector<sim::AgentId>& slot = slots_[now_ % kNumSlots];
      if (slot.empty()) continue;
      done_.swap(slot);
      // Calls that end at one moment may be committed in any order; neighbours have close ids.
      std::sort(done_.begin(), done_.end());
      for (const sim::AgentId first : done_) Commit(first);
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
    cost_.virtual_s = kSecondsPerTick * static_cast<double>(now_ - 1);  // the last moment examined
    cost_.bytes_per_agent = graph_.Bytes() / load_.agents;
    Hasher hasher;
    for (sim::AgentId agent = 0; agent < load_.agents; ++agent) {
      const sim::Pos pos = graph_.PosOf(agent);
      hasher.Add(pos.x).Add(pos.y);
    }
    cost_.end = hasher.Finish();
    return cost_;
  }

 private:
  sim::Pos MoveOf(sim::AgentId agent, sim::Step step) {
    uint64_t sum = 0;
    if (load_.perceives) {
      perceived_.clear();
      graph_.FindPerceived(agent, perceived_);
      for (const sim::AgentId other : perceived_) {
        const sim::Pos pos = graph_.PosOf(other);
        sum += CounterRng(other, pos.x, pos.y).At(0);
      }
    }
    return load_.Move(agent, step, graph_.PosOf(agent), space_, sum);
  }

  void StartReleased() {
    for (size_t i = 0; i < released_.Size(); ++i) {
      const std::span<const sim::AgentId> members = released_[i];
      const sim::AgentId first = members.front();
      const sim::Step step = graph_.StepOf(first);
      uint32_t ticks = 0;
      for (size_t m = 0; m < members.size(); ++m) {
        next_member_[members[m]] = m + 1 < members.size() ? members[m + 1] : kNone;
        ticks = std::max(ticks, load_.TicksOf(members[m], step));
      }
      ++cost_.clusters;
      cost_.largest_cluster = std::max(cost_.largest_cluster, static_cast<uint32_t>(members.size()));
      if (mode_ == sim::Mode::kLockstep && step > step_) {
        held_.push_back({first, ticks});
      } else {
        StartCall(first, ticks);
      }
    }
    released_.Clear();
  }

  void StartCall(sim::AgentId first, uint32_t ticks) {
    slots_[(now_ + ticks) % kNumSlots].push_back(first);
    ++running_;
  }

  // Lock-step: the next step begins when all agents have finished this one.
  void StartHeld() {
    ++step_;
    for (const Held& held : held_) StartCall(held.first, held.ticks);
    held_.clear();
  }

  void Commit(sim::AgentId first) {
    members_.clear();
    for (sim::AgentId member = first; member != kNone; member = next_member_[member])
      members_.push_back(member);
    const sim::Step step = graph_.StepOf(first);
    moved_.clear();
    for (const sim::AgentId member : members_) moved_.push_back(MoveOf(member, step));
    graph_.Commit(members_, moved_, released_);
    --running_;
    cost_.agent_steps += members_.size();
    cost_.max_spread = std::max(cost_.max_spread, graph_.FrontStep() - graph_.BaseStep());
    StartReleased();
  }

  void CheckInvariant() {
    CounterRng rng(load_.seed, load_.agents, cost_.agent_steps);
    for (int i = 0; i < kAgentsPerCheck; ++i) {
      const auto agent = static_cast<sim::AgentId>(rng.NextBelow(load_.agents));
      if (!graph_.InvariantHolds(agent)) {
        throw MakeError(ErrorCode::kCorrupt, "agent {} at step {} is too close to one of another step", agent,
                        graph_.StepOf(agent));
      }
      ++cost_.checked_agents;
    }
  }

  struct Held {
    sim::AgentId first;
    uint32_t ticks;
  };

  const ScheduleLoad load_;
  const sim::Mode mode_;
  const sim::Space space_;
  sim::DependencyGraph graph_;
  ScheduleCost cost_;
  Clock clock_;
  // A timing wheel: the first members of the clusters that end at each tick.
  std::vector<std::vector<sim::AgentId>> slots_;
  std::vector<sim::AgentId> next_member_;  // next member of the same cluster, while it runs
  std::vector<Held> held_;
  uint64_t now_ = 0;  // in ticks
  uint64_t running_ = 0;
  sim::Step step_ = 0;  // current step in lock-step
  sim::ClusterList released_;
  std::vector<sim::AgentId> done_;
  std::vector<sim::AgentId> members_;
  std::vector<sim::Pos> moved_;
  std::vector<sim::AgentId> perceived_;
};

// The walk as a world. It leaves out perception, which MeasureSchedule covers.
class WalkWorld final : public sim::World {
 public:
  explicit WalkWorld(const ScheduleLoad& load) : load_(load), grid_(load.Grid()) {}

  std::string Name() const override { return "walk"; }
  Digest ScenarioDigest() const override { return {}; }
  const sim::Space& GetSpace() const override { return grid_; }
  sim::Rules GetRules() const override { return load_.rules; }
  uint32_t NumAgents() const override { return load_.agents; }
  std::string AgentName(sim::AgentId agent) const override { return fmt::format("walker {}", agent); }
  sim::Body StartBody(sim::AgentId agent) const override { return {load_.StartOf(agent, grid_), ""}; }
  sim::MindPtr StartMind(sim::AgentId) const override { return nullptr; }

  sim::Task<sim::IntentPtr> Proceed(const sim::View&, sim::Caller& caller) const override {
    co_await AskWhere(caller);
    co_return nullptr;
  }

  sim::Task<void> Resolve(sim::Step step, const std::vector<sim::Member>& members,
                          sim::Commit& commit) const override {
    for (const sim::Member& member : members) {
      sim::Body body = member.body;
      body.pos = load_.Move(member.id, step, body.pos, grid_, 0);
      commit.SetBody(member.id, std::move(body));
    }
    co_return;
  }

 private:
  // Not in the coroutine, whose frame would keep the request while it waits.
  static sim::Task<llm::Completion> AskWhere(sim::Caller& caller) {
    llm::Request request;
    request.function = "walk";
    request.prompt = "Where to?";
    request.max_tokens = 1;
    return caller.Ask(std::move(request));
  }

  const ScheduleLoad load_;
  const sim::Space grid_;
};

}  // namespace

sim::Space ScheduleLoad::Grid() const {
  const double side = std::ceil(std::sqrt(tiles_per_agent * agents));
  if (!(side >= 1 && side < INT32_MAX)) {
    throw MakeError(ErrorCode::kInvalid,
                    "{} agents on {} tiles each: the grid has from 1 to 2^31 tiles a side", agents,
                    tiles_per_agent);
  }
  return {static_cast<int32_t>(side), static_cast<int32_t>(side), sim::Metric::kChebyshev};
}

sim::Pos ScheduleLoad::StartOf(sim::AgentId agent, const sim::Space& grid) const {
  CounterRng rng(seed, agent);
  const auto x = static_cast<int32_t>(rng.NextBelow(static_cast<uint64_t>(grid.Width())));
  return {x, static_cast<int32_t>(rng.NextBelow(static_cast<uint64_t>(grid.Height())))};
}

uint32_t ScheduleLoad::TicksOf(sim::AgentId agent, sim::Step step) const {
  const uint64_t random = CounterRng(seed, agent, step).At(0);
  const auto ticks = kShortestCall + static_cast<uint32_t>((random >> 32) % kCallRange);
  return random % kSlowOneIn == 0 ? ticks * kSlower : ticks;
}

sim::Pos ScheduleLoad::Move(sim::AgentId agent, sim::Step step, sim::Pos from, const sim::Space& grid,
                            uint64_t perceived) const {
  uint64_t random = CounterRng(seed, agent, step).At(1);
  if (perceived != 0) random = Mix64(random ^ perceived);
  const auto range = static_cast<uint64_t>(2 * rules.max_vel + 1);
  const auto moved = [&](int32_t at, uint64_t word, int32_t size) {
    return std::clamp(at + static_cast<int32_t>((word * range) >> 32) - rules.max_vel, 0, size - 1);
  };
  return {moved(from.x, random & UINT32_MAX, grid.Width()), moved(from.y, random >> 32, grid.Height())};
}

ScheduleCost MeasureSchedule(const ScheduleLoad& load, sim::Mode mode) {
  if (mode == sim::Mode::kSingle) {
    throw MakeError(ErrorCode::kInvalid, "mode single: scheduling is measured in lockstep and ooo");
  }
  return Measurement(load, mode).Run();
}

ScheduleCost MeasureWholeRun(const ScheduleLoad& load, sim::Mode mode) {
  const WalkWorld world(load);
  // Its clock counts ticks.
  llm::FakeLlm llm([&load](const llm::Request& request) {
    return static_cast<double>(load.TicksOf(request.key.agent, request.key.step));
  });
  sim::RunOptions options;
  options.mode = mode;
  options.steps = load.steps;
  options.seed = load.seed;
  options.coupling = load.coupling;
  const double cpu_start = ThreadCpuSeconds();
  const sim::RunResult result = sim::RunWorld(world, llm, options);
  ScheduleCost cost;
  cost.cpu_seconds = ThreadCpuSeconds() - cpu_start;
  cost.agent_steps = result.stats.agent_steps;
  cost.seconds = result.stats.wall_s;
  cost.virtual_s = kSecondsPerTick * result.stats.backend_s;
  cost.clusters = result.stats.clusters;
  cost.largest_cluster = result.stats.largest_cluster;
  cost.max_spread = result.stats.max_spread;
  cost.bytes_per_agent = result.memory.scheduler_bytes / load.agents;
  cost.world_bytes_per_agent = result.memory.world_bytes / load.agents;
  cost.call_bytes_per_agent = result.memory.call_bytes / load.agents;
  cost.backend_bytes_per_agent = llm.Bytes() / load.agents;
  cost.end = result.hash;
  return cost;
}

}  // namespace throng::bench
