// Observes a run to record it, and finds in what two recorded runs differ.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sim/run/recording.h"
#include "sim/run_observer.h"
#include "sim/world.h"

namespace throng::sim {

// Where two runs differ first.
struct DifferentAt {
  Step step = 0;
  AgentId agent = 0;
};

// Given a recording of another run, it keeps in full only what differs from that.
class Recorder final : public RunObserver {
 public:
  // Records how the world starts. Everything must outlive this. strict: a call that the other run did not ask
  // ends this one with kCancelled.
  Recorder(const World& world, Recording& recording, const Recording* other, bool strict = false);

  void OnAsked(const llm::Request& request, const Digest& digest) override;
  void OnAnswered(const llm::CallKey& key, const llm::Completion& completion) override;
  void OnCommit(const CommitRecord& record) override;
  void OnStep(Step, const Digest&) override {}
  void OnIntervention(const InterventionRecord& record) override;

  // Set once a strict run has ended early.
  const std::optional<DifferentAt>& EndedAt() const { return ended_at_; }

 private:
  void Add(Step step, const MemberCommit& commit, std::span<const Event> events);

  Recording& recording_;
  const Recording* other_;
  bool strict_;
  std::optional<DifferentAt> ended_at_;
  std::vector<std::vector<RecordedCall>> calls_;  // by agent: of its current step
};

struct Difference {
  std::string text;                // a sentence: where, and what each of the two has there
  std::string second;              // what the second has there, in full
  bool is_backends_fault = false;  // both ask the same, and get different answers
};

// Compares two recordings of one world, whose runs have these names; nothing if they are equal.
std::optional<Difference> Compare(const World& world, const std::string& name_a, const Recording& a,
                                  const std::string& name_b, const Recording& b);
// Compares how they start.
std::optional<Difference> CompareStart(const World& world, const std::string& name_a, const Recording& a,
                                       const std::string& name_b, const Recording& b);
// Says what differs there.
Difference CompareAt(const World& world, const std::string& name_a, const Recording& a,
                     const std::string& name_b, const Recording& b, const DifferentAt& at);

}  // namespace throng::sim
