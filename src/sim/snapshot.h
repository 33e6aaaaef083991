// The state of a run between two steps: all that a run needs to begin there instead of at its start. It does
// not depend on the mode or the order of execution. Where snapshots are kept is up to a SnapshotSink.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "sim/run_observer.h"
#include "sim/run_stats.h"
#include "sim/space/reach.h"
#include "sim/world.h"

namespace throng::sim {

struct Heard {
  Announcement announcement;
  AgentId by;  // kNobody: known from the start, or from an intervention
};

struct Snapshot {
  struct Agent {
    bool present = false;
    bool was_present = false;  // now or earlier
    Body body;                 // body and mind: the last ones, of an agent that has left
    MindPtr mind;
    Digest mind_digest;
    Lookahead lookahead;  // in force
  };
  Step step = 0;  // all agents begin it, and its interventions have not happened yet
  Digest start_hash;
  std::vector<Digest> step_hashes;  // of the steps before
  StepCounts counts;                // of the steps before, as are the next two
  uint32_t largest_cluster = 0;
  uint64_t interventions = 0;
  std::vector<Agent> agents;     // by id
  std::vector<CellWrite> cells;  // that are not empty, ordered by position
  std::vector<Heard> announced;  // in the order in which they are heard, later ones too
  BoardContents board;
};

// Without the hashes of steps, of which only a digest is written. The world must have a MindForm.
std::string WriteSnapshot(const Snapshot& snapshot);

// Reads what WriteSnapshot wrote. step_hashes: of all steps before `step`, in order. Throws kCorrupt if the
// bytes are damaged, or not those of this world at this step after steps with these hashes; minds must have
// the digests that they had.
Snapshot ReadSnapshot(const World& world, Step step, std::vector<Digest> step_hashes, std::string_view bytes);

// Keeps the snapshots of a run, on the run's thread. An exception ends the run.
class SnapshotSink {
 public:
  virtual ~SnapshotSink() = default;
  // The step of the next snapshot, beyond `front`, which no agent has passed; or none yet: then it is asked
  // again when all agents have done another step.
  virtual std::optional<Step> NextAfter(Step front) = 0;
  // Its commits and the hashes of its steps have been told to the observers.
  virtual void Keep(const Snapshot& snapshot) = 0;
};

}  // namespace throng::sim
