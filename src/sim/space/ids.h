// Agents and steps, as the floors above space count them.
#pragma once

#include <cstdint>

namespace throng::sim {

using AgentId = uint32_t;
constexpr AgentId kNobody = UINT32_MAX;
using Step = int32_t;

}  // namespace throng::sim
