// The figures of a run, and their names.
#pragma once

#include <cstdint>

#include "sim/space/ids.h"

namespace throng::sim {

// What guesses did in mode speculative. RunStats counts none of their tokens.
struct GuessStats {
  uint64_t speculated_steps = 0;  // of agents, run on a guess
  uint64_t confirmed_steps = 0;   // of these, guessed right
  uint64_t squashed_steps = 0;    // and wrong; the rest was given up before it was known
  uint64_t speculated_calls = 0;  // asked on a guess
  uint64_t wasted_calls = 0;      // of these, used by no step
  uint64_t wasted_tokens = 0;     // of their prompts and answers; expected ones of cancelled calls
};

struct RunStats : GuessStats {
  uint64_t calls = 0;
  uint64_t prompt_tokens = 0;
  uint64_t cached_prompt_tokens = 0;
  uint64_t output_tokens = 0;
  uint64_t failed_calls = 0;  // whose agents fell back
  uint64_t clusters = 0;
  uint64_t agent_steps = 0;
  uint32_t largest_cluster = 0;
  uint64_t births = 0;
  uint64_t deaths = 0;
  uint64_t interventions = 0;
  Step max_spread = 0;     // largest difference of two agents' steps at any moment
  double parallelism = 0;  // requests in flight, averaged over the backend's time
  double backend_s = 0;    // the backend's clock from start to end (virtual in models of servers)
  double wall_s = 0;
};

// Calls visit(name, value) for each figure of guesses; the names are those of the members.
template <typename Visit>
void ForEachGuessField(const GuessStats& stats, Visit&& visit) {
  visit("speculated_steps", stats.speculated_steps);
  visit("confirmed_steps", stats.confirmed_steps);
  visit("squashed_steps", stats.squashed_steps);
  visit("speculated_calls", stats.speculated_calls);
  visit("wasted_calls", stats.wasted_calls);
  visit("wasted_tokens", stats.wasted_tokens);
}

// Likewise for all but the figures of guesses.
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
  visit("parallelism", stats.parallelism);
  visit("clusters", stats.clusters);
  visit("largest_cluster", stats.largest_cluster);
  visit("max_spread", stats.max_spread);
  visit("births", stats.births);
  visit("deaths", stats.deaths);
  visit("interventions", stats.interventions);
}

}  // namespace throng::sim
