// Ends a run at an event: throng run --until-event.
#pragma once

#include <memory>
#include <set>
#include <string>

#include "sim/run/run.h"

namespace throng::app {

// Becomes true with the first step in which an event of a kind happens, and ends the run with that step. The
// step is the same in every mode, as it counts only once all agents have done it.
class EventCondition final : public sim::RunObserver {
 public:
  // "KIND", or "KIND=TEXT": the event's text contains TEXT. Steps before `from` do not count. Throws kInvalid
  // for a condition without a kind.
  EventCondition(const std::string& condition, sim::Step from);

  void OnCommit(const sim::CommitRecord& record) override;
  void OnStep(sim::Step, const Digest&) override {}
  bool EndsAfter(sim::Step step) const { return happened_.contains(step); }

 private:
  std::string kind_;
  std::string text_;
  sim::Step from_;
  std::set<sim::Step> happened_;
};

// Makes the condition end a run with these options, which keep it.
void EndAtEvent(const std::string& condition, sim::Step from, sim::RunOptions& options);

}  // namespace throng::app
