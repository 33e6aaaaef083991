#include "studies/replay_report.h"

#include <fmt/format.h>

#include <optional>
#include <string>

#include "app/record/report.h"

namespace throng::studies {

namespace {

const trace::ReplayRow* Find(const std::vector<trace::ReplayRow>& rows, const std::string& mode) {
  for (const trace::ReplayRow& row : rows) {
    if (row.mode == mode) return &row;
  }
  return nullptr;
}

// How much sooner `row` ends than `base`; empty if there is no base to compare with.
std::optional<double> Speedup(const trace::ReplayRow* base, const trace::ReplayRow& row) {
  if (base == nullptr || row.stats.backend_s == 0) return std::nullopt;
  return base->stats.backend_s / row.stats.backend_s;
}

// What servers counted beside what the trace has.
void PrintDifferences(const std::vector<trace::ReplayRow>& rows) {
  for (const trace::ReplayRow& row : rows) {
    if (!row.differences) continue;
    const trace::TokenDifferences& d = *row.differences;
    if (d.prompts == 0 && d.answers == 0) {
      fmt::print("{}: every prompt and answer had as many tokens as recorded\n", row.mode);
    } else {
      fmt::print(
          "{}: {} prompts had other numbers of tokens than recorded ({:+} tokens in all), and {} answers "
          "({:+})\n",
          row.mode, d.prompts, d.prompt_tokens, d.answers, d.output_tokens);
    }
  }
}

}  // namespace

void PrintReplay(const std::vector<trace::ReplayRow>& rows) {
  const auto times = [](const std::optional<double>& ratio) {
    return ratio ? fmt::format("{:.2f}x", *ratio) : std::string("-");
  };
  const auto percent = [](const std::optional<double>& ratio) {
    return ratio ? fmt::format("{:.1f} %", *ratio * 100) : std::string("-");
  };
  fmt::print("{:<13} {:>12} {:>9} {:>11} {:>9} {:>9} {:>8} {:>13} {:>13} {:>14} {:>7}\n", "mode",
             "completion s", "vs single", "vs lockstep", "of oracle", "in flight", "calls", "prompt tokens",
             "output tokens", "scheduling us", "wall s");
  for (const trace::ReplayRow& row : rows) {
    const sim::RunStats& stats = row.stats;
    fmt::print("{:<13} {:>12.1f} {:>9} {:>11} {:>9} {:>9.2f} {:>8} {:>13} {:>13} {:>14.2f} {:>7.2f}\n",
               row.mode, stats.backend_s, times(Speedup(Find(rows, "single"), row)),
               times(Speedup(Find(rows, "lockstep"), row)), percent(Speedup(Find(rows, trace::kOracle), row)),
               stats.parallelism, stats.calls, stats.prompt_tokens, stats.output_tokens,
               row.SchedulerMicros(stats.agent_steps), stats.wall_s);
  }
  for (const trace::ReplayRow& row : rows) {
    if (row.stats.speculated_steps > 0) fmt::print("{}: {}\n", row.mode, app::DescribeSpeculation(row.stats));
  }
  for (const trace::ReplayRow& row : rows) {
    for (const std::string& line : app::DescribeServers(row.servers)) fmt::print("{}: {}\n", row.mode, line);
  }
  PrintDifferences(rows);
  if (const trace::ReplayRow* critical = Find(rows, trace::kCritical)) {
    fmt::print(
        "The path of most tokens has {:.0f} of them, prompts and answers. Scheduling: wall time outside "
        "the backend, for each step of an agent.\n",
        critical->critical_tokens);
  }
}

nlohmann::ordered_json ReplayJson(const trace::ReplayRow& row, const std::vector<trace::ReplayRow>& rows) {
  const sim::RunStats& stats = row.stats;
  nlohmann::ordered_json json = {{"mode", row.mode},
                                 {"completion_s", stats.backend_s},
                                 {"parallelism", stats.parallelism},
                                 {"llm_calls", stats.calls},
                                 {"prompt_tokens", stats.prompt_tokens},
                                 {"output_tokens", stats.output_tokens},
                                 {"agent_steps", stats.agent_steps},
                                 {"wall_s", stats.wall_s},
                                 {"scheduler_s", row.scheduler_s},
                                 {"scheduler_us_per_agent_step", row.SchedulerMicros(stats.agent_steps)}};
  if (stats.calls > 0) json["scheduler_us_per_call"] = row.SchedulerMicros(stats.calls);
  if (row.hash) {
    json["clusters"] = stats.clusters;
    json["max_spread"] = stats.max_spread;
    app::AddSpeculation(stats, json);
    json["hash"] = row.hash->Hex();
  }
  app::AddServers(row.servers, json);
  if (row.differences) {
    const trace::TokenDifferences& d = *row.differences;
    json["unlike_recorded"] = {{"prompts", d.prompts},
                               {"prompt_tokens", d.prompt_tokens},
                               {"answers", d.answers},
                               {"output_tokens", d.output_tokens},
                               {"answers_cut", d.cut}};
  }
  if (row.mode == trace::kCritical) json["critical_tokens"] = row.critical_tokens;
  const auto add = [&](const char* key, const std::optional<double>& ratio) {
    if (ratio) json[key] = *ratio;
  };
  add("speedup_vs_single", Speedup(Find(rows, "single"), row));
  add("speedup_vs_lockstep", Speedup(Find(rows, "lockstep"), row));
  add("share_of_oracle", Speedup(Find(rows, trace::kOracle), row));
  return json;
}

}  // namespace throng::studies
