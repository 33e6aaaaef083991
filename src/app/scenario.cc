#include "app/scenario.h"

#include <charconv>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>
#include <vector>

#include "app/simulation.h"
#include "base/data_dir.h"
#include "base/error.h"
#include "sim/drawn_readers.h"
#include "sim/space/plane.h"
#include "sim/space/space_json.h"
#include "trace/trace_world.h"
#include "worlds/example_worlds.h"

namespace throng::app {

namespace {

// "reflections,plans@1000"
town::HiddenFrom ParseWithout(const std::string& text) {
  const size_t at = text.rfind('@');
  sim::Step from = 0;
  const char* const last = text.data() + text.size();
  const char* const first = at == std::string::npos ? last : text.data() + at + 1;
  const auto [end, error] = std::from_chars(first, last, from);
  if (error != std::errc() || end != last || from < 0)
    throw MakeError(ErrorCode::kCorrupt, "without {}: allowed: KINDS@STEP", text);
  return {from, town::ParseHidden("without", text.substr(0, at))};
}

std::unique_ptr<town::Town> LoadTown(const Simulation& simulation) {
  town::LoadOptions options = {.agents = simulation.agents, .embeds = !simulation.embed.empty()};
  for (const std::string& change : simulation.without) options.hidden.push_back(ParseWithout(change));
  if (simulation.scenario.empty()) return town::LoadTown(DataDir() + "/town", options);
  if (!std::filesystem::exists(simulation.scenario)) {
    std::vector<std::string_view> names;
    for (const worlds::ExampleWorld& example : worlds::ExampleWorlds()) names.push_back(example.name);
    throw MakeError(ErrorCode::kInvalid,
                    "scenario {}: there is no such folder, allowed: one like the built-in town/, or an "
                    "example ({})",
                    simulation.scenario, fmt::join(names, ", "));
  }
  return town::LoadTown(simulation.scenario, options);
}

}  // namespace

std::string Scenario::ClockAt(sim::Step step) const {
  if (town != nullptr) return town->ClockAt(step);
  const int64_t minutes = (first_second + int64_t{step} * seconds_per_step) / 60;
  return fmt::format("{:02}:{:02}", minutes / 60, minutes % 60);
}

Scenario LoadScenario(const Simulation& simulation) {
  Scenario scenario;
  if (!simulation.trace.empty()) {
    trace::Trace trace = trace::LoadTrace(simulation.trace);
    scenario.default_steps = trace.num_steps;
    scenario.seconds_per_step = trace.sec_per_step;
    scenario.first_second = trace.SecondOfDay(0);
    const int radius = simulation.radius < 0 ? trace.radius_p : simulation.radius;
    scenario.world = trace::MakeTraceWorld(std::move(trace), radius);
  } else if (const worlds::ExampleWorld* example = worlds::FindExampleWorld(simulation.scenario)) {
    scenario.default_steps = example->steps;
    scenario.seconds_per_step = example->seconds_per_step;
    scenario.world =
        example->make(simulation.agents > 0 ? simulation.agents : example->agents, simulation.seed);
  } else {
    std::unique_ptr<town::Town> town = LoadTown(simulation);
    scenario.town = town.get();
    scenario.default_steps = town->DefaultSteps();
    scenario.seconds_per_step = town->SecondsPerStep();
    scenario.world = std::move(town);
  }
  if (scenario.town == nullptr && !simulation.embed.empty()) {
    throw MakeError(ErrorCode::kInvalid, "--embed {}: the world {} has no memories to embed, allowed: a town",
                    simulation.embed, scenario.world->Name());
  }
  return scenario;
}

std::string MapJson(const Scenario& scenario) {
  const sim::Space& space = scenario.world->GetSpace();
  const bool is_plane = space.GetMetric() == sim::Metric::kEuclid;  // no grid here has this metric
  nlohmann::ordered_json map = nlohmann::ordered_json::parse(
      scenario.town != nullptr ? scenario.town->MapJson()
                               : sim::SpaceJson(space, is_plane ? sim::kUnitsPerMetre : 1));
  map["start"] = scenario.ClockAt(0);
  map["seconds_per_step"] = scenario.seconds_per_step;
  if (auto readers = sim::DrawnReaders(*scenario.world); !readers.empty()) map["reads"] = std::move(readers);
  return map.dump();
}

}  // namespace throng::app
