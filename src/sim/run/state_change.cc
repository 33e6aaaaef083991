#include "sim/run/state_change.h"

#include <utility>

#include "base/error.h"
#include "sim/cluster_run.h"

namespace throng::sim {

bool StateChange::IsPresent(AgentId agent) const {
  return agent < graph_.NumAgents() && graph_.IsPresent(agent);
}

void StateChange::MustBePresent(AgentId agent) const {
  if (!IsPresent(agent)) throw MakeError(ErrorCode::kInvalid, "agent {} is not there", agent);
}

void StateChange::MustContain(Pos pos) const {
  const Space& space = world_.GetSpace();
  if (space.Contains(pos)) return;
  throw MakeError(ErrorCode::kInvalid, "cell ({}, {}) is outside the space of {} x {}", pos.x, pos.y,
                  space.Width(), space.Height());
}

const Body& StateChange::BodyOf(AgentId agent) const {
  MustBePresent(agent);
  return state_.BodyOf(agent);
}

const MindPtr& StateChange::MindOf(AgentId agent) const {
  if (agent >= graph_.NumAgents()) MustBePresent(agent);
  return state_.MindOf(agent);
}

std::string StateChange::Cell(Pos pos) const {
  const std::string* value = state_.CellAt(pos, Now());
  return value == nullptr ? std::string() : *value;
}

void StateChange::SetAgent(AgentId agent, Body body, MindPtr mind) {
  const Digest digest = DigestOfMind(mind.get(), hasher_);
  state_.SetAgent(agent, Now(), std::move(body), std::move(mind), digest);
  touched_.insert(agent);
}

// Drops the lookahead: at a pause no agent is ahead that could have relied on it.
void StateChange::SetMind(AgentId agent, MindPtr mind) {
  MustBePresent(agent);
  SetAgent(agent, Body(state_.BodyOf(agent)), std::move(mind));
  graph_.DropLookahead(agent);
}

void StateChange::WriteCell(Pos pos, std::string value) {
  MustContain(pos);
  state_.SetCell(pos, Now(), value);
  cells_.push_back({pos, std::move(value)});
}

void StateChange::Add(AgentId id, Body body, MindPtr mind) {
  if (id >= graph_.NumAgents() || IsPresent(id)) {
    throw MakeError(ErrorCode::kInvalid, "agent {} cannot be added: {}", id,
                    IsPresent(id) ? std::string("it is there")
                                  : fmt::format("the world has ids from 0 to {}", graph_.NumAgents() - 1));
  }
  MustContain(body.pos);
  graph_.Add(id, body.pos, Now());
  SetAgent(id, std::move(body), std::move(mind));
  came_or_went_.insert(id);
}

void StateChange::Remove(AgentId agent) {
  MustBePresent(agent);
  graph_.Remove(agent);
  state_.RemoveAgent(agent, Now());
  touched_.insert(agent);
  came_or_went_.insert(agent);
}

void StateChange::Announce(std::string text) {
  announced_ = hasher_.Reset().Add(announced_).Add(text).Finish();
  state_.Announce({Now(), std::move(text)}, kNobody);
}

const InterventionRecord& StateChange::Finish(const std::string& what, size_t index) {
  SortCells(cells_);
  Hasher all;
  all.Add("intervention").Add(Now()).Add(uint64_t{index}).Add(what).Add(announced_);
  for (const AgentId id : touched_) {
    MemberCommit agent;
    agent.id = id;
    agent.body_changed = came_or_went_.count(id) > 0;
    agent.mind_changed = true;
    agent.removed = !IsPresent(id);
    agent.body = state_.BodyOf(id);
    agent.mind = state_.MindOf(id);
    agent.mind_digest = state_.MindDigest(id);
    hasher_.Reset().Add(id).Add(agent.removed);
    agent.body.Hash(hasher_);
    agent.digest = hasher_.Add(agent.mind_digest).Finish();
    all.Add(agent.digest);
    agents_.push_back(std::move(agent));
  }
  for (const CellWrite& cell : cells_) cell.Hash(all);
  record_ = {Now(), what, agents_, cells_, all.Finish()};
  return record_;
}

}  // namespace throng::sim
