#include "sim/run/verify.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/error.h"

namespace throng::sim {

namespace {

// Records what each agent did in each step, and what was written to which cell.
class Recorder final : public RunObserver {
 public:
  using Cells = std::map<Pos, std::string>;

  explicit Recorder(uint32_t num_agents) : num_agents_(num_agents) {}

  void OnCommit(const CommitRecord& record) override {
    Recorded& recorded = RecordedOf(record.step);
    for (const MemberCommit& member : record.members) recorded.agents[member.id] = member.digest;
    for (const MemberCommit& born : record.born) recorded.agents[born.id] = born.digest;
    for (const CellWrite& cell : record.cells) recorded.cells[cell.pos] = cell.value;
  }
  void OnStep(Step step, const Digest&) override { RecordedOf(step); }  // the step may have had no agents
  void OnIntervention(const InterventionRecord& record) override {
    RecordedOf(record.step).interventions += record.digest;
  }

  const Digest& InterventionsOf(Step step) const { return steps_[static_cast<size_t>(step)].interventions; }
  const std::vector<Digest>& AgentsOf(Step step) const { return steps_[static_cast<size_t>(step)].agents; }
  const Cells& CellsOf(Step step) const { return steps_[static_cast<size_t>(step)].cells; }

 private:
  struct Recorded {
    Digest interventions;        // sum
    std::vector<Digest> agents;  // by agent: digest of its step or birth
    Cells cells;
  };
  Recorded& RecordedOf(Step step) {
    const auto i = static_cast<size_t>(step);
    if (steps_.size() <= i) steps_.resize(i + 1);
    steps_[i].agents.resize(num_agents_);
    return steps_[i];
  }
  uint32_t num_agents_;
  std::vector<Recorded> steps_;
};

// The first cell that only one of the two wrote, or to which they wrote different values.
Pos FirstDifferentCell(const Recorder::Cells& a, const Recorder::Cells& b) {
  auto left = a.begin();
  auto right = b.begin();
  while (left != a.end() && right != b.end() && *left == *right) {
    ++left;
    ++right;
  }
  if (left == a.end()) return right == b.end() ? Pos() : right->first;
  if (right == b.end()) return left->first;
  return std::min(left->first, right->first);
}

std::string DescribeDifference(const World& world, const VerifiedRun& a, const Recorder& recorded_a,
                               const VerifiedRun& b, const Recorder& recorded_b) {
  if (a.result.start_hash != b.result.start_hash) {
    return fmt::format("{} and {} differ before step 0: the world does not start the same twice", a.run.name,
                       b.run.name);
  }
  const auto& left = a.result.step_hashes;
  const auto& right = b.result.step_hashes;
  const auto at = std::mismatch(left.begin(), left.end(), right.begin(), right.end());
  const Step step = static_cast<Step>(at.first - left.begin());
  if (recorded_a.InterventionsOf(step) != recorded_b.InterventionsOf(step)) {
    return fmt::format("{} and {} differ first at step {}, in what came from outside", a.run.name, b.run.name,
                       step);
  }
  const auto& agents_a = recorded_a.AgentsOf(step);
  const auto& agents_b = recorded_b.AgentsOf(step);
  for (AgentId agent = 0; agent < agents_a.size(); ++agent) {
    if (agents_a[agent] == agents_b[agent]) continue;
    return fmt::format("{} and {} differ first at step {}, agent {} ({})", a.run.name, b.run.name, step,
                       agent, world.AgentName(agent));
  }
  const Pos cell = FirstDifferentCell(recorded_a.CellsOf(step), recorded_b.CellsOf(step));
  return fmt::format("{} and {} differ first at step {}, cell ({}, {})", a.run.name, b.run.name, step, cell.x,
                     cell.y);
}

}  // namespace

std::vector<VerifyRun> StandardRuns(int shuffled) {
  std::vector<VerifyRun> runs;
  for (const Mode mode : kModes) runs.push_back({ModeName(mode), mode, {}});
  for (int i = 1; i <= shuffled; ++i) {
    const auto seed = static_cast<uint64_t>(i);
    for (const Mode mode : {Mode::kOutOfOrder, Mode::kSpeculative}) {
      runs.push_back({fmt::format("{}, shuffled {}", ModeName(mode), i), mode, seed});
    }
  }
  return runs;
}

VerifyReport Verify(const std::function<std::unique_ptr<World>()>& make_world,
                    const std::function<std::shared_ptr<llm::Llm>(const VerifyRun&)>& make_llm,
                    const std::vector<VerifyRun>& runs, const RunOptions& options) {
  VerifyReport report;
  std::unique_ptr<Recorder> first;
  for (const VerifyRun& run : runs) {
    const std::unique_ptr<World> world = make_world();
    const std::shared_ptr<llm::Llm> llm = make_llm(run);
    auto recorder = std::make_unique<Recorder>(world->NumAgents());
    RunOptions run_options = options;
    run_options.mode = run.mode;
    run_options.observers.push_back(recorder.get());
    report.runs.push_back({run, RunWorld(*world, *llm, run_options)});
    if (first == nullptr) {
      first = std::move(recorder);
    } else if (report.runs.back().result.hash != report.runs.front().result.hash) {
      report.difference =
          DescribeDifference(*world, report.runs.front(), *first, report.runs.back(), *recorder);
      break;
    }
  }
  return report;
}

}  // namespace throng::sim
