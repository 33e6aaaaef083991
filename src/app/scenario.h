// Loads what a simulation runs: a town, an example, or a recorded day.
#pragma once

#include <memory>
#include <string>

#include "sim/world.h"
#include "town/town.h"

namespace throng::app {

struct Simulation;

// A world to run, and how it counts time.
struct Scenario {
  std::unique_ptr<sim::World> world;
  const town::Town* town = nullptr;  // null: an example, or a recorded day
  sim::Step default_steps = 0;
  int seconds_per_step = 0;
  int first_second = 0;  // second of the day at step 0, for recorded days

  std::string ClockAt(sim::Step step) const;  // time of day; in an example, time since the start
};

Scenario LoadScenario(const Simulation& simulation);

// For viewers: "start" (07:00), "seconds_per_step", and for a town town::Town::MapJson, for any other world
// sim::SpaceJson and "reads", sim::DrawnReaders, where there are any.
std::string MapJson(const Scenario& scenario);

}  // namespace throng::app
