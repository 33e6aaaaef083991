// What guesses said that agents would ask next, and whether they did: from that the record learns how likely
// the next guesses are right.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/digest.h"
#include "sim/dependency_graph.h"
#include "sim/guess/guess_record.h"
#include "sim/guess/hypothetical_world.h"

namespace throng::sim {

// Another agent on which a guess rests, and the class of what is expected of it.
struct Risk {
  AgentId agent;
  size_t guess_class;
};

class Forecasts {
 public:
  // Both must outlive it.
  Forecasts(const Space& space, const DependencyGraph& graph)
      : space_(space), graph_(graph), agents_(graph.NumAgents()) {}

  // The agent has asked, on a guess or not: the function of its latest call since its last commit.
  void NoteFunction(AgentId agent, const std::string& function) { agents_[agent].asks = function; }
  // The first call of its confirmed step.
  void NoteFirstCall(AgentId agent, const Digest& digest) { agents_[agent].first_call = digest; }

  // On whom a guessed step rests that the agent runs with these members, ordered by id: who could still come
  // into sight, or do otherwise in sight, by this step.
  std::vector<Risk> RisksOf(HypotheticalWorld& world, AgentId agent, Step step,
                            std::span<const AgentId> members);
  double ChanceOf(std::span<const Risk> risks) const;

  // A guess says that this is the first call of the agent's step.
  void Add(AgentId agent, Step step, const Digest& first_call, std::vector<Risk> risks);
  // Forecasts for the agent from this step on are wrong; the first to say so is blamed.
  void Spoil(AgentId agent, Step step, AgentId by);

  // The agent has done its confirmed step: what was forecast of it was right or not.
  void Learn(AgentId agent, Step step);
  void Forget(AgentId agent) { agents_[agent] = Agent(); }

 private:
  struct Forecast {
    Step step;
    Digest first_call;
    std::vector<Risk> risks;
    AgentId spoiled_by = kNobody;  // who turned out otherwise first
  };
  struct Agent {
    std::string asks;
    std::vector<Forecast> forecasts;  // of steps that are not confirmed yet
    Digest first_call;                // of the confirmed step that runs; Digest(): none yet
  };

  const Space& space_;
  const DependencyGraph& graph_;
  GuessRecord record_;
  std::vector<Agent> agents_;
};

}  // namespace throng::sim
