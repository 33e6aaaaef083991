#include "app/record/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string>

#include "app/backend.h"
#include "base/digest.h"
#include "base/text/human_bytes.h"
#include "engine/local_model.h"
#include "journal/read/report.h"
#include "llm/decorators/interactive.h"

namespace throng::app {

namespace {

constexpr double kLongWaitSeconds = 10;  // after this, the progress names the waiting agent

// Two figures have other names in reports than in RunStats.
std::string ReportName(const std::string& field) {
  if (field == "calls") return "llm_calls";
  if (field == "interventions") return "events";
  return field;
}

}  // namespace

void AddSpeculation(const sim::RunStats& stats, nlohmann::ordered_json& json) {
  if (stats.speculated_steps == 0) return;
  sim::ForEachGuessField(stats, [&](const char* name, auto value) { json[name] = value; });
}

std::string DescribeSpeculation(const sim::RunStats& stats) {
  const auto used = static_cast<double>(std::max<uint64_t>(1, stats.prompt_tokens + stats.output_tokens));
  return fmt::format(
      "{} steps guessed, {} right, {} wrong; {} calls asked ahead, {} in vain ({} tokens, {:.1f} % of those "
      "used)",
      stats.speculated_steps, stats.confirmed_steps, stats.squashed_steps, stats.speculated_calls,
      stats.wasted_calls, stats.wasted_tokens, 100 * static_cast<double>(stats.wasted_tokens) / used);
}

void AddServers(const std::vector<llm::ServerStats>& servers, nlohmann::ordered_json& json) {
  if (servers.empty()) return;
  json["servers"] = nlohmann::ordered_json::array();
  for (const llm::ServerStats& server : servers) {
    json["servers"].push_back({{"address", server.address},
                               {"calls", server.calls},
                               {"failures", server.failures},
                               {"prompt_tokens", server.prompt_tokens},
                               {"cached_prompt_tokens", server.cached_prompt_tokens},
                               {"output_tokens", server.output_tokens},
                               {"seconds", server.seconds}});
  }
}

std::vector<std::string> DescribeServers(const std::vector<llm::ServerStats>& servers) {
  std::vector<std::string> lines;
  if (servers.size() < 2) return lines;
  for (const llm::ServerStats& server : servers) {
    const auto calls = static_cast<double>(std::max<uint64_t>(1, server.calls));
    lines.push_back(fmt::format(
        "{}: {} calls of {:.2f} s on average, {} failed; {} tokens of prompts ({} cached), {} of answers",
        server.address, server.calls, server.seconds / calls, server.failures, server.prompt_tokens,
        server.cached_prompt_tokens, server.output_tokens));
  }
  return lines;
}

nlohmann::ordered_json ReportJson(const FinishedRun& run) {
  const auto& [simulation, scenario, options, outcome, llm, journal] = run;
  const sim::RunStats& stats = outcome.result.stats;
  const llm::Stats backend = llm.GetStats();
  nlohmann::ordered_json json = {{"hash", outcome.result.hash.Hex()},
                                 {"mode", sim::ModeName(options.mode)},
                                 {"steps", outcome.result.step_hashes.size()},
                                 {"seed", options.seed},
                                 {"replayed_calls", outcome.replayed}};
  sim::ForEachField(stats, [&](const char* name, auto value) { json[ReportName(name)] = value; });
  const sim::RunMemory& memory = outcome.result.memory;
  json["memory"] = {{"scheduler_bytes", memory.scheduler_bytes},
                    {"world_bytes", memory.world_bytes},
                    {"call_bytes", memory.call_bytes}};
  json["kv_bytes"] = backend.kv_bytes;
  json["kv_bytes_peak"] = backend.kv_bytes_peak;
  json["backend"] = llm.Identity();
  AddServers(ServersOf(llm), json);
  json["journal"] = nullptr;
  AddSpeculation(stats, json);
  if (const auto local = LocalOf(llm)) {
    json["kv_bytes_per_token"] = local->KvBytesPerToken();
    json["kv_sliding_bytes_per_token"] = local->KvSlidingBytesPerToken();
    json["kv_window_bytes"] = local->KvWindowBytes();
    json["kv_state_bytes"] = local->KvStateBytes();
    json["kv_ratio_to_f16"] = local->F16BytesPerToken() / local->KvBytesPerToken();
    const engine::EngineState state = local->State();
    json["recomputed_tokens"] = state.recomputed_tokens;
    json["evicted_blocks"] = state.evicted_blocks;
    json["spilled_blocks"] = state.spilled_blocks;
    json["restored_blocks"] = state.restored_blocks;
  }
  if (!simulation.limits.price.empty()) {
    json["cost"] = llm::CostOf(outcome.used, ParsePrice(simulation.limits.price));
  }
  if (!simulation.limits.interactive.empty()) {
    const std::vector<double>& latencies = outcome.interactive_s;
    json["interactive"] = {{"agent", simulation.limits.interactive},
                           {"target_ms", simulation.limits.target_ms},
                           {"llm_calls", latencies.size()},
                           {"p50_s", llm::Quantile(latencies, 0.5)},
                           {"p99_s", llm::Quantile(latencies, 0.99)}};
  }
  if (journal != nullptr) {
    json["journal"] = journal->Path();
    json["journal_bytes"] = journal->Bytes();
    json["journal_bytes_per_hour"] =
        journal::BytesPerHour(journal->Bytes(), static_cast<sim::Step>(outcome.result.step_hashes.size()),
                              scenario.seconds_per_step);
  }
  return json;
}

std::string Summary(const FinishedRun& run) {
  const auto& [simulation, scenario, options, outcome, llm, journal] = run;
  std::string text;
  const auto add = [&text]<typename... Args>(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(text), format, std::forward<Args>(args)...);
  };
  const sim::RunStats& stats = outcome.result.stats;
  const auto steps = static_cast<sim::Step>(outcome.result.step_hashes.size());
  add("{} agents, {} steps, until {}, mode {}\n", scenario.world->NumAgents(), steps, scenario.ClockAt(steps),
      sim::ModeName(options.mode));
  add("time        {:.1f} s", stats.wall_s);
  // A backend in virtual time has its own clock.
  if (stats.backend_s > 1.5 * stats.wall_s) add(" ({:.1f} s on the backend's clock)", stats.backend_s);
  add("\ncalls       {}", stats.calls);
  if (outcome.replayed > 0) add(" ({} answered by the journal)", outcome.replayed);
  add("\ntokens      {} of prompts ({} found in the prefix cache), {} of answers\n", stats.prompt_tokens,
      stats.cached_prompt_tokens, stats.output_tokens);
  if (stats.failed_calls > 0) add("failed      {} calls, whose agents fell back\n", stats.failed_calls);
  if (stats.effects > 0) {
    add("effects     {} asked of tools and others, {} failed, {} unknown: begun, and perhaps done\n",
        stats.effects, stats.failed_effects, stats.unknown_effects);
  }
  if (!simulation.limits.price.empty()) {
    add("cost        {:.4f}, at {} for a million tokens\n",
        llm::CostOf(outcome.used, ParsePrice(simulation.limits.price)), simulation.limits.price);
  }
  if (!simulation.limits.interactive.empty()) {
    const std::vector<double>& latencies = outcome.interactive_s;
    add("interactive {}: {} calls, half within {:.2f} s, 99 % within {:.2f} s\n",
        simulation.limits.interactive, latencies.size(), llm::Quantile(latencies, 0.5),
        llm::Quantile(latencies, 0.99));
  }
  add("in flight   {:.2f} requests on average\n", stats.parallelism);
  add("clusters    {}, the largest of {} agents; at most {} steps between two agents\n", stats.clusters,
      stats.largest_cluster, stats.max_spread);
  if (stats.births + stats.deaths + stats.interventions > 0) {
    add("population  {} born, {} died; {} events from outside\n", stats.births, stats.deaths,
        stats.interventions);
  }
  if (stats.speculated_steps > 0) add("speculation {}\n", DescribeSpeculation(stats));
  for (const std::string& line : DescribeServers(ServersOf(llm))) add("server      {}\n", line);
  const llm::Stats backend = llm.GetStats();
  if (backend.kv_bytes_peak > 0) {
    add("KV cache    {} at the peak, {} now", HumanBytes(static_cast<double>(backend.kv_bytes_peak)),
        HumanBytes(static_cast<double>(backend.kv_bytes)));
    if (const auto local = LocalOf(llm)) {
      add("; {:.0f} bytes per token, {:.2f} times smaller than f16", local->KvBytesPerToken(),
          local->F16BytesPerToken() / local->KvBytesPerToken());
      if (local->KvSlidingBytesPerToken() > 0) {
        add(", {:.0f} of them as long as a window sees the token", local->KvSlidingBytesPerToken());
      }
      if (local->KvWindowBytes() > 0) {
        add(", and {} per sequence for pages in int8",
            HumanBytes(static_cast<double>(local->KvWindowBytes())));
      }
      if (local->KvStateBytes() > 0) {
        add(", and {} per sequence for the recurrent state",
            HumanBytes(static_cast<double>(local->KvStateBytes())));
      }
      const engine::EngineState state = local->State();
      if (state.evicted_blocks > 0) {
        add("\nevicted     {} blocks, {} of them to disk ({} came back); {} tokens were computed again",
            state.evicted_blocks, state.spilled_blocks, state.restored_blocks, state.recomputed_tokens);
      }
    }
    add("\n");
  }
  add("hash        {}\n", outcome.result.hash.Hex());
  if (journal == nullptr) return text;
  const auto bytes = static_cast<double>(journal->Bytes());
  add("journal     {}, {}", journal->Path(), HumanBytes(bytes));
  const double growth = journal::BytesPerHour(journal->Bytes(), steps, scenario.seconds_per_step);
  if (growth > 0) add(", {} per simulated hour", HumanBytes(growth));
  add("\n");
  return text;
}

std::string DescribeProgress(const sim::Progress& progress, const Scenario& scenario, sim::Step steps,
                             const llm::Stats& stats) {
  const sim::RunStats& run = progress.stats;
  const double rate = run.wall_s > 0 ? static_cast<double>(run.output_tokens) / run.wall_s : 0;
  std::string line = progress.is_paused ? "paused  " : "";
  line += fmt::format("{}  step {}/{}  {} agents ahead (+{})  {} calls, {} in flight  {:.0f} tokens/s",
                      scenario.ClockAt(progress.base_step), progress.base_step, steps, progress.agents_ahead,
                      progress.front_step - progress.base_step, run.calls, progress.in_flight, rate);
  if (progress.longest_wait_s > kLongWaitSeconds && !progress.is_paused) {
    line += fmt::format("  {} waits for {:.0f} s", scenario.world->AgentName(progress.longest_waiting),
                        progress.longest_wait_s);
  }
  if (stats.kv_bytes > 0) line += fmt::format("  KV {}", HumanBytes(static_cast<double>(stats.kv_bytes)));
  return line;
}

}  // namespace throng::app
