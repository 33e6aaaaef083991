// throng sweep: a scenario over seeds, models and codecs, each run in a process of its own with a journal.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "app/run.h"
#include "base/atomic_file.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/human_bytes.h"
#include "cli/commands.h"
#include "cli/flags/codec_lists.h"
#include "cli/progress_line.h"
#include "studies/subprocess.h"

namespace throng::cli {

namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxRuns = 100000;

struct Options {
  std::string seeds = "1";
  std::string codecs;
  std::string models;
  std::string out = "sweep";
  int jobs = 1;
  bool json = false;
};

// One run of the sweep; empty text: as throng run has it.
struct Cell {
  uint64_t seed;
  std::string kv;
  std::string model;
  std::string journal;
  int exit_code = -1;
  std::string error;
  Json report;
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
    if (parsed.ec != std::errc() || parsed.ptr != end || last < first || last - first >= kMaxRuns) {
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

// Names what the journal is of, so that a sweep that is started again finds it.
std::string JournalName(const Cell& cell, const std::vector<std::string>& flags) {
  Hasher hasher;
  hasher.Add(cell.model.empty() ? cell.model : std::filesystem::absolute(cell.model).string());
  hasher.Add(cell.kv);
  for (const std::string& flag : flags) hasher.Add(flag);
  std::string kv = cell.kv.substr(0, cell.kv.find(':'));
  std::replace(kv.begin(), kv.end(), '/', '_');
  std::string name = fmt::format("seed{}", cell.seed);
  if (!kv.empty()) name += "-" + kv;
  if (!cell.model.empty()) name += "-" + std::filesystem::path(cell.model).stem().string();
  return fmt::format("{}-{}.journal", name, hasher.Finish().Hex().substr(0, 8));
}

std::vector<Cell> MakeCells(const Options& options, const std::vector<std::string>& flags) {
  std::vector<std::string> models = CLI::detail::split(options.models, ',');
  std::vector<std::string> codecs = SplitCodecs(options.codecs);
  if (options.models.empty()) models = {""};
  if (options.codecs.empty()) codecs = {""};
  std::vector<Cell> cells;
  for (const std::string& model : models) {
    for (const std::string& kv : codecs) {
      for (const uint64_t seed : ParseSeedList(options.seeds)) {
        Cell& cell = cells.emplace_back();
        cell.seed = seed;
        cell.kv = kv;
        cell.model = model;
        cell.journal = (std::filesystem::path(options.out) / JournalName(cell, flags)).string();
        if (cells.size() > kMaxRuns) {
          throw MakeError(ErrorCode::kInvalid, "sweep: more than {} runs", kMaxRuns);
        }
      }
    }
  }
  std::set<std::string> journals;
  for (const Cell& cell : cells) {
    if (!journals.insert(cell.journal).second) {
      throw MakeError(ErrorCode::kInvalid, "sweep: {} is named twice by --seeds, --kv and --model",
                      cell.journal);
    }
  }
  return cells;
}

// What a process that failed said: its last line, or the first one if it was called wrongly (then help is
// offered after it).
std::string Complaint(const std::string& path, int exit_code) {
  std::ifstream file(path);
  std::string found;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty()) found = line;
    if (exit_code == 2) break;
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

void RunCell(const Options& options, const std::vector<std::string>& flags, Cell& cell) {
  const std::string kept = cell.journal + ".report";
  std::vector<std::string> arguments;
  if (std::filesystem::exists(cell.journal)) {
    cell.report = EarlierReport(kept);
    if (!cell.report.is_null()) {
      cell.exit_code = 0;
      return;
    }
    arguments = {"resume", cell.journal};
  } else {
    arguments = {"run", "--seed", std::to_string(cell.seed), "--journal", cell.journal};
    if (!cell.kv.empty()) arguments.insert(arguments.end(), {"--kv", cell.kv});
    if (!cell.model.empty()) arguments.insert(arguments.end(), {"--model", cell.model});
    arguments.insert(arguments.end(), flags.begin(), flags.end());
  }
  if (std::find(flags.begin(), flags.end(), "--threads") == flags.end()) {
    const int threads = static_cast<int>(std::thread::hardware_concurrency()) / options.jobs;
    arguments.insert(arguments.end(), {"--threads", std::to_string(std::max(1, threads))});
  }
  arguments.insert(arguments.end(), {"--json", "--quiet"});
  const std::string log = cell.journal + ".log";
  const studies::ProcessResult result = studies::RunSelf(arguments, log);
  cell.exit_code = result.exit_code;
  if (result.exit_code != 0) {
    cell.error = Complaint(log, result.exit_code);
    return;
  }
  cell.report = Json::parse(result.output);
  AtomicFile file(kept);
  file.Write(result.output.data(), result.output.size());
  file.Commit();
  std::filesystem::remove(log);
}

void PrintTable(const std::vector<Cell>& cells) {
  size_t width = 5;
  size_t kv_width = 5;
  for (const Cell& cell : cells) {
    width = std::max(width, std::filesystem::path(cell.model).filename().string().size());
    kv_width = std::max(kv_width, cell.kv.size());
  }
  fmt::print("{:<{}}  {:<{}}  {:>6} {:>8} {:>14} {:>13} {:>10} {:>10}  {}\n", "model", width, "codec",
             kv_width, "seed", "calls", "prompt tokens", "output tokens", "time s", "KV peak", "hash");
  for (const Cell& cell : cells) {
    fmt::print("{:<{}}  {:<{}}  {:>6} ", std::filesystem::path(cell.model).filename().string(), width,
               cell.kv, kv_width, cell.seed);
    if (cell.exit_code != 0) {
      fmt::print("exit code {}: {}\n", cell.exit_code, cell.error);
      continue;
    }
    fmt::print("{:>8} {:>14} {:>13} {:>10.1f} {:>10}  {}\n", cell.report["llm_calls"].get<uint64_t>(),
               cell.report["prompt_tokens"].get<uint64_t>(), cell.report["output_tokens"].get<uint64_t>(),
               cell.report["backend_s"].get<double>(), HumanBytes(cell.report["kv_bytes_peak"].get<double>()),
               cell.report["hash"].get<std::string>());
  }
}

void PrintJson(const std::vector<Cell>& cells) {
  Json results = Json::array();
  for (const Cell& cell : cells) {
    Json json = {
        {"model", cell.model}, {"kv", cell.kv}, {"exit_code", cell.exit_code}, {"error", cell.error}};
    json["seed"] = cell.seed;
    json["journal"] = cell.journal;
    for (const auto& [key, value] : cell.report.items()) json[key] = value;
    results.push_back(std::move(json));
  }
  fmt::print("{}\n", Json{{"results", results}}.dump(2));
}

void Sweep(const Options& options, const std::vector<std::string>& flags) {
  std::vector<Cell> cells = MakeCells(options, flags);
  std::error_code error;
  std::filesystem::create_directories(options.out, error);
  if (error) throw MakeError(ErrorCode::kIo, "--out {}: {}", options.out, error.message());
  std::atomic<size_t> next = 0;
  size_t done = 0;
  std::mutex mutex;  // of done
  std::vector<std::thread> threads;
  for (int job = 0; job < options.jobs; ++job) {
    threads.emplace_back([&] {
      for (size_t i = next++; i < cells.size(); i = next++) {
        try {
          RunCell(options, flags, cells[i]);
        } catch (const std::exception& error) {
          cells[i].exit_code = 1;
          cells[i].error = error.what();
        }
        const std::lock_guard lock(mutex);
        ++done;
        fmt::print(stderr, "{} of {}: {}\n", done, cells.size(), cells[i].journal);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  if (options.json) {
    PrintJson(cells);
  } else {
    PrintTable(cells);
  }
  const auto failed =
      std::count_if(cells.begin(), cells.end(), [](const Cell& cell) { return cell.exit_code != 0; });
  if (failed == 0) return;
  const bool stopped = std::all_of(cells.begin(), cells.end(), [](const Cell& cell) {
    return cell.exit_code == 0 || cell.exit_code == kStoppedExitCode;
  });
  const std::string message = fmt::format(
      "sweep: {} of {} runs did not end; the same command goes on with them", failed, cells.size());
  if (stopped) throw app::Stopped(ErrorCode::kExhausted, message);
  throw Error(ErrorCode::kInvalid, message);
}

}  // namespace

void AddSweep(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "sweep", "Run a scenario over seeds, models and codecs of the KV cache, in parallel, into one table");
  const auto options = std::make_shared<Options>();
  command->add_option("--seeds", options->seeds, "Such as 1-5,9")->capture_default_str();
  command->add_option("--kv", options->codecs, "Codecs, such as f16,flashq4; default: that of throng run");
  command->add_option("-m,--model", options->models,
                      "GGUF files, such as a.gguf,b.gguf; default: the embedded model");
  command->add_option("--jobs", options->jobs, "Runs at once; they share the threads of the machine")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  command->add_option("-o,--out", options->out, "Folder for the journals")->capture_default_str();
  command->add_flag("--json", options->json, "Print one JSON object");
  command->allow_extras();
  command->footer(
      "All other flags are those of throng run. Each run has its journal in the folder; a sweep that was "
      "stopped\n"
      "goes on where it was when it is started again in the same way; what had ended is not run again.\n"
      "Example:\n"
      "  throng sweep --seeds 1-5 --kv f16,flashq4 --jobs 2 --until 09:00 -o codecs");
  command->callback([options, command] { Sweep(*options, command->remaining()); });
}

}  // namespace throng::cli
