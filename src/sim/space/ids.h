// Types of agent ids and steps, shared by the layers above space.
#pragma once

#include <cstdint>

namespace throng::sim {

using AgentId = uint32_t;
constexpr AgentId kNobody = UINT32_MAX;
using Step = int32_t;
// Of what takes effect some steps later: a step of a run, with some delays added, is a Step.
constexpr Step kMostDelay = 1 << 28;

}  // namespace throng::sim
