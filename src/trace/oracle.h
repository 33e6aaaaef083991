// Schedules that only the complete trace allows, to compare the others with (AI Metropolis, section 4): the
// oracle, and no dependencies at all. The critical path is the oracle on a server that serves every call at
// once.
#pragma once

#include "llm/llm.h"
#include "sim/run/run.h"
#include "trace/trace.h"
#include "trace/true_dependencies.h"

namespace throng::trace {

// Runs the trace's calls, each agent-step as soon as those that it truly depends on are done. A conversation
// begins when all its members have made their own calls of that step, in the order of Resolve where one agent
// is in several. Priorities and call keys are those of RunWorld. Of the statistics, what concerns clusters
// stays 0.
sim::RunStats RunOracle(const Trace& trace, const TrueDependencies& dependencies, llm::Llm& llm);

// All calls of the first `steps` steps at once: what the server needs for them anyhow.
sim::RunStats RunWithoutDependencies(const Trace& trace, sim::Step steps, llm::Llm& llm);

}  // namespace throng::trace
