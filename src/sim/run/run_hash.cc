#include "sim/run/run_hash.h"

namespace throng::sim {

namespace {

constexpr Step kStart = -1;

}  // namespace

void RunHash::AddStart(AgentId agent, const Body& body, const Digest& mind) {
  hasher_.Reset().Add(agent).Add(kStart);
  body.Hash(hasher_);
  start_ += hasher_.Add(mind).Finish();
}

Digest RunHash::FinishStart() {
  const Digest hash = Close(start_, kStart);
  run_.Add(hash);
  return hash;
}

void RunHash::StartFrom(const Digest& start_hash, const std::vector<Digest>& step_hashes) {
  run_.Add(start_hash);
  for (const Digest& hash : step_hashes) run_.Add(hash);
  first_open_ = static_cast<Step>(step_hashes.size());
}

Digest& RunHash::SumOf(Step step) {
  const size_t i = static_cast<size_t>(step - first_open_);
  while (open_.size() <= i) open_.emplace_back();
  return open_[i];
}

void RunHash::AddCommit(const CommitRecord& record) {
  Digest& sum = SumOf(record.step);
  for (const MemberCommit& member : record.members) sum += member.digest;
  for (const MemberCommit& born : record.born) sum += born.digest;
  for (const CellWrite& cell : record.cells) {
    hasher_.Reset().Add("cell").Add(record.step);
    cell.Hash(hasher_);
    sum += hasher_.Finish();
  }
}

void RunHash::AddIntervention(const InterventionRecord& record) { SumOf(record.step) += record.digest; }

Digest RunHash::Close(const Digest& sum, Step step) { return hasher_.Reset().Add(step).Add(sum).Finish(); }

bool RunHash::TakeStep(Step base_step, Digest& hash) {
  if (first_open_ >= base_step) return false;
  hash = Close(SumOf(first_open_), first_open_);
  run_.Add(hash);
  open_.pop_front();
  ++first_open_;
  return true;
}

}  // namespace throng::sim
