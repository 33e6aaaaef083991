// Synthesizes days with the statistics of AI Metropolis's workload (section 4.1), whose recorded days of
// Generative Agents are not public. docs/workload.md describes the method.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "trace/trace.h"

namespace throng::trace {

inline constexpr int kTownAgents = 25;

// Makes a day from midnight to midnight, 8640 steps of 10 s, in towns of 25 agents side by side; the last
// town may have fewer. A function of its arguments alone. Throws kInvalid if there are more than 1,000,000
// agents.
// on_town is told after each town how many of how many are made.
Trace SynthesizeDay(int agents, uint64_t seed,
                    const std::function<void(size_t done, size_t total)>& on_town = {});

}  // namespace throng::trace
