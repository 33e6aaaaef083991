// `throng bench eviction`: how much of the prefix cache is computed again when the KV budget is short, by
// eviction policy.

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/backend.h"
#include "app/run_options.h"
#include "app/scenario.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text/human_bytes.h"
#include "cli/cli11.h"
#include "cli/commands.h"
#include "cli/flags/local_flags.h"
#include "cli/flags/run_flags.h"
#include "cli/progress_line.h"
#include "engine/local_llm.h"
#include "engine/prefix/offline_eviction.h"
#include "kv/cache/block_pool.h"
#include "llm/decorators/decorator.h"
#include "sim/run/run.h"

namespace throng::cli {
namespace {

struct EvictionFlags {
  app::Simulation simulation;
  std::vector<double> shares = {1.0 / 3};
  int runs = 1;
  bool json = false;
};

// Records the blocks of all prompts.
class Recorder final : public llm::Decorator {
 public:
  Recorder(const std::shared_ptr<engine::LocalModel>& model, std::vector<engine::BlockPath>& prompts)
      : Decorator(std::make_unique<engine::LocalLlm>(model)), model_(*model), prompts_(prompts) {}

  void Submit(llm::Request request) override {
    prompts_.push_back(engine::PathOf(model_.Encode(engine::ChatOf(request.system, request.prompt))));
    Decorator::Submit(std::move(request));
  }

