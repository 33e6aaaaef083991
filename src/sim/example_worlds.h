// Two small worlds that are not grids: a square where people walk at their own speeds, and a network of
// followers who pass posts on. Both show what such a world looks like, and are what `throng verify --world`
// runs.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "sim/world.h"

namespace throng::sim {

// A plane with 400 square metres for each agent. Each walks from place to place at 0.5 to 2.5 m a step, sees
// 2 to 8 m far, asks where to go next when it arrives, greets whom it meets, and stands aside for the smaller
// id.
std::unique_ptr<World> MakePlazaWorld(uint32_t agents, uint64_t seed);

// Each agent follows a few others, popular ones more often. What it posts or shares in a step is read by
// its followers in the next.
std::unique_ptr<World> MakeFollowerWorld(uint32_t agents, uint64_t seed);

// "plane" or "network"; throws kInvalid for another name.
std::unique_ptr<World> MakeExampleWorld(const std::string& name, uint32_t agents, uint64_t seed);

}  // namespace throng::sim
