// Estimates what a run will ask and cost before it is made: throng run --dry-run.
#pragma once

#include <cstdint>
#include <string>

#include "app/simulation.h"

namespace throng::studies {

// Prints the expected calls and tokens by kind of decision, and their cost if there is a price. The sample is
// the journal of a run of the same scenario, with its calls scaled by agents and steps; without a sample, the
// scenario runs on made-up answers, with at most kSampleAgents agents for at most a day.
void EstimateAndReport(const app::Simulation& simulation, const std::string& sample, bool json);

inline constexpr uint32_t kSampleAgents = 25;

}  // namespace throng::studies
