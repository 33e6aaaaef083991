// A world that replays a recorded trace: agents walk where they walked, and make calls of the recorded sizes.
#pragma once

#include <memory>

#include "llm/llm.h"
#include "sim/world.h"
#include "trace/trace.h"

namespace throng::trace {

// radius_p: perception radius in tiles (Chebyshev; max_vel is 1). Original Generative Agents traces need 8:
// their conversations start farther apart than their perception radius of 4. A conversation that starts even
// farther apart becomes a link between its members, and a jump of more than one tile a barrier.
std::unique_ptr<sim::World> MakeTraceWorld(Trace trace, int radius_p);

// The request that stands for a recorded call; the caller sets key and priority.
llm::Request RequestOf(const TraceCall& call);

}  // namespace throng::trace
