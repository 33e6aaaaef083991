// What a journal keeps of committed steps, and how it compares what is done again.

#include <map>
#include <utility>

#include "base/error.h"
#include "journal/journal.h"
#include "journal/store/statements.h"

namespace throng::journal {

namespace {

std::string JoinMembers(const sim::CommitRecord& record) {
  std::string text;
  for (const sim::MemberCommit& member : record.members) {
    if (!text.empty()) text += ',';
    text += std::to_string(member.id);
  }
  return text;
}

}  // namespace

// What was committed in this step before the journal was opened: read at once, as asking for each takes a
// message to a database on another host.
const Journal::KnownCommits& Journal::CommitsOf(sim::Step step) {
  const auto [found, is_new] = known_commits_.try_emplace(step);
  if (is_new) {
    Statement& find = statements_->find_commits;
    find.Bind(int64_t{step});
    while (find.Step()) found->second.emplace(static_cast<sim::AgentId>(find.Int(0)), find.GetDigest(1));
  }
  return found->second;
}

void Journal::OnCommit(const sim::CommitRecord& record) {
  if (IsKnown(record)) return;
  WriteCommit(record);
  if (moments_ != nullptr) WriteMoments(moments_->Add(record));
}

bool Journal::IsKnown(const sim::CommitRecord& record) {
  if (record.step >= known_commits_end_) return false;
  const sim::AgentId first = record.members.front().id;
  const KnownCommits& known = CommitsOf(record.step);
  const auto found = known.find(first);
  if (found == known.end()) return false;
  if (found->second == record.digest) return true;
  throw MakeError(
      ErrorCode::kInvalid,
      "journal {}: step {} of agent {} came out differently when it was done again: the scenario or the "
      "program has changed since",
      path_, record.step, first);
}

void Journal::WriteCommit(const sim::CommitRecord& record) {
  const int64_t step = record.step;
  Touch();
  statements_->add_commit.Bind(step).Bind(int64_t{record.members.front().id});
  statements_->add_commit.Bind(std::string_view(JoinMembers(record))).Bind(record.digest).Run();
  const auto write_body = [&](const sim::MemberCommit& agent) {
    Touch();
    statements_->add_body.Bind(step + 1).Bind(int64_t{agent.id}).Bind(int64_t{agent.body.pos.x});
    statements_->add_body.Bind(int64_t{agent.body.pos.y}).Bind(std::string_view(agent.body.status)).Run();
  };
  for (const sim::MemberCommit& member : record.members) {
    if (member.body_changed) write_body(member);
    if (member.removed) WritePresence(record.step + 1, member.id, false);
  }
  for (const sim::MemberCommit& born : record.born) {
    write_body(born);
    WritePresence(record.step + 1, born.id, true);
  }
  for (const sim::CellWrite& cell : record.cells) {
    Touch();
    statements_->add_cell.Bind(step + 1).Bind(int64_t{cell.pos.x}).Bind(int64_t{cell.pos.y});
    statements_->add_cell.Bind(std::string_view(cell.value)).Run();
  }
  std::map<sim::AgentId, int64_t> seq;
  for (const sim::Event& event : record.events) {
    Touch();
    statements_->add_event.Bind(step).Bind(int64_t{event.agent}).Bind(seq[event.agent]++);
    statements_->add_event.Bind(std::string_view(event.kind)).Bind(std::string_view(event.text));
    if (event.call >= 0) {
      statements_->add_event.Bind(int64_t{event.call}).Run();
    } else {
      statements_->add_event.BindNull().Run();
    }
  }
}

void Journal::OnStep(sim::Step step, const Digest& hash) {
  known_commits_.erase(step);
  if (step < known_steps_) return;  // its commits were compared one by one
  Touch();
  statements_->add_hash.Bind(int64_t{step}).Bind(hash).Run();
}

}  // namespace throng::journal
