// throng trace: makes, converts, cuts, tiles and describes traces.

#include "trace/trace.h"

#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "cli/cli11.h"
#include "cli/commands.h"
#include "cli/flags/number_checks.h"
#include "cli/progress_line.h"
#include "trace/edit.h"
#include "trace/import.h"
#include "trace/stats.h"
#include "trace/synth/synth.h"
#include "trace/write.h"

namespace throng::cli {
namespace {

constexpr const char* kOutputHelp = "Where to write the trace; gzipped if it ends in .gz";

void Save(const trace::Trace& trace, const std::string& path) {
  trace::SaveTrace(trace, path);
  fmt::print("{}: {} agents, {} steps, {} calls\n", path, trace.agents.size(), trace.num_steps,
             trace.NumCalls());
}

struct Minutes {
  int from = 0;
  int until = 24 * 60;
};

// "12-13", or "12:30-13:15".
Minutes ParseHours(const std::string& text) {
  int from_hour = 0;
  int from_minute = 0;
  int until_hour = 0;
  int until_minute = 0;
  int end = 0;
  const auto fits = [&](int fields, int wanted) {
    return fields == wanted && static_cast<size_t>(end) == text.size() && from_minute < 60 &&
           until_minute < 60;
  };
  bool ok = fits(std::sscanf(text.c_str(), "%2d:%2d-%2d:%2d%n", &from_hour, &from_minute, &until_hour,
                             &until_minute, &end),
                 4);
  if (!ok) {
    from_minute = until_minute = 0;
    ok = fits(std::sscanf(text.c_str(), "%2d-%2d%n", &from_hour, &until_hour, &end), 2);
  }
  const Minutes minutes{from_hour * 60 + from_minute, until_hour * 60 + until_minute};
  if (!ok || minutes.from < 0 || minutes.from >= minutes.until || minutes.until > 24 * 60) {
    throw MakeError(ErrorCode::kInvalid, "--hours {}: allowed: FROM-UNTIL, as 12-13 or 12:30-13:15", text);
  }
  return minutes;
}

// Hours of the first day that the trace covers.
trace::Trace CutHours(const trace::Trace& trace, const Minutes& minutes) {
  const int first = trace.SecondOfDay(0);
  const auto step_at = [&](int minute) {
    return static_cast<sim::Step>((minute * 60 - first) / trace.sec_per_step);
  };
  const int64_t end = first + int64_t{trace.num_steps} * trace.sec_per_step;
  if (minutes.from * 60 < first || minutes.until * 60 > end) {
    const auto clock = [](int64_t second) {
      return fmt::format("{:02}:{:02}", second / 3600, second / 60 % 60);
    };
    throw MakeError(ErrorCode::kInvalid, "{}: it has no {} to {}, it goes from {} to {}", trace.name,
                    clock(minutes.from * 60), clock(minutes.until * 60), clock(first), clock(end));
  }
  return trace::CutTrace(trace, step_at(minutes.from), step_at(minutes.until));
}

void PrintStats(const trace::TraceStats& stats) {
  fmt::print("agents        {}\nsteps         {}\ncalls         {}\n", stats.agents, stats.steps,
             stats.calls);
  fmt::print("prompt        {:.1f} tokens, standard deviation {:.1f}\n", stats.MeanPrompt(), stats.sd_prompt);
  fmt::print("output        {:.1f} tokens, standard deviation {:.1f}\n", stats.MeanOutput(), stats.sd_output);
  fmt::print("chains        {} agent-steps with calls, at most {} one after the other\n", stats.active_steps,
             stats.longest_chain);
  fmt::print("conversations {}, of {:.1f} calls\n", stats.conversations, stats.mean_turns);
  fmt::print("coupled       {:.2f} agents on average, itself included; {:.2f} within 15 tiles\n",
             stats.mean_coupled, stats.mean_near);
  fmt::print("moves         in {:.1f} % of agent-steps, the longest of {} tiles\n", stats.moving_share * 100,
             stats.longest_move);
  fmt::print("busiest agent {:.2f} times the mean\n\n{:<6}{:>8}\n", stats.busiest_agent, "hour", "calls");
  for (size_t hour = 0; hour < 24; ++hour) fmt::print("{:<6}{:>8}\n", hour, stats.calls_by_hour[hour]);
  fmt::print("\n{:<20}{:>9}{:>9}{:>9}\n", "function", "calls", "prompt", "output");
  for (const trace::FunctionStats& function : stats.functions) {
    fmt::print("{:<20}{:>9}{:>9.1f}{:>9.1f}\n", function.function, function.calls, function.mean_prompt,
               function.mean_output);
  }
}

nlohmann::ordered_json StatsJson(const trace::TraceStats& stats) {
  nlohmann::ordered_json functions = nlohmann::ordered_json::array();
  for (const trace::FunctionStats& function : stats.functions) {
    functions.push_back({{"function", function.function},
                         {"llm_calls", function.calls},
                         {"mean_prompt_tokens", function.mean_prompt},
                         {"mean_output_tokens", function.mean_output}});
  }
  return {{"agents", stats.agents},
          {"steps", stats.steps},
          {"llm_calls", stats.calls},
          {"prompt_tokens", stats.prompt_tokens},
          {"output_tokens", stats.output_tokens},
          {"mean_prompt_tokens", stats.MeanPrompt()},
          {"mean_output_tokens", stats.MeanOutput()},
          {"sd_prompt_tokens", stats.sd_prompt},
          {"sd_output_tokens", stats.sd_output},
          {"active_agent_steps", stats.active_steps},
          {"longest_chain", stats.longest_chain},
          {"conversations", stats.conversations},
          {"mean_turns", stats.mean_turns},
          {"mean_coupled", stats.mean_coupled},
          {"mean_within_15", stats.mean_near},
          {"moving_share", stats.moving_share},
          {"longest_move", stats.longest_move},
          {"busiest_agent", stats.busiest_agent},
          {"calls_by_hour", stats.calls_by_hour},
          {"functions", functions}};
}

void AddSynth(CLI::App& trace) {
  struct Options {
    int agents = trace::kTownAgents;
    uint64_t seed = 0;
    bool day = false;
    std::string hours;
    std::string output;
  };
  CLI::App* command =
      trace.add_subcommand("synth", "Make a day of Generative Agents as large as the recorded ones");
  const auto options = std::make_shared<Options>();
  command->add_option("--agents", options->agents, "Towns of 25 side by side")
      ->capture_default_str()
      ->check(CLI::Range(1, 100000));
  command->add_option("--seed", options->seed, "Another seed, another day")
      ->capture_default_str()
      ->check(Whole());
  CLI::Option* day = command->add_flag("--day", options->day, "The whole day (default)");
  command->add_option("--hours", options->hours, "Only these, as 12-13 or 12:30-13:15")->excludes(day);
  command->add_option("-o,--output", options->output, kOutputHelp)->required();
  command->footer("Example:\n  throng trace synth --agents 25 --day --seed 1 -o day.jsonl.gz");
  command->callback([options] {
    const Minutes minutes = options->hours.empty() ? Minutes{} : ParseHours(options->hours);
    ProgressLine line(/*quiet=*/false);
    const trace::Trace trace =
        trace::SynthesizeDay(options->agents, options->seed, ShowProgress(line, "towns"));
    line.Clear();
    Save(options->hours.empty() ? trace : CutHours(trace, minutes), options->output);
  });
}

void AddCut(CLI::App& trace) {
  struct Options {
    std::string file;
    std::string hours;
    std::string output;
  };
  CLI::App* command = trace.add_subcommand("cut", "Keep some hours of a trace");
  const auto options = std::make_shared<Options>();
  command->add_option("trace", options->file, "JSON lines, plain or gzipped")->required();
  command->add_option("--hours", options->hours, "Of the clock, as 12-13 or 12:30-13:15")->required();
  command->add_option("-o,--output", options->output, kOutputHelp)->required();
  command->footer("Example:\n  throng trace cut day.jsonl.gz --hours 12-13 -o busy.jsonl.gz");
  command->callback([options] {
    const Minutes minutes = ParseHours(options->hours);
    Save(CutHours(trace::LoadTrace(options->file), minutes), options->output);
  });
}

void AddTile(CLI::App& trace) {
  struct Options {
    std::vector<std::string> files;
    int copies = 0;
    std::string output;
  };
  CLI::App* command = trace.add_subcommand("tile", "Put towns side by side in one world");
  const auto options = std::make_shared<Options>();
  command->add_option("traces", options->files, "Recorded or synthetic days, taken in turn")->required();
  command->add_option("--copies", options->copies, "How many towns; default: one of each file")
      ->check(CLI::Range(1, 10000));
  command->add_option("-o,--output", options->output, kOutputHelp)->required();
  command->footer(
      "Example:\n  throng trace tile monday.jsonl.gz tuesday.jsonl.gz --copies 40 -o city.jsonl.gz");
  command->callback([options] {
    std::vector<trace::Trace> traces;
    for (const std::string& file : options->files) traces.push_back(trace::LoadTrace(file));
    const int copies = options->copies == 0 ? static_cast<int>(traces.size()) : options->copies;
    Save(trace::TileTraces(traces, copies), options->output);
  });
}

void AddTraceImport(CLI::App& trace) {
  struct Options {
    std::string path;
    std::string output;
  };
  CLI::App* command = trace.add_subcommand(
      "import", "Convert and check what Generative Agents recorded, with its calls derived");
  const auto options = std::make_shared<Options>();
  command
      ->add_option("path", options->path,
                   "A storage folder, a compressed folder or its master_movement.json, or a trace")
      ->required();
  command->add_option("-o,--output", options->output, kOutputHelp)->required();
  command->footer("Example:\n  throng trace import storage/July1_the_ville -o july.jsonl.gz");
  command->callback([options] { Save(trace::ImportTrace(options->path), options->output); });
}

void AddStats(CLI::App& trace) {
  struct Options {
    std::string file;
    bool json = false;
  };
  CLI::App* command =
      trace.add_subcommand("stats", "Count a trace's calls, tokens, conversations and neighbours");
  const auto options = std::make_shared<Options>();
  command->add_option("trace", options->file, "JSON lines, plain or gzipped")->required();
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer("Example:\n  throng trace stats day.jsonl.gz");
  command->callback([options] {
    const trace::TraceStats stats = trace::StatsOf(trace::LoadTrace(options->file));
    if (options->json) {
      fmt::print("{}\n", StatsJson(stats).dump(2));
    } else {
      PrintStats(stats);
    }
  });
}

}  // namespace

void AddTrace(CLI::App& app) {
  CLI::App* command = app.add_subcommand("trace", "Make, convert, cut, tile and describe recorded days");
  command->require_subcommand(1);
  AddSynth(*command);
  AddCut(*command);
  AddTraceImport(*command);
  AddTile(*command);
  AddStats(*command);
  command->footer("Example:\n  throng trace synth --agents 25 --day --seed 1 -o day.jsonl.gz");
}

}  // namespace throng::cli
