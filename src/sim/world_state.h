// The state of all agents and cells, in versions by step: version s is the state at the start of step s. Only
// changes create versions; versions that no agent can read any more are dropped.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/digest.h"
#include "base/huge_pages.h"
#include "sim/posts.h"
#include "sim/snapshot.h"
#include "sim/world.h"

namespace throng::sim {

class WorldState {
 public:
  // Holds version 0 at first. Without keeps_older, only the newest version of each agent can be read; cells
  // always keep theirs.
  // from: the first version is that of the snapshot, at its step.
  explicit WorldState(const World& world, bool keeps_older = true, const Snapshot* from = nullptr);

  // The newest version, which the agent's next step reads. References stay valid until the agent's next
  // SetAgent.
  const Body& BodyOf(AgentId agent) const { return agents_[agent].newest.body; }
  const MindPtr& MindOf(AgentId agent) const { return agents_[agent].newest.mind; }
  const Digest& MindDigest(AgentId agent) const { return agents_[agent].mind_digest; }

  bool IsPresent(AgentId agent) const { return agents_[agent].newest.present; }

  // The body at the start of `step`, which may be from the base step to the agent's own. Null if the agent
  // was absent.
  const Body* FindBodyAt(AgentId agent, Step step) const;
  // The body or mind at the start of such a step, of an agent that was present.
  const Body& BodyAt(AgentId agent, Step step) const;
  const MindPtr& MindAt(AgentId agent, Step step) const;
  // Null if nothing was written there before that step.
  const std::string* CellAt(Pos pos, Step step) const;

  // The announcements up to this step, without the first `known`.
  std::vector<Announcement> AnnouncedAt(Step step, size_t known) const;

  // For snapshots: the cells at the start of `step` that are not empty, ordered by position, and all
  // announcements in the order in which they are heard.
  std::vector<CellWrite> CellsAt(Step step) const;
  const std::vector<Heard>& Announced() const { return announced_; }

  // Versions of an agent or a cell must be set in order of steps. Setting one again replaces it.
  void SetAgent(AgentId agent, Step step, Body body, MindPtr mind, const Digest& mind_digest);
  void RemoveAgent(AgentId agent, Step step);  // its last body and mind stay the newest
  // Announcements of one step may come in any order; they are heard in order of `by`.
  void Announce(Announcement announcement, AgentId by);
  void SetCell(Pos pos, Step step, std::string value);

  const PostBoard& Posts() const { return posts_; }
  PostBoard& Posts() { return posts_; }

  // Hint: the agent will be read soon.
  void PrefetchAgent(AgentId agent) const { Prefetch(&agents_[agent]); }

  // Declares that steps before base_step will not be read again.
  void Prune(Step base_step);

  // Memory in bytes: WorldBytes for agents, cells and posts, without what minds point to; BookkeepingBytes
  // for what keeping versions adds.
  size_t WorldBytes() const;
  size_t BookkeepingBytes() const;

 private:
  struct Version {
    Step step;
    bool present;
    Body body;
    MindPtr mind;
  };
  struct Agent {
    Version newest;
    Digest mind_digest;
  };
  struct CellVersion {
    Step step;
    std::string value;
  };

  void StartAt(const World& world);
  void StartFrom(const Snapshot& from);
  const Version& VersionAt(AgentId agent, Step step) const;
  void SetVersion(AgentId agent, Version version);
  void PruneCell(uint64_t key);

  HugeVector<Agent> agents_;
  std::vector<std::vector<Version>> older_;  // by agent, ascending; empty if not kept
  std::unordered_map<uint64_t, std::vector<CellVersion>> cells_;
  std::map<Step, std::vector<uint64_t>> written_;  // version -> cells written in it, until pruned
  std::vector<Heard> announced_;                   // by step, then speaker
  PostBoard posts_;
  Step base_step_ = 0;
};

Digest DigestOfMind(const Mind* mind, Hasher& hasher);

}  // namespace throng::sim
