#include "sim/world_state.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace throng::sim {

namespace {

uint64_t KeyOf(Pos pos) {
  return uint64_t{static_cast<uint32_t>(pos.x)} << 32 | static_cast<uint32_t>(pos.y);
}

Pos PosOf(uint64_t key) {
  return {static_cast<int32_t>(static_cast<uint32_t>(key >> 32)),
          static_cast<int32_t>(static_cast<uint32_t>(key))};
}

// Drops the versions (ascending) that a later one hides from the base step on.
template <typename Versions>
void DropHidden(Versions& versions, Step base_step) {
  size_t keep = versions.size();
  while (keep > 0 && versions[keep - 1].step > base_step) --keep;
  if (keep > 1) versions.erase(versions.begin(), versions.begin() + static_cast<ptrdiff_t>(keep - 1));
}

}  // namespace

Digest DigestOfMind(const Mind* mind, Hasher& hasher) {
  if (mind == nullptr) return {};
  hasher.Reset();
  mind->Hash(hasher);
  return hasher.Finish();
}

WorldState::WorldState(const World& world, bool keeps_older, const Snapshot* from)
    : agents_(world.NumAgents()),
      older_(keeps_older ? world.NumAgents() : 0),
      posts_(world.NumAgents(), world.GetPostRules()) {
  if (from != nullptr) {
    StartFrom(*from);
  } else {
    StartAt(world);
  }
}

void WorldState::StartAt(const World& world) {
  Hasher hasher;
  for (AgentId id = 0; id < world.NumAgents(); ++id) {
    Agent& agent = agents_[id];
    agent.newest = {0, world.StartsPresent(id), {}, nullptr};
    if (!agent.newest.present) continue;
    agent.newest.body = world.StartBody(id);
    agent.newest.mind = world.StartMind(id);
    agent.mind_digest = DigestOfMind(agent.newest.mind.get(), hasher);
  }
  for (Announcement& announcement : world.Announcements()) Announce(std::move(announcement), kNobody);
}

void WorldState::StartFrom(const Snapshot& from) {
  base_step_ = from.step;
  for (AgentId id = 0; id < agents_.size(); ++id) {
    const Snapshot::Agent& agent = from.agents[id];
    agents_[id].newest = {from.step, agent.present, agent.body, agent.mind};
    agents_[id].mind_digest = agent.mind_digest;
  }
  for (const CellWrite& cell : from.cells) cells_[KeyOf(cell.pos)].push_back({from.step, cell.value});
  announced_ = from.announced;
  posts_.Prune(from.step);
  posts_.Restore(from.board);
}

const WorldState::Version& WorldState::VersionAt(AgentId id, Step step) const {
  const Agent& agent = agents_[id];
  if (agent.newest.step <= step) return agent.newest;
  THRONG_CHECK(id < older_.size());
  const std::vector<Version>& older = older_[id];
  size_t i = older.size();
  while (i > 0 && older[i - 1].step > step) --i;
  THRONG_CHECK(i > 0);  // else the version was pruned: step is before the base step
  return older[i - 1];
}

const Body* WorldState::FindBodyAt(AgentId agent, Step step) const {
  const Version& version = VersionAt(agent, step);
  return version.present ? &version.body : nullptr;
}

const Body& WorldState::BodyAt(AgentId agent, Step step) const { return VersionAt(agent, step).body; }
const MindPtr& WorldState::MindAt(AgentId agent, Step step) const { return VersionAt(agent, step).mind; }

const std::string* WorldState::CellAt(Pos pos, Step step) const {
  const auto it = cells_.find(KeyOf(pos));
  if (it == cells_.end()) return nullptr;
  const std::vector<CellVersion>& versions = it->second;
  for (size_t i = versions.size(); i > 0; --i) {
    if (versions[i - 1].step <= step) return &versions[i - 1].value;
  }
  return nullptr;
}

