// Records of what each step of a run changed, and the observer that receives them.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/digest.h"
#include "sim/world.h"

namespace throng::sim {

struct Snapshot;

struct CellWrite {
  Pos pos;
  std::string value;
  void Hash(Hasher& hasher) const { hasher.Add(pos.x).Add(pos.y).Add(value); }
};

struct MemberCommit {
  AgentId id = 0;
  bool body_changed = false;
  bool mind_changed = false;
  bool removed = false;  // this was its last step
  Body body;             // at the start of the next step
  MindPtr mind;          // at the start of the next step
  Digest mind_digest;    // of the mind alone
  Digest digest;         // of the member's step: body, mind, events, calls
};

// What one cluster's step changed. The spans live only during the callback.
struct CommitRecord {
  Step step = 0;
  std::span<const MemberCommit> members;  // ordered by id
  std::span<const MemberCommit> born;     // ordered by id; their state at the start of the next step
  std::span<const Event> events;          // in the order in which Resolve added them
  std::span<const CellWrite> cells;       // ordered by position, one per position
  Digest digest;                          // of step, members, newborns and cells
};

// What an intervention changed, at the start of `step`. The spans live only during the callback.
struct InterventionRecord {
  Step step = 0;
  std::string_view what;
  // Their state now or, if removed, their last; ordered by id. body_changed is set for agents that came or
  // went.
  std::span<const MemberCommit> agents;
  std::span<const CellWrite> cells;  // ordered by position
  Digest digest;
};

// Observes a run as it happens, on the run's thread. An exception ends the run.
class RunObserver {
 public:
  virtual ~RunObserver() = default;
  // The run begins here instead of at its start: nothing that happened before is told. The first call, if
  // it comes.
  virtual void OnSnapshot(const Snapshot& from) { static_cast<void>(from); }
  virtual void OnCommit(const CommitRecord& record) = 0;
  virtual void OnStep(Step step,
                      const Digest& hash) = 0;  // all agents have done this step; called in order of steps
  virtual void OnIntervention(const InterventionRecord& record) { static_cast<void>(record); }
  // An agent asks a call, whose digest is that of llm::DigestOfRequest, and gets its completion. Calls asked
  // on a guess are not told.
  virtual void OnAsked(const llm::Request& request, const Digest& digest) {
    static_cast<void>(request), static_cast<void>(digest);
  }
  virtual void OnAnswered(const llm::CallKey& key, const llm::Completion& completion) {
    static_cast<void>(key), static_cast<void>(completion);
  }
};

}  // namespace throng::sim
