#include "town/mind/interview.h"

#include <utility>

#include "base/error.h"
#include "journal/llm/replay_llm.h"
#include "journal/snapshots.h"

namespace throng::town {
namespace {

class Watcher : public sim::RunObserver {
 public:
  explicit Watcher(std::vector<sim::MindPtr> minds) : minds_(std::move(minds)) {}
  void OnSnapshot(const sim::Snapshot& from) override {
    for (size_t agent = 0; agent < minds_.size(); ++agent) {
      if (from.agents[agent].was_present) minds_[agent] = from.agents[agent].mind;
    }
  }
  void OnCommit(const sim::CommitRecord& record) override {
    for (const sim::MemberCommit& member : record.members) minds_[member.id] = member.mind;
  }
  void OnStep(sim::Step, const Digest&) override {}
  void OnIntervention(const sim::InterventionRecord& record) override {
    for (const sim::MemberCommit& agent : record.agents) minds_[agent.id] = agent.mind;
  }
  std::vector<sim::MindPtr> Take() { return std::move(minds_); }

 private:
  std::vector<sim::MindPtr> minds_;  // by agent
};

}  // namespace

std::vector<sim::MindPtr> MindsAt(const Town& town, journal::Journal& journal, sim::Step step) {
  const std::string& scenario = journal.ManifestValue(journal::JournalKeys::kScenario);
  if (scenario != town.ScenarioDigest().Hex()) {
    throw MakeError(
        ErrorCode::kInvalid,
        "journal {}: it was begun with another town or other agents, allowed: the same files, unchanged",
        journal.Path());
  }
  const sim::Step known = journal.NumSteps();
  if (step < 0 || step > known) {
    throw MakeError(ErrorCode::kInvalid, "journal {}: there is no step {}, allowed: 0 to {} ({})",
                    journal.Path(), step, known, town.ClockAt(known));
  }
  std::vector<sim::MindPtr> minds;
  for (sim::AgentId agent = 0; agent < town.NumAgents(); ++agent) minds.push_back(town.StartMind(agent));
  if (step == 0) return minds;
  Watcher watcher(std::move(minds));
  journal::ReplayLlm llm(journal);
  sim::RunOptions options;
  options.mode = sim::Mode::kLockstep;
  options.steps = step;
  const sim::Seeds seeds = journal.GetSeeds();
  options.seed = seeds.first;
  options.seed_changes = seeds.changes;
  options.interventions = journal.Interventions();
  const journal::FoundSnapshot found = journal::FindSnapshot(journal, town, step);
  if (found.snapshot) options.from = &*found.snapshot;
  options.observers = {&watcher};
  options.falls_back = [](const llm::Completion&) { return true; };  // the failures that the journal has
  sim::RunWorld(town, llm, options);
  return watcher.Take();
}

}  // namespace throng::town
