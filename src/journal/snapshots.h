// The snapshots in a journal: from them, a resumed run or a fork begins in the middle. They are not needed: a
// run without them is repeated from its start with the same hash.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "journal/journal.h"
#include "sim/snapshot.h"

namespace throng::journal {

// Writes the snapshots of a run.
class SnapshotWriter final : public sim::SnapshotSink {
 public:
  // The world must have a MindForm. every: in steps; none: whenever it costs little, compared to the run and
  // its journal. warn: told in one sentence if there can be none; not set: it is logged. The first two must
  // outlive this.
  SnapshotWriter(Journal& journal, const sim::World& world, std::optional<sim::Step> every,
                 std::function<void(const std::string&)> warn = {});

  std::optional<sim::Step> NextAfter(sim::Step front) override;
  void Keep(const sim::Snapshot& snapshot) override;

 private:
  Journal& journal_;
  const std::function<void(const std::string&)> warn_;
  const std::string minds_;
  const sim::Step every_;
  const bool is_automatic_;
  int64_t journal_bytes_ = 0;   // when the last one had been written
  int64_t snapshot_bytes_ = 0;  // of the last one
  bool has_given_up_ = false;   // a mind cannot be written down
};

struct FoundSnapshot {
  std::optional<sim::Snapshot> snapshot;
  std::string problem;  // one sentence on the newest one that cannot be used; empty: there is none
};

// The newest snapshot of a step up to `latest` from which this program can go on with this world. Those of
// other programs, and damaged ones, are passed over.
FoundSnapshot FindSnapshot(const Journal& journal, const sim::World& world, sim::Step latest);

}  // namespace throng::journal
