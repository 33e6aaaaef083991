// Keeps what guesses predicted that agents would ask next. Whether they did teaches the record how likely the
// next guesses are right.
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

// An agent that a guess depends on, the guessing one included, and the class of what is expected of it.
struct Risk {
  AgentId agent;
  size_t guess_class;
};

class Forecasts {
 public:
  // Both arguments must outlive it.
  Forecasts(const Space& space, const DependencyGraph& graph)
      : space_(space), graph_(graph), agents_(graph.NumAgents()) {}

  // Notes the function of the agent's latest call since its last commit, on a guess or not.
  void NoteFunction(AgentId agent, const std::string& function) { agents_[agent].asks = function; }
  // Notes the first call of the agent's confirmed step.
  void NoteFirstCall(AgentId agent, const Digest& digest) { agents_[agent].first_call = digest; }

  // Returns the agents that the agent's guessed step depends on: itself, and those outside `members` that
  // could still come into sight, or act otherwise in sight, by this step. `members`, ordered by id, run the
  // step together.
  std::vector<Risk> RisksOf(HypotheticalWorld& world, AgentId agent, Step step,
                            std::span<const AgentId> members);
  double ChanceOf(std::span<const Risk> risks) const;

  // Adds the forecast that this is the first call of the agent's step.
  void Add(AgentId agent, Step step, const Digest& first_call, std::vector<Risk> risks);
  // Marks the agent's forecasts from this step on as wrong. The first agent named as `by` is blamed.
  void Spoil(AgentId agent, Step step, AgentId by);

  // Learns from the confirmed step of a cluster whether the forecasts of its members were right.
  void Learn(std::span<const AgentId> members, Step step);
  void Forget(AgentId agent) { agents_[agent] = Agent(); }

 private:
  bool WasForeseen(AgentId agent, Step step) const;

  struct Forecast {
    Step step;
    Digest first_call;
    std::vector<Risk> risks;
    AgentId spoiled_by = kNobody;  // the first agent that turned out otherwise
  };
  struct Agent {
    std::string asks;
    std::vector<Forecast> forecasts;  // of steps not confirmed yet
    Digest first_call;                // of the running confirmed step; Digest(): none yet
  };

  const Space& space_;
  const DependencyGraph& graph_;
  GuessRecord record_;
  std::vector<Agent> agents_;
};

}  // namespace throng::sim
