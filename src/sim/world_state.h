// What all agents are and what is written in the cells, in versions by step: version s is the state at the
// start of step s. Only changes make versions; those that no agent can read any more are dropped.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/digest.h"
#include "base/huge_pages.h"
#include "sim/world.h"

namespace throng::sim {

class WorldState {
 public:
  // Version 0. Without older versions, only the newest of each agent can be read; of cells always all.
  explicit WorldState(const World& world, bool keeps_older = true);

  // The newest version, which the agent's next step reads. References hold until the agent's next SetAgent.
  const Body& BodyOf(AgentId agent) const { return agents_[agent].newest.body; }
  const MindPtr& MindOf(AgentId agent) const { return agents_[agent].newest.mind; }
  const Digest& MindDigest(AgentId agent) const { return agents_[agent].mind_digest; }

  bool IsPresent(AgentId agent) const { return agents_[agent].newest.present; }

  // The version of a step from the base step to the agent's own. Null if it was not there.
  const Body* FindBodyAt(AgentId agent, Step step) const;
  // Likewise, of who was there.
  const Body& BodyAt(AgentId agent, Step step) const;
  const MindPtr& MindAt(AgentId agent, Step step) const;
  // Null if nothing was written there before that step.
  const std::string* CellAt(Pos pos, Step step) const;

  // Announced up to this step, but the first `known`.
  std::vector<Announcement> AnnouncedAt(Step step, size_t known) const;

  // Versions must come in order of steps, for each agent and for each cell. One that is set again replaces
  // the first.
  void SetAgent(AgentId agent, Step step, Body body, MindPtr mind, const Digest& mind_digest);
  void RemoveAgent(AgentId agent, Step step);  // its last body and mind stay the newest
  // Of one step in any order; `by` decides in which they are heard.
  void Announce(Announcement announcement, AgentId by);
  void SetCell(Pos pos, Step step, std::string value);

  // The agent will be read soon.
  void PrefetchAgent(AgentId agent) const { Prefetch(&agents_[agent]); }

  // Steps before this one will not be read again.
  void Prune(Step base_step);

  // Of memory: what agents and cells are, without what minds point to; and what keeping versions of it adds.
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

  struct Announced {
    Announcement announcement;
    AgentId by;
  };

  const Version& VersionAt(AgentId agent, Step step) const;
  void SetVersion(AgentId agent, Version version);
  void PruneCell(uint64_t key);

  HugeVector<Agent> agents_;
  std::vector<std::vector<Version>> older_;  // of each agent, ascending; empty if they are not kept
  std::unordered_map<uint64_t, std::vector<CellVersion>> cells_;
  std::map<Step, std::vector<uint64_t>> written_;  // version -> cells that have one, until pruned
  std::vector<Announced> announced_;               // by step, then speaker
  Step base_step_ = 0;
};

Digest DigestOfMind(const Mind* mind, Hasher& hasher);

}  // namespace throng::sim
