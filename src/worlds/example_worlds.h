// Small example worlds, to run as they are or to use as templates: a square where people walk at their own
// speeds, a network of followers who pass posts on, a microblog where people follow whom they like, and a
// colony whose population changes. `throng run --scenario NAME` runs them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/world.h"

namespace throng::worlds {

// A plane with 400 square metres for each agent. Each walks from place to place at 0.5 to 2.5 m a step, sees
// 2 to 8 m far, asks where to go next when it arrives, greets those it meets, and gives way to smaller ids.
std::unique_ptr<sim::World> MakePlazaWorld(uint32_t agents, uint64_t seed);

// Each agent follows a few others, popular ones more often. Its followers read what it posts or shares one
// step later.
std::unique_ptr<sim::World> MakeFollowerWorld(uint32_t agents, uint64_t seed);

// People with feeds of 20 posts of those they follow: by recency, by likes, or by what they like themselves.
// In a step that somebody is active in, or gets a message in, one call decides on one thing: post, repost,
// like, reply, follow, unfollow or nothing. Posts are read 2 steps later, likes and messages arrive after 8.
// Few are followed by many, few follow many (8 draws or more, 16 on average, repetitions dropped), and few
// are active often (3 % of all steps).
std::unique_ptr<sim::World> MakeMicroblogWorld(uint32_t agents, uint64_t seed);

// A grid with 60 cells for each founder. Foragers eat what grows, bear children when they have plenty, and
// starve. All agents hear of each death 30 steps later, and are cautious for a while. Interventions: "rain X
// Y" lets food grow, "settle X Y" adds a settler. Ids: founders, then 3 for the children of each founder and
// child, then 10 settlers.
std::unique_ptr<sim::World> MakeColonyWorld(uint32_t founders, uint64_t seed);

struct ExampleWorld {
  std::string_view name;  // also World::Name
  std::string_view summary;
  std::unique_ptr<sim::World> (*make)(uint32_t agents, uint64_t seed);
  uint32_t agents;                          // default number of agents
  sim::Step steps;                          // default number of steps
  int seconds_per_step;                     // simulated seconds in a step
  std::vector<std::string_view> functions;  // functions of its calls
};

std::span<const ExampleWorld> ExampleWorlds();
const ExampleWorld* FindExampleWorld(std::string_view name);  // null: there is none

}  // namespace throng::worlds
