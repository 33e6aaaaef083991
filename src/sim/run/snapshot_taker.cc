#include "sim/run/snapshot_taker.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace throng::sim {

void SnapshotTaker::Copy(AgentId id) {
  Snapshot::Agent& agent = snapshot_.agents[id];
  agent.present = state_.IsPresent(id);
  agent.was_present = true;
  agent.body = state_.BodyOf(id);
  agent.mind = state_.MindOf(id);
  agent.mind_digest = state_.MindDigest(id);
  if (agent.present && graph_.LookaheadOf(id).until > step_) agent.lookahead = graph_.LookaheadOf(id);
}

void SnapshotTaker::OnAgent(AgentId id, Step next) {
  if (step_ == kNone || next > step_) return;
  if (next == step_ || !state_.IsPresent(id)) Copy(id);
}

// No agent has reached the step yet, so all will pass here, but for those that have left before.
void SnapshotTaker::BeginIfDue() {
  if (step_ != kNone || due_ == kNone || graph_.FrontStep() + 1 < due_) return;
  step_ = std::exchange(due_, kNone);
  beyond_ = {};
  snapshot_ = {};
  snapshot_.step = step_;
  snapshot_.agents.resize(graph_.NumAgents());
  for (AgentId id = 0; id < graph_.NumAgents(); ++id) {
    if (graph_.WasPresent(id) && !graph_.IsPresent(id)) Copy(id);
  }
}

// Cells and what was posted have their versions until they are pruned. What agents announce from now on is
// heard later than what they have announced before the step.
void SnapshotTaker::Complete(const RunStats& stats) {
  is_complete_ = true;
  snapshot_.counts = stats;
  snapshot_.counts -= beyond_;
  snapshot_.largest_cluster = largest_cluster_;
  snapshot_.interventions = stats.interventions;
  snapshot_.cells = state_.CellsAt(step_);
  const Step heard_before = step_ + world_.Horizon();
  std::copy_if(
      state_.Announced().begin(), state_.Announced().end(), std::back_inserter(snapshot_.announced),
      [&](const Heard& heard) { return heard.by == kNobody || heard.announcement.from < heard_before; });
  snapshot_.board = state_.Posts().ContentsAt(step_, world_.Horizon());
}

void SnapshotTaker::OnCommit(const RunStats& stats) {
  BeginIfDue();
  if (step_ != kNone && !is_complete_ && graph_.BaseStep() >= step_) Complete(stats);
}

void SnapshotTaker::OnBase(const Digest& start_hash, const std::vector<Digest>& step_hashes) {
  if (is_complete_) {
    snapshot_.start_hash = start_hash;
    snapshot_.step_hashes.assign(step_hashes.begin(), step_hashes.begin() + step_);
    sink_.Keep(snapshot_);
    snapshot_ = {};
    is_complete_ = false;
    step_ = kNone;
  }
  // Nobody was there any more, so that the run has passed the step without a commit.
  if (graph_.BaseStep() >= step_) step_ = kNone;
  if (step_ == kNone) largest_cluster_ = std::max(largest_cluster_, std::exchange(largest_beyond_, 0));
  if (step_ != kNone || due_ != kNone) return;
  due_ = sink_.NextAfter(graph_.FrontStep()).value_or(kNone);
  if (due_ >= end_step_) due_ = kNone;
  BeginIfDue();
}

}  // namespace throng::sim