std::vector<CellWrite> WorldState::CellsAt(Step step) const {
  std::vector<CellWrite> cells;
  for (const auto& [key, versions] : cells_) {
    const Pos pos = PosOf(key);
    const std::string* value = CellAt(pos, step);
    if (value != nullptr && !value->empty()) cells.push_back({pos, *value});
  }
  std::sort(cells.begin(), cells.end(),
            [](const CellWrite& a, const CellWrite& b) { return KeyOf(a.pos) < KeyOf(b.pos); });
  return cells;
}

void WorldState::SetVersion(AgentId id, Version version) {
  Agent& agent = agents_[id];
  const Step step = version.step;
  THRONG_DCHECK(step >= agent.newest.step);
  if (older_.empty()) {
    agent.newest = std::move(version);
    return;
  }
  std::vector<Version>& older = older_[id];
  if (step > agent.newest.step) older.push_back(std::move(agent.newest));
  agent.newest = std::move(version);
  if (step <= base_step_) {
    older.clear();
  } else {
    DropHidden(older, base_step_);
  }
}

void WorldState::SetAgent(AgentId id, Step step, Body body, MindPtr mind, const Digest& mind_digest) {
  SetVersion(id, {step, true, std::move(body), std::move(mind)});
  agents_[id].mind_digest = mind_digest;
}

void WorldState::RemoveAgent(AgentId id, Step step) {
  const Version& newest = agents_[id].newest;
  SetVersion(id, {step, false, newest.body, newest.mind});
}

std::vector<Announcement> WorldState::AnnouncedAt(Step step, size_t known) const {
  std::vector<Announcement> announcements;
  for (size_t i = known; i < announced_.size() && announced_[i].announcement.from <= step; ++i) {
    announcements.push_back(announced_[i].announcement);
  }
  return announcements;
}

void WorldState::Announce(Announcement announcement, AgentId by) {
  const auto is_earlier = [&](const Heard& other) {
    const Step from = other.announcement.from;
    return from < announcement.from || (from == announcement.from && other.by <= by);
  };
  auto at = announced_.end();
  while (at != announced_.begin() && !is_earlier(*(at - 1))) --at;
  announced_.insert(at, {std::move(announcement), by});
}

void WorldState::SetCell(Pos pos, Step step, std::string value) {
  const uint64_t key = KeyOf(pos);
  std::vector<CellVersion>& versions = cells_[key];
  if (!versions.empty() && versions.back().step == step) {
    versions.back().value = std::move(value);
    return;
  }
  THRONG_CHECK(versions.empty() || versions.back().step < step);
  versions.push_back({step, std::move(value)});
  written_[step].push_back(key);
}

void WorldState::PruneCell(uint64_t key) {
  const auto it = cells_.find(key);
  if (it == cells_.end()) return;
  DropHidden(it->second, base_step_);
  if (it->second.size() == 1 && it->second[0].step <= base_step_ && it->second[0].value.empty()) {
    cells_.erase(it);  // reads as if nothing had ever been written
  }
}

void WorldState::Prune(Step base_step) {
  base_step_ = base_step;
  posts_.Prune(base_step);
  while (!written_.empty() && written_.begin()->first <= base_step) {
    for (const uint64_t key : written_.begin()->second) PruneCell(key);
    written_.erase(written_.begin());
  }
}

size_t WorldState::WorldBytes() const {
  size_t bytes = agents_.capacity() * (sizeof(Body) + sizeof(MindPtr)) + posts_.Bytes();
  for (const auto& [key, versions] : cells_) {
    for (const CellVersion& version : versions) bytes += sizeof(std::string) + version.value.capacity();
  }
  return bytes;
}

size_t WorldState::BookkeepingBytes() const {
  size_t bytes = agents_.capacity() * (sizeof(Agent) - sizeof(Body) - sizeof(MindPtr));
  for (const std::vector<Version>& older : older_) {
    bytes += sizeof(older) + older.capacity() * sizeof(Version);
  }
  for (const auto& [key, versions] : cells_) {
    bytes += sizeof(key) + sizeof(versions) + versions.capacity() * sizeof(Step);
  }
  return bytes;
}

}  // namespace throng::sim
