#include "studies/sweep.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <set>
#include <thread>

#include "base/atomic_file.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/text/human_bytes.h"
#include "studies/subprocess.h"

namespace throng::studies {

namespace {

using Json = nlohmann::ordered_json;

// Names the journal after the run's settings, so that a repeated sweep finds it.
std::string JournalName(const SweptRun& run, const std::vector<std::string>& flags) {
  Hasher hasher;
  hasher.Add(run.model.empty() ? run.model : std::filesystem::absolute(run.model).string());
  hasher.Add(run.kv);
  for (const std::string& flag : flags) hasher.Add(flag);
  std::string kv = run.kv.substr(0, run.kv.find(':'));
  std::replace(kv.begin(), kv.end(), '/', '_');
  std::string name = fmt::format("seed{}", run.seed);
  if (!kv.empty()) name += "-" + kv;
  if (!run.model.empty()) name += "-" + std::filesystem::path(run.model).stem().string();
  return fmt::format("{}-{}.journal", name, hasher.Finish().Hex().substr(0, 8));
}

std::vector<SweptRun> MakeRuns(const SweepPlan& plan) {
  const std::vector<std::string> unset = {""};
  const std::vector<std::string>& models = plan.models.empty() ? unset : plan.models;
  const std::vector<std::string>& codecs = plan.codecs.empty() ? unset : plan.codecs;
  std::vector<SweptRun> runs;
  for (const std::string& model : models) {
    for (const std::string& kv : codecs) {
      for (const uint64_t seed : plan.seeds) {
        SweptRun& run = runs.emplace_back();
        run.seed = seed;
        run.kv = kv;
        run.model = model;
        run.journal = (std::filesystem::path(plan.out) / JournalName(run, plan.flags)).string();
        if (runs.size() > kMaxSweptRuns) {
          throw MakeError(ErrorCode::kInvalid, "sweep: more than {} runs", kMaxSweptRuns);
        }
      }
    }
  }
  std::set<std::string> journals;
  for (const SweptRun& run : runs) {
    if (!journals.insert(run.journal).second) {
      throw MakeError(ErrorCode::kInvalid, "sweep: {} is named twice by --seeds, --kv and --model",
                      run.journal);
    }
  }
  return runs;
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
    if (!run.kv.empty()) arguments.insert(arguments.end(), {"--kv", run.kv});
    if (!run.model.empty()) arguments.insert(arguments.end(), {"--model", run.model});
    arguments.insert(arguments.end(), plan.flags.begin(), plan.flags.end());
  }
  if (std::find(plan.flags.begin(), plan.flags.end(), "--threads") == plan.flags.end()) {
    const int threads = static_cast<int>(std::thread::hardware_concurrency()) / plan.jobs;
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

}  // namespace

std::vector<SweptRun> RunSweep(const SweepPlan& plan,
                               const std::function<void(size_t done, size_t all, const SweptRun&)>& on_done) {
  std::vector<SweptRun> runs = MakeRuns(plan);
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

void PrintSweep(const std::vector<SweptRun>& runs) {
  size_t width = 5;
  size_t kv_width = 5;
  for (const SweptRun& run : runs) {
    width = std::max(width, std::filesystem::path(run.model).filename().string().size());
    kv_width = std::max(kv_width, run.kv.size());
  }
  fmt::print("{:<{}}  {:<{}}  {:>6} {:>8} {:>14} {:>13} {:>10} {:>10}  {}\n", "model", width, "codec",
             kv_width, "seed", "calls", "prompt tokens", "output tokens", "time s", "KV peak", "hash");
  for (const SweptRun& run : runs) {
    fmt::print("{:<{}}  {:<{}}  {:>6} ", std::filesystem::path(run.model).filename().string(), width, run.kv,
               kv_width, run.seed);
    if (run.exit_code != 0) {
      fmt::print("exit code {}: {}\n", run.exit_code, run.error);
      continue;
    }
    fmt::print("{:>8} {:>14} {:>13} {:>10.1f} {:>10}  {}\n", run.report["llm_calls"].get<uint64_t>(),
               run.report["prompt_tokens"].get<uint64_t>(), run.report["output_tokens"].get<uint64_t>(),
               run.report["backend_s"].get<double>(), HumanBytes(run.report["kv_bytes_peak"].get<double>()),
               run.report["hash"].get<std::string>());
  }
}

nlohmann::ordered_json SweepJson(const std::vector<SweptRun>& runs) {
  Json results = Json::array();
  for (const SweptRun& run : runs) {
    Json json = {{"model", run.model}, {"kv", run.kv}, {"exit_code", run.exit_code}, {"error", run.error}};
    json["seed"] = run.seed;
    json["journal"] = run.journal;
    for (const auto& [key, value] : run.report.items()) json[key] = value;
    results.push_back(std::move(json));
  }
  return {{"results", results}};
}

}  // namespace throng::studies
