#include "journal/snapshots.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/provenance.h"
#include "journal/store/clock.h"
#include "journal/store/database.h"
#include "journal/store/schema.h"

namespace throng::journal {

namespace {

// Repeating so many agent-steps takes about a second (docs/snapshots.md), so nobody waits much longer.
constexpr int64_t kAgentStepsBetween = 100'000;
// A snapshot copies everybody, which takes a fifth of a step of all agents (docs/snapshots.md).
constexpr int64_t kLeastStepsBetween = 20;
// SQLite takes no more than 1e9 bytes at once.
constexpr size_t kPartBytes = size_t{16} << 20;

std::string ThisProgram() { return fmt::format("{} ({})", THRONG_VERSION, SourceCommit()); }

sim::Step AutomaticInterval(const sim::World& world) {
  const int64_t agents = std::max<int64_t>(1, world.NumAgents());
  return static_cast<sim::Step>(std::max(kLeastStepsBetween, kAgentStepsBetween / agents));
}

}  // namespace

void Journal::AddSnapshot(sim::Step step, std::string_view minds, std::string_view bytes) {
  Touch();
  for (const char* sql :
       {"DELETE FROM snapshots WHERE step = ?", "DELETE FROM snapshot_parts WHERE step = ?"}) {
    Statement(*database_, sql).Bind(int64_t{step}).Run();
  }
  Statement add_part(*database_, kAddSnapshotPart);
  for (size_t at = 0; at < bytes.size(); at += kPartBytes) {
    add_part.Bind(int64_t{step}).Bind(static_cast<int64_t>(at / kPartBytes));
    add_part.BindBytes(bytes.substr(at, kPartBytes)).Run();
  }
  Statement add(*database_, kAddSnapshot);
  add.Bind(int64_t{step}).Bind(std::string_view(NowUtc())).Bind(std::string_view(ThisProgram())).Bind(minds);
  add.Bind(static_cast<int64_t>(bytes.size())).Bind(DigestOf(bytes)).Run();
  Flush();
}

std::vector<SnapshotRow> Journal::Snapshots() const {
  Statement select(*database_,
                   "SELECT step, made, program, minds, bytes, digest FROM snapshots ORDER BY step");
  std::vector<SnapshotRow> rows;
  while (select.Step()) {
    rows.push_back({static_cast<sim::Step>(select.Int(0)), select.Text(1), select.Text(2), select.Text(3),
                    select.Int(4), select.GetDigest(5)});
  }
  return rows;
}

std::string Journal::SnapshotBytes(const SnapshotRow& snapshot) const {
  Statement select(*database_, "SELECT content FROM snapshot_parts WHERE step = ? ORDER BY part");
  select.Bind(int64_t{snapshot.step});
  std::string bytes;
  while (select.Step()) bytes += select.Bytes(0);
  if (static_cast<int64_t>(bytes.size()) != snapshot.bytes || DigestOf(bytes) != snapshot.digest) {
    throw MakeError(ErrorCode::kCorrupt, "its {} bytes are not the {} that were written", bytes.size(),
                    snapshot.bytes);
  }
  return bytes;
}

std::vector<Digest> Journal::StepHashes(sim::Step count) const {
  Statement select(*database_, "SELECT hash FROM hashes WHERE step < ? ORDER BY step");
  select.Bind(int64_t{count});
  std::vector<Digest> hashes;
  while (select.Step()) hashes.push_back(select.GetDigest(0));
  return hashes;
}

SnapshotWriter::SnapshotWriter(Journal& journal, const sim::World& world, std::optional<sim::Step> every,
                               std::function<void(const std::string&)> warn)
    : journal_(journal),
      warn_(warn ? std::move(warn) : [](const std::string& problem) { spdlog::warn("{}", problem); }),
      minds_(world.MindForm()),
      every_(every.value_or(AutomaticInterval(world))),
      is_automatic_(!every.has_value()) {
  const std::vector<SnapshotRow> kept = journal.Snapshots();
  if (!kept.empty()) snapshot_bytes_ = kept.back().bytes;
  journal_bytes_ = journal.Bytes();
}

// Automatic ones wait until the rest of the journal has grown by as much as they take.
std::optional<sim::Step> SnapshotWriter::NextAfter(sim::Step front) {
  if (has_given_up_) return std::nullopt;
  if (is_automatic_ && journal_.Bytes() < journal_bytes_ + snapshot_bytes_) return std::nullopt;
  return (front / every_ + 1) * every_;
}

void SnapshotWriter::Keep(const sim::Snapshot& snapshot) {
  std::string bytes;
  try {
    bytes = sim::WriteSnapshot(snapshot);
  } catch (const Error& error) {
    if (error.Code() != ErrorCode::kUnsupported) throw;
    has_given_up_ = true;
    warn_(fmt::format("journal {}: it gets no snapshots: a mind cannot be written down: {}", journal_.Path(),
                      error.what()));
    return;
  }
  journal_.AddSnapshot(snapshot.step, minds_, bytes);
  snapshot_bytes_ = static_cast<int64_t>(bytes.size());
  journal_bytes_ = journal_.Bytes();
}

FoundSnapshot FindSnapshot(const Journal& journal, const sim::World& world, sim::Step latest) {
  FoundSnapshot found;
  std::vector<SnapshotRow> rows;
  try {
    rows = journal.Snapshots();
  } catch (const Error& error) {
    found.problem = error.what();
  }
  latest = std::min(latest, journal.NumSteps());
  std::erase_if(rows, [&](const SnapshotRow& row) { return row.step <= 0 || row.step > latest; });
  for (auto row = rows.rbegin(); row != rows.rend() && !found.snapshot; ++row) {
    std::string problem;
    try {
      if (row->program != ThisProgram()) {
        problem = fmt::format("it was written by throng {}, and this is {}", row->program, ThisProgram());
      } else if (row->minds != world.MindForm()) {
        problem = fmt::format("its minds have the form {:?}, and the world reads {:?}", row->minds,
                              world.MindForm());
      } else {
        found.snapshot =
            sim::ReadSnapshot(world, row->step, journal.StepHashes(row->step), journal.SnapshotBytes(*row));
      }
    } catch (const Error& error) {
      problem = error.what();
    }
    if (!found.snapshot && found.problem.empty()) {
      found.problem = fmt::format("journal {}: the snapshot of step {} cannot be used: {}", journal.Path(),
                                  row->step, problem);
    }
  }
  return found;
}

}  // namespace throng::journal
