// Schedules that require the complete trace, as baselines (AI Metropolis, section 4): the oracle, and no
// dependencies at all. The critical path is the oracle on a server where no call waits.
#pragma once

#include "llm/llm.h"
#include "sim/run/run.h"
#include "trace/trace.h"
#include "trace/true_dependencies.h"

namespace throng::trace {

// Runs the trace's calls, each agent-step as soon as its true dependencies are done. A conversation begins
// when all its members have made their own calls of that step; an agent in several conversations holds them
// in the order of Resolve. Priorities and call keys are those of RunWorld. Statistics about clusters stay 0.
// A pool above 0 is so many workers, as RunOptions::pool: each has one group of agents, those that perceive
// each other in that step or talk, while one of them thinks or talks.
sim::RunStats RunOracle(const Trace& trace, const TrueDependencies& dependencies, llm::Llm& llm,
                        size_t pool = 0);

// Makes all calls of the first `steps` steps at once: what the server needs for them in any case.
sim::RunStats RunWithoutDependencies(const Trace& trace, sim::Step steps, llm::Llm& llm);

}  // namespace throng::trace
