#include "town/mind/interview.h"

#include <utility>

#include "base/error.h"
#include "journal/llm/replay_llm.h"

namespace throng::town {
namespace {

class Watcher : public sim::RunObserver {
 public:
  Watcher(sim::AgentId agent, sim::MindPtr mind) : agent_(agent), mind_(std::move(mind)) {}
  void OnCommit(const sim::CommitRecord& record) override {
    for (const sim::MemberCommit& member : record.members) {
      if (member.id == agent_) mind_ = member.mind;
    }
  }
  void OnStep(sim::Step, const Digest&) override {}
  void OnIntervention(const sim::InterventionRecord& record) override {
    for (const sim::MemberCommit& agent : record.agents) {
      if (agent.id == agent_) mind_ = agent.mind;
    }
  }
  const sim::MindPtr& Mind() const { return mind_; }

 private:
  sim::AgentId agent_;
  sim::MindPtr mind_;
};

}  // namespace

sim::MindPtr MindAt(const Town& town, journal::Journal& journal, sim::AgentId agent, sim::Step step) {
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
  Watcher watcher(agent, town.StartMind(agent));
  if (step == 0) return watcher.Mind();
  journal::ReplayLlm llm(journal);
  sim::RunOptions options;
  options.mode = sim::Mode::kLockstep;
  options.steps = step;
  const sim::Seeds seeds = journal.GetSeeds();
  options.seed = seeds.first;
  options.seed_changes = seeds.changes;
  options.interventions = journal.Interventions();
  options.observers = {&watcher};
  options.falls_back = [](const llm::Completion&) { return true; };  // the failures that the journal has
  sim::RunWorld(town, llm, options);
  return watcher.Mind();
}

}  // namespace throng::town
