// The canonical hash of a run: what happened in each step, independent of the order of execution.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "base/digest.h"
#include "sim/run_observer.h"

namespace throng::sim {

// A step's hash is the digest of the sum of the digests of its interventions, members, newborns and cells: a
// sum does not depend on order.
class RunHash {
 public:
  void AddStart(AgentId agent, const Body& body, const Digest& mind);
  Digest FinishStart();  // after AddStart for all agents present
  // Instead of all that: goes on after these steps.
  void StartFrom(const Digest& start_hash, const std::vector<Digest>& step_hashes);

  void AddCommit(const CommitRecord& record);
  void AddIntervention(const InterventionRecord& record);

  // Takes the hash of the next step in order, if that step is before base_step, so that all agents have done
  // it; else returns false.
  bool TakeStep(Step base_step, Digest& hash);

  Digest Finish() const { return run_.Finish(); }  // over the start and all steps taken

 private:
  Digest& SumOf(Step step);
  Digest Close(const Digest& sum, Step step);

  Digest start_;
  std::deque<Digest> open_;  // sums of steps first_open_ + i
  Step first_open_ = 0;
  Hasher hasher_;
  Hasher run_;
};

}  // namespace throng::sim