 private:
  const engine::LocalModel& model_;
  std::vector<engine::BlockPath>& prompts_;
};

struct Measured {
  Digest hash;
  std::string eviction;
  double share = 1;  // share of the bytes used without a limit
  uint64_t budget = 0;
  size_t block_bytes = 0;
  double seconds = 0;
  double cpu_seconds = 0;  // of all threads: less disturbed by other programs
  uint64_t tokens = 0;     // of prompts and answers
  uint64_t cached_tokens = 0;
  engine::EngineState state;
  std::vector<engine::BlockPath> prompts;
};

Measured RunOnce(const EvictionFlags& flags, const app::Scenario& scenario, const std::string& eviction,
                 uint64_t budget) {
  engine::LocalOptions local = flags.simulation.local;
  local.eviction = eviction;
  if (budget > 0) local.kv_budget_bytes = budget;
  Measured measured;
  measured.eviction = eviction;
  const auto model = std::make_shared<engine::LocalModel>(local);
  Recorder llm(model, measured.prompts);
  const std::clock_t cpu_start = std::clock();
  const sim::RunResult result =
      sim::RunWorld(*scenario.world, llm, app::MakeRunOptions(flags.simulation, scenario));
  measured.cpu_seconds = static_cast<double>(std::clock() - cpu_start) / CLOCKS_PER_SEC;
  measured.hash = result.hash;
  measured.budget = model->Options().kv_budget_bytes;
  measured.block_bytes = model->Blocks().SealedBytes();
  measured.seconds = result.stats.wall_s;
  measured.tokens = result.stats.prompt_tokens + result.stats.output_tokens;
  measured.cached_tokens = result.stats.cached_prompt_tokens;
  measured.state = model->State();
  return measured;
}

// The median run by tokens computed again.
Measured MedianOf(const EvictionFlags& flags, const app::Scenario& scenario, const std::string& eviction,
                  uint64_t budget) {
  std::vector<Measured> runs;
  for (int run = 0; run < flags.runs; ++run) {
    spdlog::info("{} with {}, run {} of {}", eviction, HumanBytes(static_cast<double>(budget)), run + 1,
                 flags.runs);
    runs.push_back(RunOnce(flags, scenario, eviction, budget));
  }
  const auto middle = runs.begin() + static_cast<ptrdiff_t>(runs.size() / 2);
  std::nth_element(runs.begin(), middle, runs.end(), [](const Measured& a, const Measured& b) {
    return a.state.recomputed_tokens < b.state.recomputed_tokens;
  });
  return std::move(*middle);
}

struct Row {
  Measured measured;
  size_t optimum_tokens;  // fewest tokens to compute again, for the prompts in this order
};

double TokensPerSecond(const Measured& measured) {
  return static_cast<double>(measured.tokens) / measured.seconds;
}

void PrintTable(const Measured& all, size_t live_bytes, const std::vector<Row>& rows) {
  fmt::print(
      "without a limit: {} at the peak, of which at most {} at a time were used again; {:.0f} tokens/s\n",
      HumanBytes(static_cast<double>(all.state.kv_bytes_peak)), HumanBytes(static_cast<double>(live_bytes)),
      TokensPerSecond(all));
  fmt::print("{:>10} {:>7} {:<9} {:>15} {:>8} {:>8} {:>8} {:>8} {:>9}\n", "budget", "share", "eviction",
             "computed again", "optimum", "spilled", "restored", "CPU s", "tokens/s");
  for (const Row& row : rows) {
    const Measured& measured = row.measured;
    fmt::print("{:>10} {:>5.1f} % {:<9} {:>15} {:>8} {:>8} {:>8} {:>8.2f} {:>9.0f}\n",
               HumanBytes(static_cast<double>(measured.budget)), 100 * measured.share, measured.eviction,
               measured.state.recomputed_tokens, row.optimum_tokens, measured.state.spilled_blocks,
               measured.state.restored_blocks, measured.cpu_seconds, TokensPerSecond(measured));
  }
}

void PrintJson(const Measured& all, size_t live_bytes, const std::vector<Row>& rows) {
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  for (const Row& row : rows) {
    const Measured& measured = row.measured;
    results.push_back({{"eviction", measured.eviction},
                       {"share", measured.share},
                       {"kv_budget_bytes", measured.budget},
                       {"recomputed_tokens", measured.state.recomputed_tokens},
                       {"least_recomputed_tokens", row.optimum_tokens},
                       {"cached_prompt_tokens", measured.cached_tokens},
                       {"evicted_blocks", measured.state.evicted_blocks},
                       {"spilled_blocks", measured.state.spilled_blocks},
                       {"restored_blocks", measured.state.restored_blocks},
                       {"seconds", measured.seconds},
                       {"cpu_seconds", measured.cpu_seconds},
                       {"tokens_per_s", TokensPerSecond(measured)}});
  }
  const nlohmann::ordered_json document = {{"results", results},
                                           {"peak_bytes", all.state.kv_bytes_peak},
                                           {"peak_live_bytes", live_bytes},
                                           {"tokens", all.tokens},
                                           {"cached_prompt_tokens", all.cached_tokens},
                                           {"unlimited_tokens_per_s", TokensPerSecond(all)},
                                           {"hash", all.hash.Hex()}};
  fmt::print("{}\n", document.dump(2));
}

void Run(const EvictionFlags& flags) {
  const app::Scenario scenario = app::LoadScenario(flags.simulation);
  const Measured all = RunOnce(flags, scenario, "lru", flags.simulation.local.kv_budget_bytes);
  if (all.state.evicted_blocks > 0) {
    throw MakeError(
        ErrorCode::kInvalid,
        "bench eviction: {} do not hold all blocks of the run, so what it needs is not known: give "
        "more with --kv-budget, or a shorter run",
        HumanBytes(static_cast<double>(all.budget)));
  }
  std::vector<Row> rows;
  for (const double share : flags.shares) {
    const auto budget = static_cast<uint64_t>(share * static_cast<double>(all.state.kv_bytes_peak));
    for (const char* eviction : {"lru", "next-use"}) {
      Measured measured = MedianOf(flags, scenario, eviction, budget);
      measured.share = share;
      if (measured.hash != all.hash) {
        throw MakeError(ErrorCode::kCorrupt, "bench eviction: with {} the run has another hash", eviction);
      }
      const size_t optimum =
          engine::LeastRecomputed(measured.prompts, measured.budget / measured.block_bytes);
      rows.push_back({std::move(measured), optimum * kv::kPageTokens});
    }
  }
  const size_t live_bytes = engine::PeakOfLive(all.prompts) * all.block_bytes;
  flags.json ? PrintJson(all, live_bytes, rows) : PrintTable(all, live_bytes, rows);
}

}  // namespace

void AddBenchEviction(CLI::App& bench) {
  CLI::App* command = bench.add_subcommand(
      "eviction", "Run the town with a short KV budget: what is computed again, by what is evicted first");
  const auto flags = std::make_shared<EvictionFlags>();
  AddWorldFlags(*command, flags->simulation);
  AddLocalFlags(*command, flags->simulation.local);
  command->remove_option(command->get_option("--eviction"));  // both are measured
  command
      ->add_option("--share", flags->shares,
                   "Budgets, as shares of what a run without a limit takes at its peak; several: 0.1,0.33")
      ->delimiter(',')
      ->check(CLI::Range(0.001, 1.0));
  command->add_option("--runs", flags->runs, "Of each, of which the median is shown")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_flag("--json", flags->json, "Results as JSON");
  command->footer(
      "First a run without a limit, then for each budget one with --eviction lru and one with next-use; "
      "all must leave the same hash. Optimum: tokens that are computed again at least, by an eviction "
      "that knows all prompts of the run in advance (Belady's MIN).\n"
      "Example:\n"
      "  throng bench eviction --share 0.33,0.17 --json");
  command->callback([flags] { Run(*flags); });
}

}  // namespace throng::cli
