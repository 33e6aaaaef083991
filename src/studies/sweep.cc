#include "studies/sweep.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include "base/atomic_file.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/text/human_bytes.h"
#include "base/thread_pool.h"
#include "journal/journal.h"
#include "journal/store/database.h"
#include "journal/store/place.h"
#include "journal/store/scratch_journal.h"
#include "studies/mean_interval.h"
#include "studies/subprocess.h"

namespace throng::studies {

namespace {

using Json = nlohmann::ordered_json;

constexpr double kConfidence = 0.95;

// A path, whatever the folder that the sweep is repeated in.
std::string WholeValue(const std::string& value) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(value, ignored)) return value;
  return std::filesystem::absolute(value).lexically_normal().string();
}

// "gear2" of "gear2:r=4", "small" of "models/small.gguf".
std::string ShortName(const std::string& value) {
  std::string name = std::filesystem::path(value.substr(0, value.find(':'))).stem().string();
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}

// Names the journal after the run's settings, so that a repeated sweep finds it.
std::string JournalName(const SweptRun& run, const SweepPlan& plan) {
  Hasher hasher;
  std::string name = fmt::format("seed{}", run.seed);
  for (size_t i = 0; i < run.values.size(); ++i) {
    hasher.Add(plan.variations[i].flag).Add(WholeValue(run.values[i]));
    name += "-" + ShortName(run.values[i]);
  }
  for (const std::string& flag : plan.flags) hasher.Add(flag);
  return fmt::format("{}-{}.journal", name.substr(0, 100), hasher.Finish().Hex().substr(0, 8));
}

// All combinations; the last variation changes fastest.
std::vector<std::vector<std::string>> Combinations(const std::vector<Variation>& variations) {
  std::vector<std::vector<std::string>> combinations = {{}};
  for (const Variation& variation : variations) {
    std::vector<std::vector<std::string>> longer;
    if (combinations.size() * variation.values.size() > kMaxSweptRuns) {
      throw MakeError(ErrorCode::kInvalid, "sweep: more than {} runs", kMaxSweptRuns);
    }
    for (const std::vector<std::string>& combination : combinations) {
      for (const std::string& value : variation.values) {
        longer.push_back(combination);
        longer.back().push_back(value);
      }
    }
    combinations = std::move(longer);
  }
  return combinations;
}

std::vector<SweptRun> MakeRuns(const SweepPlan& plan) {
  std::vector<SweptRun> runs;
  for (const std::vector<std::string>& values : Combinations(plan.variations)) {
    for (const uint64_t seed : plan.seeds) {
      SweptRun& run = runs.emplace_back();
      run.seed = seed;
      run.values = values;
      run.journal = (std::filesystem::path(plan.out) / JournalName(run, plan)).string();
      if (runs.size() > kMaxSweptRuns) {
        throw MakeError(ErrorCode::kInvalid, "sweep: more than {} runs", kMaxSweptRuns);
      }
    }
  }
  if (journal::IsPostgres(plan.out)) {
    throw MakeError(
        ErrorCode::kInvalid,
        "sweep: --out {}: journals of a sweep are files with reports beside them, allowed: a folder",
        plan.out);
  }
  std::set<std::string> journals;
  for (const SweptRun& run : runs) {
    if (!journals.insert(run.journal).second) {
      throw MakeError(ErrorCode::kInvalid, "sweep: {} is named twice by --seeds and --vary", run.journal);
    }
  }
  return runs;
}

Json Ask(journal::Journal& journal, const SweepOutcome& outcome) {
  try {
    journal::Statement statement(journal.GetDatabase(), outcome.sql.c_str());
    if (!statement.Step()) return nullptr;
    if (statement.IsInt(0)) return statement.Int(0);
    if (statement.IsDouble(0)) return statement.Double(0);
    return statement.Text(0);
  } catch (const Error& error) {
    throw MakeError(error.Code(), "--outcome {}: {}", outcome.name, error.what());
  }
}

// Throws now for a query that would fail after hours of runs.
void CheckOutcomes(const std::vector<SweepOutcome>& outcomes) {
  if (outcomes.empty()) return;
  journal::ScratchJournal scratch;
  for (const SweepOutcome& outcome : outcomes) Ask(scratch.Get(), outcome);
}

// The message of a failed process: its last line.
std::string Complaint(const std::string& path) {
  std::ifstream file(path);
  std::string found;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty()) found = line;
  }
  return found;
}

// The report of a run that ended in an earlier call of the same sweep; null if there is none.
Json EarlierReport(const std::string& path) {
  std::ifstream file(path);
  if (!file) return nullptr;
  const Json report = Json::parse(file, nullptr, /*allow_exceptions=*/false);
  return report.is_object() ? report : Json(nullptr);
}

