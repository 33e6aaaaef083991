// throng sweep: a scenario over seeds and values of flags, each run in its own process, with a journal.

#include "studies/sweep.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "app/run.h"
#include "base/error.h"
#include "base/text/human_bytes.h"
#include "cli/cli11.h"
#include "cli/commands.h"
#include "cli/flags/codec_lists.h"

namespace throng::cli {

namespace {

struct Options {
  std::string seeds = "1";
  std::vector<std::string> variations;
  std::vector<std::string> outcomes;
  std::string out = "sweep";
  int jobs = 1;
  bool json = false;
};

// "1-5,9"
std::vector<uint64_t> ParseSeedList(const std::string& text) {
  std::vector<uint64_t> seeds;
  for (const std::string& part : CLI::detail::split(text, ',')) {
    const char* const end = part.data() + part.size();
    uint64_t first = 0;
    auto parsed = std::from_chars(part.data(), end, first);
    uint64_t last = first;
    if (parsed.ec == std::errc() && parsed.ptr != end && *parsed.ptr == '-') {
      parsed = std::from_chars(parsed.ptr + 1, end, last);
    }
    if (parsed.ec != std::errc() || parsed.ptr != end || last < first ||
        last - first >= studies::kMaxSweptRuns) {
      throw MakeError(ErrorCode::kInvalid, "--seeds {}: allowed: whole numbers and ranges, such as 1-5,9",
                      text);
    }
    for (uint64_t seed = first;; ++seed) {
      seeds.push_back(seed);
      if (seed == last) break;
    }
  }
  return seeds;
}

// "kv=f16,int8"; values may have parameters: "kv=f16,gear2:r=4,s=2%".
studies::Variation ParseVariation(const std::string& text) {
  const size_t equals = text.find('=');
  const size_t begin = std::min(text.find_first_not_of('-'), equals);
  studies::Variation variation;
  if (equals != std::string::npos) {
    variation = {text.substr(begin, equals - begin), SplitCodecs(text.substr(equals + 1))};
  }
  constexpr std::array<std::string_view, 5> kOwn = {"seed", "journal", "no-journal", "json", "quiet"};
  const bool own = std::find(kOwn.begin(), kOwn.end(), variation.flag) != kOwn.end();
  if (variation.flag.empty() || variation.values.empty() || own) {
    throw MakeError(ErrorCode::kInvalid,
                    "--vary {}: allowed: FLAG=VALUE,VALUE..., where FLAG is a flag of throng run{}", text,
                    own ? fmt::format(" other than {}", fmt::join(kOwn, ", ")) : "");
  }
  return variation;
}

// "talks=SELECT ..."
studies::SweepOutcome ParseOutcome(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0 || equals + 1 == text.size()) {
    throw MakeError(ErrorCode::kInvalid,
                    "--outcome {}: allowed: NAME=SQL, a query on the tables of a journal", text);
  }
  return {text.substr(0, equals), text.substr(equals + 1)};
}

void Sweep(const Options& options, const std::vector<std::string>& flags) {
  studies::SweepPlan plan;
  plan.seeds = ParseSeedList(options.seeds);
  for (const std::string& text : options.variations) plan.variations.push_back(ParseVariation(text));
  for (const std::string& text : options.outcomes) plan.outcomes.push_back(ParseOutcome(text));
  plan.out = options.out;
  plan.jobs = options.jobs;
  plan.flags = flags;
  const std::vector<studies::SweptRun> runs =
      studies::RunSweep(plan, [](size_t done, size_t all, const studies::SweptRun& run) {
        fmt::print(stderr, "{} of {}: {}\n", done, all, run.journal);
      });
  if (options.json) {
    fmt::print("{}\n", studies::SweepJson(plan, runs).dump(2));
  } else {
    studies::PrintSweep(plan, runs);
  }
  const auto failed =
      std::count_if(runs.begin(), runs.end(), [](const auto& run) { return run.exit_code != 0; });
  if (failed == 0) return;
  const bool stopped = std::all_of(runs.begin(), runs.end(), [](const auto& run) {
    return run.exit_code == 0 || run.exit_code == app::Stopped::kExitCode;
  });
  const std::string message = fmt::format(
      "sweep: {} of {} runs did not end; the same command goes on with them", failed, runs.size());
  if (stopped) throw app::Stopped(ErrorCode::kExhausted, message);
  throw Error(ErrorCode::kInvalid, message);
}

}  // namespace

void AddSweep(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("sweep", "Run a scenario with several seeds and values of flags, and compare");
  const auto options = std::make_shared<Options>();
  command->add_option("--seeds", options->seeds, "Such as 1-5,9")->capture_default_str();
  command
      ->add_option(
          "--vary", options->variations,
          "FLAG=VALUE,VALUE...: a flag of throng run, such as kv=f16,flashq4; may be repeated: every "
          "combination is run")
      ->allow_extra_args(false);
  command
      ->add_option(
          "--outcome", options->outcomes,
          "NAME=SQL: a column of the table, the first value of a query on a run's journal; may be repeated")
      ->allow_extra_args(false);
  command->add_option("--jobs", options->jobs, "Runs at once; they share the threads of the machine")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  command->add_option("-o,--out", options->out, "Folder for the journals")->capture_default_str();
  command->add_flag("--json", options->json, "Print one JSON object");
  command->allow_extras();
  command->footer(
      "All other flags go to throng run. Each run keeps its journal in the folder; the same command goes on "
      "with "
      "a sweep that was stopped.\n"
      "Example:\n"
      "  throng sweep --seeds 1-5 --vary kv=f16,flashq4 --jobs 2 --until 09:00 -o codecs\n"
      "  throng sweep --seeds 1-9 --vary agents=10,25,50 --outcome \"talks=SELECT count(*) FROM "
      "conversations\"");
  command->callback([options, command] { Sweep(*options, command->remaining()); });
}

}  // namespace throng::cli
