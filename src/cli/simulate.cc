#include "cli/simulate.h"

#include <csignal>

#include "base/data_dir.h"
#include "base/digest.h"
#include "base/error.h"
#include "cli/local_flags.h"
#include "cli/progress_line.h"
#include "llm/backend_spec.h"
#include "llm/real_time.h"
#include "sim/journaled_llm.h"

namespace throng::cli {

namespace {

std::atomic<bool> g_stop = false;

void OnSignal(int) { g_stop = true; }

nlohmann::ordered_json ReportJson(const Simulation& simulation, const sim::RunOptions& options,
                                  const Outcome& outcome, const llm::Llm& llm, const sim::Journal* journal) {
  const sim::RunStats& stats = outcome.result.stats;
  const llm::Stats backend = llm.GetStats();
  nlohmann::ordered_json json = {{"hash", outcome.result.hash.Hex()},
                                 {"mode", sim::ModeName(options.mode)},
                                 {"steps", options.steps},
                                 {"seed", options.seed},
                                 {"agent_steps", stats.agent_steps},
                                 {"wall_s", stats.wall_s},
                                 {"backend_s", stats.backend_s},
                                 {"llm_calls", stats.calls},
                                 {"replayed_calls", outcome.replayed},
                                 {"prompt_tokens", stats.prompt_tokens},
                                 {"cached_prompt_tokens", stats.cached_prompt_tokens},
                                 {"output_tokens", stats.output_tokens},
                                 {"parallelism", stats.parallelism},
                                 {"clusters", stats.clusters},
                                 {"largest_cluster", stats.largest_cluster},
                                 {"max_spread", stats.max_spread},
                                 {"kv_bytes", backend.kv_bytes},
                                 {"kv_bytes_peak", backend.kv_bytes_peak},
                                 {"backend", llm.Identity()},
                                 {"journal", nullptr}};
  if (const auto* local = dynamic_cast<const engine::LocalLlm*>(&llm)) {
    json["kv_bytes_per_token"] = local->KvBytesPerToken();
    json["kv_ratio_to_f16"] = local->F16BytesPerToken() / local->KvBytesPerToken();
  }
  if (journal != nullptr) json["journal"] = journal->Path();
  return json;
}

void PrintSummary(const town::Town& town, const sim::RunOptions& options, const Outcome& outcome,
                  const llm::Llm& llm, const sim::Journal* journal) {
  const sim::RunStats& stats = outcome.result.stats;
  fmt::print("{} agents, {} steps, until {}, mode {}\n", town.NumAgents(), options.steps,
             town.ClockAt(options.steps), sim::ModeName(options.mode));
  fmt::print("time        {:.1f} s", stats.wall_s);
  // A backend in virtual time has a clock of its own.
  if (stats.backend_s > 1.5 * stats.wall_s) fmt::print(" ({:.1f} s on the backend's clock)", stats.backend_s);
  fmt::print("\ncalls       {}", stats.calls);
  if (outcome.replayed > 0) fmt::print(" ({} answered by the journal)", outcome.replayed);
  fmt::print("\ntokens      {} of prompts ({} found in the prefix cache), {} of answers\n",
             stats.prompt_tokens, stats.cached_prompt_tokens, stats.output_tokens);
  fmt::print("in flight   {:.2f} requests on average\n", stats.parallelism);
  fmt::print("clusters    {}, the largest of {} agents; at most {} steps between two agents\n",
             stats.clusters, stats.largest_cluster, stats.max_spread);
  const llm::Stats backend = llm.GetStats();
  if (backend.kv_bytes_peak > 0) {
    fmt::print("KV cache    {} at the peak, {} now", HumanBytes(static_cast<double>(backend.kv_bytes_peak)),
               HumanBytes(static_cast<double>(backend.kv_bytes)));
    if (const auto* local = dynamic_cast<const engine::LocalLlm*>(&llm)) {
      fmt::print("; {:.0f} bytes per token, {:.2f} times smaller than f16", local->KvBytesPerToken(),
                 local->F16BytesPerToken() / local->KvBytesPerToken());
    }
    fmt::print("\n");
  }
  fmt::print("hash        {}\n", outcome.result.hash.Hex());
  if (journal != nullptr) fmt::print("journal     {}\n", journal->Path());
}

}  // namespace

void AddWorldFlags(CLI::App& command, Simulation& simulation) {
  constexpr const char* kGroup = "Simulation";
  command.add_option("--scenario", simulation.scenario, "Folder of the scenario; default: the built-in town")
      ->group(kGroup);
  command
      .add_option("--agents", simulation.agents,
                  "How many; more than it has: copies of the town side by side")
      ->group(kGroup)
      ->check(CLI::Range(1, 100000000));
  CLI::Option* steps =
      command.add_option("--steps", simulation.steps, "Steps that every agent does; default: the scenario's");
  steps->group(kGroup)->check(CLI::Range(1, 100000000));
  command.add_option("--until", simulation.until, "Time of the first day to run to, such as 12:00")
      ->group(kGroup)
      ->excludes(steps);
  command.add_option("--seed", simulation.seed, "Makes another run of the same world")
      ->group(kGroup)
      ->capture_default_str();
  command
      .add_option("--coupling", simulation.coupling,
                  "How far apart agents may run at once: paper, or versioned (closer, so faster)")
      ->group(kGroup)
      ->check(CLI::IsMember({"paper", "versioned"}))
      ->capture_default_str();
}

void AddLlmFlags(CLI::App& command, Simulation& simulation) {
  constexpr const char* kGroup = "Backend";
  command.add_option("--llm", simulation.llm, "Who answers:\n" + llm::BackendHelp())
      ->group(kGroup)
      ->capture_default_str();
  command
      .add_flag("--real-time", simulation.real_time,
                "Let fake and latency take the time that they model, instead of skipping it")
      ->group(kGroup);
  AddLocalFlags(command, simulation.local);
}

void AddOutputFlags(CLI::App& command, Simulation& simulation) {
  constexpr const char* kGroup = "Output";
  command.add_flag("--json", simulation.json, "Print one JSON object instead of the summary")->group(kGroup);
  command.add_flag("--quiet", simulation.quiet, "No progress on stderr")->group(kGroup);
}

std::unique_ptr<town::Town> LoadWorld(const Simulation& simulation) {
  town::LoadOptions options;
  options.agents = simulation.agents;
  return town::LoadTown(simulation.scenario.empty() ? DataDir() + "/town" : simulation.scenario, options);
}

sim::RunOptions MakeRunOptions(const Simulation& simulation, const town::Town& town) {
  sim::RunOptions options;
  options.mode = sim::ParseMode(simulation.mode);
  options.coupling = sim::ParseCoupling(simulation.coupling);
  options.seed = simulation.seed;
  options.steps = simulation.steps > 0 ? simulation.steps : town.DefaultSteps();
  if (!simulation.until.empty()) options.steps = town.StepAt(simulation.until);
  options.stop = &StopOnSignal();
  return options;
}

std::unique_ptr<llm::Llm> MakeLlm(const Simulation& simulation) {
  if (simulation.llm == "local") return engine::MakeLocalLlm(simulation.local);
  std::unique_ptr<llm::Llm> llm = llm::MakeBackend(simulation.llm);
  if (simulation.real_time) llm = std::make_unique<llm::RealTimeLlm>(std::move(llm));
  return llm;
}

void StoreCodecs(const llm::Llm& llm, sim::Manifest& manifest) {
  const auto* local = dynamic_cast<const engine::LocalLlm*>(&llm);
  if (local == nullptr) return;
  const engine::CodecOptions codecs = engine::CodecsOf(local->Options());
  if (codecs.stored.empty() && engine::IsPlain(codecs.flags)) return;
  const std::string choice = engine::WriteChoice(local->Codecs(), local->GetModelConfig());
  manifest["kv_choice"] = choice;
  manifest["kv_choice_digest"] = DigestOf(choice).Hex();
}

void LoadCodecs(const sim::Journal& journal, engine::LocalOptions& options) {
  const auto choice = journal.GetManifest().find("kv_choice");
  if (choice == journal.GetManifest().end()) return;
  const std::string& digest = journal.ManifestValue("kv_choice_digest");
  if (DigestOf(choice->second).Hex() != digest) {
    throw MakeError(ErrorCode::kCorrupt, "journal {}: its KV codecs have the digest {}, it says {}",
                    journal.Path(), DigestOf(choice->second).Hex(), digest);
  }
  options.kv_choice = choice->second;
  options.kv_choice_in = "journal " + journal.Path();
}

const std::atomic<bool>& StopOnSignal() {
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_RESETHAND;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  return g_stop;
}

std::string DescribeProgress(const sim::Progress& progress, const town::Town& town, sim::Step steps,
                             const llm::Stats& stats) {
  const sim::RunStats& run = progress.stats;
  const double rate = run.wall_s > 0 ? static_cast<double>(run.output_tokens) / run.wall_s : 0;
  std::string line =
      fmt::format("{}  step {}/{}  {} agents ahead (+{})  {} calls, {} in flight  {:.0f} tokens/s",
                  town.ClockAt(progress.base_step), progress.base_step, steps, progress.agents_ahead,
                  progress.front_step - progress.base_step, run.calls, progress.in_flight, rate);
  if (stats.kv_bytes > 0) line += fmt::format("  KV {}", HumanBytes(static_cast<double>(stats.kv_bytes)));
  return line;
}

void RunAndReport(const Simulation& simulation, const town::Town& town, sim::RunOptions options,
                  llm::Llm& llm, sim::Journal* journal) {
  ProgressLine line(simulation.quiet);
  if (!line.Quiet()) {
    options.progress_interval_s = line.IntervalSeconds();
    options.on_progress = [&](const sim::Progress& progress) {
      line.Show(DescribeProgress(progress, town, options.steps, llm.GetStats()));
    };
  }
  Outcome outcome;
  if (journal == nullptr) {
    outcome.result = sim::RunWorld(town, llm, options);
  } else {
    try {
      journal->StartSession();
      sim::JournaledLlm journaled(llm, *journal);
      options.observers.push_back(journal);
      outcome.result = sim::RunWorld(town, journaled, options);
      outcome.replayed = journaled.NumReplayed();
      journal->SetHash(outcome.result.hash);
      journal->EndSession("done");
    } catch (const Error& error) {
      line.Clear();
      try {
        journal->EndSession(error.what());
      } catch (const Error&) {
        // A journal that cannot be written any more: the first error says it.
      }
      throw MakeError(error.Code(), "{} (what is done is kept: throng resume {})", error.what(),
                      journal->Path());
    }
  }
  line.Clear();
  if (simulation.json) {
    fmt::print("{}\n", ReportJson(simulation, options, outcome, llm, journal).dump(2));
  } else {
    PrintSummary(town, options, outcome, llm, journal);
  }
}

}  // namespace throng::cli