void RunOne(const SweepPlan& plan, SweptRun& run) {
  const std::string kept = run.journal + ".report";
  std::vector<std::string> arguments;
  if (std::filesystem::exists(run.journal)) {
    run.report = EarlierReport(kept);
    if (!run.report.is_null()) {
      run.exit_code = 0;
      return;
    }
    arguments = {"resume", run.journal};
  } else {
    arguments = {"run", "--seed", std::to_string(run.seed), "--journal", run.journal};
    for (size_t i = 0; i < run.values.size(); ++i) {
      arguments.insert(arguments.end(), {"--" + plan.variations[i].flag, run.values[i]});
    }
    arguments.insert(arguments.end(), plan.flags.begin(), plan.flags.end());
  }
  if (std::find(plan.flags.begin(), plan.flags.end(), "--threads") == plan.flags.end()) {
    const int threads = ThreadsOrAll(0) / plan.jobs;
    arguments.insert(arguments.end(), {"--threads", std::to_string(std::max(1, threads))});
  }
  arguments.insert(arguments.end(), {"--json", "--quiet"});
  const std::string log = run.journal + ".log";
  const ProcessResult result = RunSelf(arguments, log);
  run.exit_code = result.exit_code;
  if (result.exit_code != 0) {
    run.error = Complaint(log);
    return;
  }
  run.report = Json::parse(result.output);
  AtomicFile file(kept);
  file.Write(result.output.data(), result.output.size());
  file.Commit();
  std::filesystem::remove(log);
}

void AddOutcomes(const SweepPlan& plan, SweptRun& run) {
  if (plan.outcomes.empty()) return;
  const std::unique_ptr<journal::Journal> journal = journal::Journal::OpenToRead(run.journal);
  for (const SweepOutcome& outcome : plan.outcomes) run.outcomes.push_back(Ask(*journal, outcome));
}

// A combination of values: its outcomes over all seeds.
struct Summary {
  std::vector<std::string> values;
  int runs = 0;                                    // that ended
  std::vector<std::optional<MeanInterval>> means;  // one per outcome; none if it is not a number in every run
};

std::vector<Summary> Summarise(const SweepPlan& plan, const std::vector<SweptRun>& runs) {
  std::vector<Summary> summaries;
  for (size_t begin = 0; begin < runs.size(); begin += plan.seeds.size()) {
    Summary& summary = summaries.emplace_back();
    summary.values = runs[begin].values;
    std::vector<std::vector<double>> numbers(plan.outcomes.size());
    for (size_t i = begin; i < begin + plan.seeds.size(); ++i) {
      if (runs[i].exit_code != 0) continue;
      ++summary.runs;
      for (size_t k = 0; k < runs[i].outcomes.size(); ++k) {
        if (runs[i].outcomes[k].is_number()) numbers[k].push_back(runs[i].outcomes[k].get<double>());
      }
    }
    for (const std::vector<double>& values : numbers) {
      const bool all = !values.empty() && values.size() == static_cast<size_t>(summary.runs);
      summary.means.push_back(all ? std::optional(MeanWithInterval(values, kConfidence)) : std::nullopt);
    }
  }
  return summaries;
}

std::vector<std::string> Flags(const SweepPlan& plan) {
  std::vector<std::string> flags;
  for (const Variation& variation : plan.variations) flags.push_back(variation.flag);
  return flags;
}

Json FlagsJson(const SweepPlan& plan, const std::vector<std::string>& values) {
  Json json = Json::object();
  for (size_t i = 0; i < values.size(); ++i) json[plan.variations[i].flag] = values[i];
  return json;
}

std::string ShowOutcome(const Json& value) {
  if (value.is_null()) return "-";
  if (value.is_string()) return value.get<std::string>();
  return value.is_number_integer() ? std::to_string(value.get<int64_t>())
                                   : fmt::format("{:.4g}", value.get<double>());
}

// The first row names the columns. A row that ends early does not widen its last column.
void PrintTable(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths(rows[0].size());
  for (const std::vector<std::string>& row : rows) {
    const size_t filled = row.size() == widths.size() ? row.size() : row.size() - 1;
    for (size_t i = 0; i < filled; ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const std::vector<std::string>& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) line += fmt::format("{:<{}}  ", row[i], widths[i]);
    fmt::print("{}\n", line.substr(0, line.find_last_not_of(' ') + 1));
  }
}

}  // namespace

