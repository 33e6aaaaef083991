// `throng bench scheduler`: agent steps per second and bytes per agent when calls cost nothing, for whole
// runs and for the dependency graph alone.

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "bench/schedule_speed.h"
#include "cli/cli11.h"
#include "cli/commands.h"
#include "cli/flags/number_checks.h"

namespace throng::cli {
namespace {

constexpr uint32_t kCheckedAgents = 2000;
constexpr sim::Step kCheckedSteps = 20;
// Without --steps: the agent steps to measure, and the fewest and most steps to run for them.
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
  bool graph_only = false;
  bool json = false;
};

struct Row {
  bench::ScheduleLoad load;
  sim::Mode mode;
  bench::ScheduleCost graph;               // the dependency graph alone
  std::optional<bench::ScheduleCost> run;  // the whole run, unless --graph-only

  const bench::ScheduleCost& Cost() const { return run ? *run : graph; }
};

double Rate(const bench::ScheduleCost& cost) { return static_cast<double>(cost.agent_steps) / cost.seconds; }

double MeanCluster(const bench::ScheduleCost& cost) {
  return static_cast<double>(cost.agent_steps) / static_cast<double>(cost.clusters);
}

bench::ScheduleLoad LoadOf(const SchedulerFlags& flags, uint32_t agents, double density) {
  bench::ScheduleLoad load;
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

// Checks a small world in which what agents perceive decides where they go, so a wrong order would show in
// where they end.
void CheckOrder(bench::ScheduleLoad load) {
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
  fmt::print("{:>9} {:>6} {:<9} {:>13} {:>13} {:>33} {:>8} {:>8} {:>6} {:>10}\n", "", "", "", "agent steps/s",
             "graph alone:", "bytes per agent", "agents a", "", "steps", "");
  fmt::print("{:>9} {:>6} {:<9} {:>13} {:>13} {:>9} {:>7} {:>7} {:>7} {:>8} {:>8} {:>6} {:>10}\n", "agents",
             "tiles", "mode", "in whole runs", "agent steps/s", "scheduler", "world", "calls", "backend",
             "cluster", "largest", "apart", "virtual s");
  for (const Row& row : rows) {
    const bench::ScheduleCost& cost = row.Cost();
    fmt::print("{:>9} {:>6} {:<9} {:>13} {:>13.0f} {:>9} {:>7} {:>7} {:>7} {:>8.2f} {:>8} {:>6} {:>10.0f}\n",
               row.load.agents, row.load.tiles_per_agent, sim::ModeName(row.mode),
               row.run ? fmt::format("{:.0f}", Rate(*row.run)) : "-", Rate(row.graph), cost.bytes_per_agent,
               cost.world_bytes_per_agent, cost.call_bytes_per_agent, cost.backend_bytes_per_agent,
               MeanCluster(cost), cost.largest_cluster, cost.max_spread, cost.virtual_s);
  }
}

nlohmann::ordered_json ToJson(const bench::ScheduleCost& cost) {
  return {{"agent_steps_per_s", Rate(cost)},
          {"bytes_per_agent", cost.bytes_per_agent},
          {"world_bytes_per_agent", cost.world_bytes_per_agent},
          {"call_bytes_per_agent", cost.call_bytes_per_agent},
          {"backend_bytes_per_agent", cost.backend_bytes_per_agent},
          {"agent_steps", cost.agent_steps},
          {"seconds", cost.seconds},
          {"cpu_seconds", cost.cpu_seconds},
          {"mean_cluster", MeanCluster(cost)},
          {"largest_cluster", cost.largest_cluster},
          {"max_spread", cost.max_spread},
          {"virtual_s", cost.virtual_s},
          {"end", cost.end.Hex()}};
}

void PrintJson(const SchedulerFlags& flags, const std::vector<Row>& rows) {
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  for (const Row& row : rows) {
    nlohmann::ordered_json result = {{"agents", row.load.agents},
                                     {"tiles_per_agent", row.load.tiles_per_agent},
                                     {"mode", sim::ModeName(row.mode)},
                                     {"steps", row.load.steps},
                                     {"layer", row.run ? "run" : "graph"}};
    result.update(ToJson(row.Cost()));
    if (row.run) {
      result["graph_agent_steps_per_s"] = Rate(row.graph);
      result["graph_bytes_per_agent"] = row.graph.bytes_per_agent;
    }
    result["checked_agents"] = row.graph.checked_agents;
    results.push_back(std::move(result));
  }
  const nlohmann::ordered_json document = {{"results", results},           {"radius", flags.rules.radius_p},
                                           {"speed", flags.rules.max_vel}, {"coupling", flags.coupling},
                                           {"seed", flags.seed},           {"threads", 1}};
  fmt::print("{}\n", document.dump(2));
}

// Runs all modes, which must end alike.
void Measure(const SchedulerFlags& flags, const bench::ScheduleLoad& load, std::vector<Row>& rows) {
  const size_t first = rows.size();
  for (const sim::Mode mode : ModesOf(flags)) {
    spdlog::info("{} agents on {} tiles each, {} steps, {}", load.agents, load.tiles_per_agent, load.steps,
                 sim::ModeName(mode));
    rows.push_back({load, mode, MeasureSchedule(load, mode), std::nullopt});
    if (!flags.graph_only) rows.back().run = MeasureWholeRun(load, mode);
    if (rows.back().graph.end != rows[first].graph.end || rows.back().Cost().end != rows[first].Cost().end) {
      throw MakeError(ErrorCode::kCorrupt, "bench: {} agents do not end where they do in lockstep",
                      load.agents);
    }
  }
}

void Run(const SchedulerFlags& flags) {
  std::vector<Row> rows;
  for (const double density : flags.density) {
    for (const uint32_t agents : flags.agents) {
      const bench::ScheduleLoad load = LoadOf(flags, agents, density);
      CheckOrder(load);
      Measure(flags, load, rows);
    }
  }
  flags.json ? PrintJson(flags, rows) : PrintTable(rows);
}

}  // namespace

void AddBenchScheduler(CLI::App& bench) {
  CLI::App* command = bench.add_subcommand(
      "scheduler", "Time runs of walking agents, in lockstep and out of order, where calls cost nothing");
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
  command->add_option("--seed", flags->seed, "Of places, walks and latencies")
      ->capture_default_str()
      ->check(Whole());
  command->add_flag("--graph-only", flags->graph_only,
                    "Only the dependency graph: who may run, without running anybody");
  command->add_flag("--json", flags->json, "Results as JSON");
  command->footer(
      "Fixed: a square grid with the Chebyshev metric; agents start anywhere, numbered at random, and go "
      "0 to --speed tiles in x and y, at random; every agent step is one call of 0.5 to 1.5 s of virtual "
      "time, one in eight of 5 times as long, on a server without limits and with ticks of 0.05 s; no "
      "journal; one thread.\n"
      "A whole run has all that other runs have: coroutines, requests, answers of the fake backend, the "
      "world's state, the canonical hash. Beside it, the dependency graph alone on the same worlds.\n"
      "First a world of up to 2000 agents that go where what they perceive leads them must end as in "
      "lockstep.\n"
      "While the graph is measured, the invariant of temporal causality is tested for sampled agents "
      "(not timed).\n"
      "Bytes of the scheduler: graph, clusters and their members, queues, table of calls, versions. "
      "Apart from them:\n"
      "the world's bodies, the coroutines that await answers, the fake backend's calls.\n"
      "Example:\n"
      "  throng bench scheduler --agents 1000,10000,100000,1000000 --json");
  command->callback([flags] { Run(*flags); });
}

}  // namespace throng::cli
