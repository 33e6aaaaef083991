// The canonical hash of a run: what happened in each step, whatever the order in which it was computed.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "base/digest.h"
#include "sim/scheduler.h"

namespace throng::sim {

// A step's hash is the digest of the sum of its members' and cells' digests: a sum does not depend on the
// order.
class RunHash {
 public:
  explicit RunHash(uint32_t num_agents) : num_agents_(num_agents) {}

  void AddStart(AgentId agent, const Body& body, const Digest& mind);
  void AddCommit(const CommitRecord& record);

  // Steps that all agents have done, in order; false when the next one is not complete.
  bool TakeStep(Digest& hash);

  const Digest& StartHash() const { return start_hash_; }
  Digest Finish() const { return run_.Finish(); }  // over the start and all steps taken

 private:
  struct Sum {
    Digest sum;
    uint32_t agents = 0;
  };
  Digest Close(const Sum& sum, Step step);

  uint32_t num_agents_;
  Sum start_;
  Digest start_hash_;
  std::deque<Sum> open_;  // steps first_open_ + i
  Step first_open_ = 0;
  Hasher hasher_;
  Hasher run_;
};

}  // namespace throng::sim
