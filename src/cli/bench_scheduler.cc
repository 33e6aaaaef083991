// `throng bench scheduler`: agent steps per second and bytes per agent of scheduling alone.

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "cli/commands.h"
#include "sim/measure_schedule.h"

namespace throng::cli {
namespace {

constexpr uint32_t kCheckedAgents = 2000;
constexpr sim::Step kCheckedSteps = 20;
// Without --steps: so many agent steps are measured, in at least and at most so many steps.
constexpr double kAgentSteps = 4e6;
constexpr double kFewestSteps = 10;
constexpr double kMostSteps = 400;

struct SchedulerFlags {
  std::vector<uint32_t> agents = {1000, 10000, 100000};
  std::vector<double> density = {140};
  std::string mode = "all";
  std::string coupling = "paper";
  sim::Rules rules;
  int steps = 0;
  uint64_t seed = 1;
  bool whole = false;
  bool json = false;
};

struct Row {
  sim::ScheduleLoad load;
  const char* layer;  // "graph" or "run"
  sim::Mode mode;
  sim::ScheduleCost cost;

  double Rate() const { return static_cast<double>(cost.agent_steps) / cost.seconds; }
  double MeanCluster() const {
    return static_cast<double>(cost.agent_steps) / static_cast<double>(cost.clusters);
  }
};

sim::ScheduleLoad LoadOf(const SchedulerFlags& flags, uint32_t agents, double density) {
  sim::ScheduleLoad load;
  load.agents = agents;
  load.tiles_per_agent = density;
  load.rules = flags.rules;
  load.coupling = sim::ParseCoupling(flags.coupling);
  load.seed = flags.seed;
  load.steps = flags.steps > 0
                   ? flags.steps
                   : static_cast<sim::Step>(std::clamp(kAgentSteps / agents, kFewestSteps, kMostSteps));
  return load;
}

// In a small world where what agents perceive decides where they go, a wrong order would show in where they
// end.
void CheckOrder(sim::ScheduleLoad load) {
  load.agents = std::min(load.agents, kCheckedAgents);
  load.steps = kCheckedSteps;
  load.perceives = true;
  if (MeasureSchedule(load, sim::Mode::kOutOfOrder).end == MeasureSchedule(load, sim::Mode::kLockstep).end)
    return;
  throw MakeError(ErrorCode::kCorrupt,
                  "bench: {} agents on {} tiles each do not end where they do in lockstep", load.agents,
                  load.tiles_per_agent);
}

std::vector<sim::Mode> ModesOf(const SchedulerFlags& flags) {
  if (flags.mode != "all") return {sim::ParseMode(flags.mode)};
  return {sim::Mode::kLockstep, sim::Mode::kOutOfOrder};
}

void PrintTable(const std::vector<Row>& rows) {
  fmt::print("{:>9} {:>8} {:<6} {:<9} {:>13} {:>11} {:>8} {:>9} {:>10} {:>10}\n", "agents", "tiles", "layer",
             "mode", "agent steps/s", "bytes/agent", "cluster", "largest", "apart", "virtual s");
  for (const Row& row : rows) {
    fmt::print("{:>9} {:>8} {:<6} {:<9} {:>13.0f} {:>11} {:>8.2f} {:>9} {:>10} {:>10.0f}\n", row.load.agents,
               row.load.tiles_per_agent, row.layer, sim::ModeName(row.mode), row.Rate(),
               row.cost.bytes_per_agent, row.MeanCluster(), row.cost.largest_cluster, row.cost.max_spread,
               row.cost.virtual_s);
  }
}

void PrintJson(const SchedulerFlags& flags, const std::vector<Row>& rows) {
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  for (const Row& row : rows) {
    results.push_back({{"agents", row.load.agents},
                       {"tiles_per_agent", row.load.tiles_per_agent},
                       {"layer", row.layer},
                       {"mode", sim::ModeName(row.mode)},
                       {"steps", row.load.steps},
                       {"agent_steps", row.cost.agent_steps},
                       {"seconds", row.cost.seconds},
                       {"agent_steps_per_s", row.Rate()},
                       {"bytes_per_agent", row.cost.bytes_per_agent},
                       {"mean_cluster", row.MeanCluster()},
                       {"largest_cluster", row.cost.largest_cluster},
                       {"max_spread", row.cost.max_spread},
                       {"virtual_s", row.cost.virtual_s},
                       {"checked_agents", row.cost.checked_agents},
                       {"end", row.cost.end.Hex()}});
  }
  const nlohmann::ordered_json document = {{"results", results},           {"radius", flags.rules.radius_p},
                                           {"speed", flags.rules.max_vel}, {"coupling", flags.coupling},
                                           {"seed", flags.seed},           {"threads", 1}};
  fmt::print("{}\n", document.dump(2));
}

// All modes, which must come to the same end.
void Measure(const SchedulerFlags& flags, const sim::ScheduleLoad& load, const std::string& layer,
             std::vector<Row>& rows) {
  std::optional<Digest> end;
  for (const sim::Mode mode : ModesOf(flags)) {
    spdlog::info("{} agents on {} tiles each, {} steps, {}, {}", load.agents, load.tiles_per_agent,
                 load.steps, layer, sim::ModeName(mode));
    if (layer == "graph") {
      rows.push_back({load, "graph", mode, MeasureSchedule(load, mode)});
    } else {
      rows.push_back({load, "run", mode, MeasureWholeRun(load, mode)});
    }
    if (end.has_value() && *end != rows.back().cost.end) {
      throw MakeError(ErrorCode::kCorrupt, "bench: {} agents do not end where they do in lockstep ({})",
                      load.agents, layer);
    }
    end = rows.back().cost.end;
  }
}

void Run(const SchedulerFlags& flags) {
  std::vector<Row> rows;
  for (const double density : flags.density) {
    for (const uint32_t agents : flags.agents) {
      const sim::ScheduleLoad load = LoadOf(flags, agents, density);
      CheckOrder(load);
      Measure(flags, load, "graph", rows);
      if (flags.whole) Measure(flags, load, "run", rows);
    }
  }
  flags.json ? PrintJson(flags, rows) : PrintTable(rows);
}

}  // namespace

void AddBenchScheduler(CLI::App& bench) {
  CLI::App* command = bench.add_subcommand(
      "scheduler",
      "Time the scheduling of walking agents, in lockstep and out of order, where calls cost nothing");
  const auto flags = std::make_shared<SchedulerFlags>();
  command->add_option("--agents", flags->agents, "How many; several: 1000,100000")
      ->delimiter(',')
      ->check(CLI::Range(1, 10000000))
      ->capture_default_str();
  command->add_option("--density", flags->density, "Tiles of the grid for each agent; several: 27,140")
      ->delimiter(',')
      ->check(CLI::Range(1.0, 1e6))
      ->capture_default_str();
  command->add_option("--mode", flags->mode, "lockstep, ooo, or all of them")
      ->check(CLI::IsMember({"lockstep", "ooo", "all"}))
      ->capture_default_str();
  command
      ->add_option("--coupling", flags->coupling, "paper, or versioned: how far apart agents may run at once")
      ->check(CLI::IsMember({"paper", "versioned"}))
      ->capture_default_str();
  command->add_option("--radius", flags->rules.radius_p, "How far agents perceive, in tiles")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  command->add_option("--speed", flags->rules.max_vel, "How far they walk in a step, in tiles")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  command->add_option("--steps", flags->steps, "Steps of each agent; default: 4 million agent steps in all")
      ->check(CLI::Range(1, 1000000));
  command->add_option("--seed", flags->seed, "Of places, walks and latencies")->capture_default_str();
  command->add_flag(
      "--whole-run", flags->whole,
      "Also a whole run: coroutines, state in versions, hashes, and the calls of the fake backend");
  command->add_flag("--json", flags->json, "Results as JSON");
  command->footer(
      "Fixed: a square grid with the Chebyshev metric; agents start anywhere and go 0 to --speed tiles in x "
      "and y,\nat random; every agent step is one call of 0.5 to 1.5 s of virtual time, one in eight of 5 "
      "times as long,\non a server without limits; no journal, no world state, one thread. Time is that of "
      "the "
      "dependency graph and\nof starting and ending clusters.\n"
      "First a world of up to 2000 agents that go where what they perceive leads them must end as in "
      "lockstep.\nWhile it is measured, the invariant of temporal causality is tested for sampled agents "
      "(not timed).\n"
      "Example:\n"
      "  throng bench scheduler --agents 1000,10000,100000,1000000 --json");
  command->callback([flags] { Run(*flags); });
}

}  // namespace throng::cli
