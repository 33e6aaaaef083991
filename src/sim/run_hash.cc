#include "sim/run_hash.h"

namespace throng::sim {

namespace {

constexpr Step kStart = -1;

}  // namespace

void RunHash::AddStart(AgentId agent, const Body& body, const Digest& mind) {
  hasher_.Reset().Add(agent).Add(kStart).Add(body.pos.x).Add(body.pos.y).Add(body.status).Add(mind);
  start_.sum += hasher_.Finish();
  if (++start_.agents == num_agents_) {
    start_hash_ = Close(start_, kStart);
    run_.Add(start_hash_);
  }
}

void RunHash::AddCommit(const CommitRecord& record) {
  const size_t i = static_cast<size_t>(record.step - first_open_);
  while (open_.size() <= i) open_.emplace_back();
  Sum& sum = open_[i];
  for (const MemberCommit& member : record.members) sum.sum += member.digest;
  for (const CellWrite& cell : record.cells) {
    hasher_.Reset().Add("cell").Add(record.step).Add(cell.pos.x).Add(cell.pos.y).Add(cell.value);
    sum.sum += hasher_.Finish();
  }
  sum.agents += static_cast<uint32_t>(record.members.size());
}

Digest RunHash::Close(const Sum& sum, Step step) { return hasher_.Reset().Add(step).Add(sum.sum).Finish(); }

bool RunHash::TakeStep(Digest& hash) {
  if (open_.empty() || open_.front().agents < num_agents_) return false;
  hash = Close(open_.front(), first_open_);
  run_.Add(hash);
  open_.pop_front();
  ++first_open_;
  return true;
}

}  // namespace throng::sim