std::vector<SweptRun> RunSweep(const SweepPlan& plan,
                               const std::function<void(size_t done, size_t all, const SweptRun&)>& on_done) {
  std::vector<SweptRun> runs = MakeRuns(plan);
  CheckOutcomes(plan.outcomes);
  std::error_code error;
  std::filesystem::create_directories(plan.out, error);
  if (error) throw MakeError(ErrorCode::kIo, "--out {}: {}", plan.out, error.message());
  std::atomic<size_t> next = 0;
  size_t done = 0;
  std::mutex mutex;  // guards done
  std::vector<std::thread> threads;
  for (int job = 0; job < plan.jobs; ++job) {
    threads.emplace_back([&] {
      for (size_t i = next++; i < runs.size(); i = next++) {
        try {
          RunOne(plan, runs[i]);
          if (runs[i].exit_code == 0) AddOutcomes(plan, runs[i]);
        } catch (const std::exception& error) {
          runs[i].exit_code = 1;
          runs[i].error = error.what();
        }
        const std::lock_guard lock(mutex);
        on_done(++done, runs.size(), runs[i]);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return runs;
}

void PrintSweep(const SweepPlan& plan, const std::vector<SweptRun>& runs) {
  std::vector<std::vector<std::string>> rows = {Flags(plan)};
  rows[0].insert(rows[0].end(), {"seed", "calls", "prompt tokens", "output tokens", "time s", "KV peak"});
  for (const SweepOutcome& outcome : plan.outcomes) rows[0].push_back(outcome.name);
  rows[0].emplace_back("hash");
  for (const SweptRun& run : runs) {
    std::vector<std::string>& row = rows.emplace_back(run.values);
    row.push_back(std::to_string(run.seed));
    if (run.exit_code != 0) {
      row.push_back(fmt::format("exit code {}: {}", run.exit_code, run.error));
      continue;
    }
    for (const char* key : {"llm_calls", "prompt_tokens", "output_tokens"}) {
      row.push_back(std::to_string(run.report[key].get<uint64_t>()));
    }
    row.push_back(fmt::format("{:.1f}", run.report["backend_s"].get<double>()));
    row.push_back(HumanBytes(run.report["kv_bytes_peak"].get<double>()));
    for (const Json& value : run.outcomes) row.push_back(ShowOutcome(value));
    row.push_back(run.report["hash"].get<std::string>());
  }
  PrintTable(rows);
  if (plan.outcomes.empty() || plan.seeds.size() < 2) return;
  rows = {Flags(plan)};
  rows[0].emplace_back("runs");
  for (const SweepOutcome& outcome : plan.outcomes) rows[0].push_back(outcome.name + " (95 %)");
  for (const Summary& summary : Summarise(plan, runs)) {
    std::vector<std::string>& row = rows.emplace_back(summary.values);
    row.push_back(std::to_string(summary.runs));
    for (const std::optional<MeanInterval>& mean : summary.means) {
      if (!mean.has_value()) {
        row.emplace_back("-");
      } else if (!mean->low.has_value()) {
        row.push_back(fmt::format("{:.4g}", mean->mean));
      } else {
        row.push_back(fmt::format("{:.4g} ({:.4g} to {:.4g})", mean->mean, *mean->low, *mean->high));
      }
    }
  }
  fmt::print("\n");
  PrintTable(rows);
}

nlohmann::ordered_json SweepJson(const SweepPlan& plan, const std::vector<SweptRun>& runs) {
  Json results = Json::array();
  for (const SweptRun& run : runs) {
    Json json = {{"flags", FlagsJson(plan, run.values)}, {"exit_code", run.exit_code}, {"error", run.error}};
    json["seed"] = run.seed;
    json["journal"] = run.journal;
    json["outcomes"] = Json::object();
    for (size_t i = 0; i < run.outcomes.size(); ++i)
      json["outcomes"][plan.outcomes[i].name] = run.outcomes[i];
    for (const auto& [key, value] : run.report.items()) json[key] = value;
    results.push_back(std::move(json));
  }
  Json summaries = Json::array();
  for (const Summary& summary : Summarise(plan, runs)) {
    Json json = {{"flags", FlagsJson(plan, summary.values)}, {"runs", summary.runs}};
    for (size_t i = 0; i < plan.outcomes.size(); ++i) {
      const std::optional<MeanInterval>& mean = summary.means[i];
      if (!mean.has_value()) continue;
      Json& of = json["outcomes"][plan.outcomes[i].name] = {{"mean", mean->mean}};
      if (mean->low.has_value()) of.update({{"low", *mean->low}, {"high", *mean->high}});
    }
    summaries.push_back(std::move(json));
  }
  return {{"results", results}, {"summary", summaries}};
}

}  // namespace throng::studies
