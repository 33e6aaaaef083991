// Makes new traces from existing ones: parts of a day, and towns side by side.
#pragma once

#include <vector>

#include "trace/trace.h"

namespace throng::trace {

// Keeps steps from <= s < until. An agent that is acting at `from` begins with that action. Throws kInvalid
// if the trace has no such steps.
Trace CutTrace(const Trace& trace, sim::Step from, sim::Step until);

// Places `copies` towns in one world, row by row without gaps, as AI Metropolis scales its workload (section
// 4.3); copy i is traces[i % traces.size()]. Throws kInvalid if their steps or radii differ.
Trace TileTraces(const std::vector<Trace>& traces, int copies);

}  // namespace throng::trace
