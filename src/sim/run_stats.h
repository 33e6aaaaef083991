// A run's statistics, and their names.
#pragma once

#include <cstdint>

#include "sim/space/ids.h"

namespace throng::sim {

// What guesses did in mode speculative. RunStats counts the tokens of a guess only once a confirmed step uses
// its answer.
struct GuessStats {
  uint64_t speculated_steps = 0;  // agent steps run on a guess
  uint64_t confirmed_steps = 0;   // speculated steps that were right
  uint64_t squashed_steps = 0;    // speculated steps dropped as wrong, or with a wrong one
  uint64_t speculated_calls = 0;  // calls asked on a guess
  uint64_t wasted_calls = 0;      // speculated calls that no confirmed step used
  uint64_t wasted_tokens = 0;     // prompts and answers of wasted calls; expected tokens of cancelled ones
};

// What can be counted step by step: the sums do not depend on the order of execution.
struct StepCounts {
  uint64_t calls = 0;  // of models
  uint64_t prompt_tokens = 0;
  uint64_t cached_prompt_tokens = 0;
  uint64_t output_tokens = 0;
  uint64_t failed_calls = 0;  // failed calls after which the agent fell back
  uint64_t effects = 0;       // what tools, people and embeddings were asked
  uint64_t failed_effects = 0;
  uint64_t unknown_effects = 0;  // begun, and nobody knows whether they were done
  uint64_t clusters = 0;
  uint64_t agent_steps = 0;
  uint64_t births = 0;
  uint64_t deaths = 0;

  StepCounts& operator+=(const StepCounts& other);
  StepCounts& operator-=(const StepCounts& other);
};

// Calls visit(member) for each field, a pointer to it.
template <typename Visit>
void ForEachStepCount(Visit&& visit) {
  for (uint64_t StepCounts::*const field :
       {&StepCounts::calls, &StepCounts::prompt_tokens, &StepCounts::cached_prompt_tokens,
        &StepCounts::output_tokens, &StepCounts::failed_calls, &StepCounts::effects,
        &StepCounts::failed_effects, &StepCounts::unknown_effects, &StepCounts::clusters,
        &StepCounts::agent_steps, &StepCounts::births, &StepCounts::deaths}) {
    visit(field);
  }
}

inline StepCounts& StepCounts::operator+=(const StepCounts& other) {
  ForEachStepCount([&](auto field) { this->*field += other.*field; });
  return *this;
}

inline StepCounts& StepCounts::operator-=(const StepCounts& other) {
  ForEachStepCount([&](auto field) { this->*field -= other.*field; });
  return *this;
}

struct RunStats : GuessStats, StepCounts {
  uint32_t largest_cluster = 0;
  uint64_t interventions = 0;
  Step max_spread = 0;     // largest difference between two agents' steps at any moment
  double parallelism = 0;  // requests in flight, averaged over the backend's time
  double backend_s = 0;    // the backend's clock from start to end (virtual in models of servers)
  double wall_s = 0;
};

// Calls visit(name, value) for each field of GuessStats, with the member's name.
template <typename Visit>
void ForEachGuessField(const GuessStats& stats, Visit&& visit) {
  visit("speculated_steps", stats.speculated_steps);
  visit("confirmed_steps", stats.confirmed_steps);
  visit("squashed_steps", stats.squashed_steps);
  visit("speculated_calls", stats.speculated_calls);
  visit("wasted_calls", stats.wasted_calls);
  visit("wasted_tokens", stats.wasted_tokens);
}

// Calls visit(name, value) for each field of RunStats that is not in GuessStats, with the member's name.
template <typename Visit>
void ForEachField(const RunStats& stats, Visit&& visit) {
  visit("agent_steps", stats.agent_steps);
  visit("wall_s", stats.wall_s);
  visit("backend_s", stats.backend_s);
  visit("calls", stats.calls);
  visit("failed_calls", stats.failed_calls);
  visit("prompt_tokens", stats.prompt_tokens);
  visit("cached_prompt_tokens", stats.cached_prompt_tokens);
  visit("output_tokens", stats.output_tokens);
  visit("effects", stats.effects);
  visit("failed_effects", stats.failed_effects);
  visit("unknown_effects", stats.unknown_effects);
  visit("parallelism", stats.parallelism);
  visit("clusters", stats.clusters);
  visit("largest_cluster", stats.largest_cluster);
  visit("max_spread", stats.max_spread);
  visit("births", stats.births);
  visit("deaths", stats.deaths);
  visit("interventions", stats.interventions);
}

}  // namespace throng::sim
