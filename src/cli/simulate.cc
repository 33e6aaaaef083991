#include "cli/simulate.h"

#include <csignal>

#include "base/digest.h"
#include "base/error.h"
#include "cli/call_stack.h"
#include "cli/interventions.h"
#include "cli/local_flags.h"
#include "cli/number_flags.h"
#include "cli/progress_line.h"
#include "engine/local_llm.h"
#include "journal/journaled_llm.h"
#include "journal/report.h"
#include "llm/backends/backend_spec.h"
#include "llm/decorators/real_time.h"
#include "llm/decorators/router.h"
#include "town/mind/prompt.h"
#include "worlds/example_worlds.h"

namespace throng::cli {

namespace {

constexpr double kLongWaitSeconds = 10;        // then the progress names who waits
constexpr const char* kConverse = "converse";  // talk and say
constexpr int kFailuresShown = 10;

std::atomic<bool> g_stop = false;

void OnSignal(int) { g_stop = true; }

nlohmann::ordered_json ReportJson(const Simulation& simulation, const Scenario& scenario,
                                  const sim::RunOptions& options, const Outcome& outcome, const llm::Llm& llm,
                                  const journal::Journal* journal) {
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
                                 {"failed_calls", stats.failed_calls},
                                 {"prompt_tokens", stats.prompt_tokens},
                                 {"cached_prompt_tokens", stats.cached_prompt_tokens},
                                 {"output_tokens", stats.output_tokens},
                                 {"parallelism", stats.parallelism},
                                 {"clusters", stats.clusters},
                                 {"largest_cluster", stats.largest_cluster},
                                 {"max_spread", stats.max_spread},
                                 {"births", stats.births},
                                 {"deaths", stats.deaths},
                                 {"events", stats.interventions},
                                 {"kv_bytes", backend.kv_bytes},
                                 {"kv_bytes_peak", backend.kv_bytes_peak},
                                 {"backend", llm.Identity()},
                                 {"journal", nullptr}};
  AddSpeculation(stats, json);
  if (const engine::LocalModel* local = LocalOf(llm)) {
    json["kv_bytes_per_token"] = local->KvBytesPerToken();
    json["kv_ratio_to_f16"] = local->F16BytesPerToken() / local->KvBytesPerToken();
    const engine::EngineState state = local->State();
    json["recomputed_tokens"] = state.recomputed_tokens;
    json["evicted_blocks"] = state.evicted_blocks;
    json["spilled_blocks"] = state.spilled_blocks;
    json["restored_blocks"] = state.restored_blocks;
  }
  if (!simulation.price.empty()) {
    json["cost"] = llm::CostOf(outcome.used, ParsePrice(simulation.price));
  }
  if (outcome.interactive != nullptr) {
    const std::vector<double>& latencies = outcome.interactive->Latencies();
    json["interactive"] = {{"agent", simulation.interactive},
                           {"target_ms", simulation.target_ms},
                           {"llm_calls", latencies.size()},
                           {"p50_s", llm::Quantile(latencies, 0.5)},
                           {"p99_s", llm::Quantile(latencies, 0.99)}};
  }
  if (journal != nullptr) {
    json["journal"] = journal->Path();
    json["journal_bytes"] = journal->Bytes();
    json["journal_bytes_per_hour"] =
        journal::BytesPerHour(journal->Bytes(), options.steps, scenario.seconds_per_step);
  }
  return json;
}

void PrintSummary(const Simulation& simulation, const Scenario& scenario, const sim::RunOptions& options,
                  const Outcome& outcome, const llm::Llm& llm, const journal::Journal* journal) {
  const sim::RunStats& stats = outcome.result.stats;
  fmt::print("{} agents, {} steps, until {}, mode {}\n", scenario.world->NumAgents(), options.steps,
             scenario.ClockAt(options.steps), sim::ModeName(options.mode));
  fmt::print("time        {:.1f} s", stats.wall_s);
  // A backend in virtual time has a clock of its own.
  if (stats.backend_s > 1.5 * stats.wall_s) fmt::print(" ({:.1f} s on the backend's clock)", stats.backend_s);
  fmt::print("\ncalls       {}", stats.calls);
  if (outcome.replayed > 0) fmt::print(" ({} answered by the journal)", outcome.replayed);
  fmt::print("\ntokens      {} of prompts ({} found in the prefix cache), {} of answers\n",
             stats.prompt_tokens, stats.cached_prompt_tokens, stats.output_tokens);
  if (stats.failed_calls > 0)
    fmt::print("failed      {} calls, whose agents fell back\n", stats.failed_calls);
  if (!simulation.price.empty()) {
    fmt::print("cost        {:.4f}, at {} for a million tokens\n",
               llm::CostOf(outcome.used, ParsePrice(simulation.price)), simulation.price);
  }
  if (outcome.interactive != nullptr) {
    const std::vector<double>& latencies = outcome.interactive->Latencies();
    fmt::print("interactive {}: {} calls, half within {:.2f} s, 99 % within {:.2f} s\n",
               simulation.interactive, latencies.size(), llm::Quantile(latencies, 0.5),
               llm::Quantile(latencies, 0.99));
  }
  fmt::print("in flight   {:.2f} requests on average\n", stats.parallelism);
  fmt::print("clusters    {}, the largest of {} agents; at most {} steps between two agents\n",
             stats.clusters, stats.largest_cluster, stats.max_spread);
  if (stats.births + stats.deaths + stats.interventions > 0) {
    fmt::print("population  {} born, {} died; {} events from outside\n", stats.births, stats.deaths,
               stats.interventions);
  }
  if (stats.speculated_steps > 0) fmt::print("speculation {}\n", DescribeSpeculation(stats));
  const llm::Stats backend = llm.GetStats();
  if (backend.kv_bytes_peak > 0) {
    fmt::print("KV cache    {} at the peak, {} now", HumanBytes(static_cast<double>(backend.kv_bytes_peak)),
               HumanBytes(static_cast<double>(backend.kv_bytes)));
    if (const engine::LocalModel* local = LocalOf(llm)) {
      fmt::print("; {:.0f} bytes per token, {:.2f} times smaller than f16", local->KvBytesPerToken(),
                 local->F16BytesPerToken() / local->KvBytesPerToken());
      const engine::EngineState state = local->State();
      if (state.evicted_blocks > 0) {
        fmt::print(
            "\nevicted     {} blocks, {} of them to disk ({} came back); {} tokens were computed again",
            state.evicted_blocks, state.spilled_blocks, state.restored_blocks, state.recomputed_tokens);
      }
    }
    fmt::print("\n");
  }
  fmt::print("hash        {}\n", outcome.result.hash.Hex());
  if (journal == nullptr) return;
  const auto bytes = static_cast<double>(journal->Bytes());
  fmt::print("journal     {}, {}", journal->Path(), HumanBytes(bytes));
  const double growth = journal::BytesPerHour(journal->Bytes(), options.steps, scenario.seconds_per_step);
  if (growth > 0) fmt::print(", {} per simulated hour", HumanBytes(growth));
  fmt::print("\n");
}

struct ModelFor {
  std::vector<std::string> functions;
  std::string backend;  // a GGUF file, or a backend's name
};

ModelFor ParseModelFor(const std::string& text, const std::string& scenario) {
  const size_t equals = text.find('=');
  const std::string name = text.substr(0, equals);
  std::vector<std::string> names;
  ModelFor model_for;
  if (const worlds::ExampleWorld* example = worlds::FindExampleWorld(scenario)) {
    names.assign(example->functions.begin(), example->functions.end());
  } else {
    names.emplace_back(kConverse);
    for (const town::Decision decision : town::kDecisions) names.emplace_back(town::DecisionName(decision));
  }
  if (name == kConverse && names[0] == kConverse) {
    model_for.functions = {town::DecisionName(town::Decision::kTalk),
                           town::DecisionName(town::Decision::kSay)};
  } else if (std::find(names.begin(), names.end(), name) != names.end()) {
    model_for.functions = {name};
  }
  if (equals != std::string::npos) model_for.backend = text.substr(equals + 1);
  if (model_for.functions.empty() || model_for.backend.empty()) {
    throw MakeError(ErrorCode::kInvalid,
                    "--model-for {}: allowed: DECISION=FILE.gguf or DECISION=BACKEND, with one of {}", text,
                    fmt::join(names, ", "));
  }
  return model_for;
}

std::unique_ptr<llm::Llm> MakeOneLlm(const Simulation& simulation, const std::string& name) {
  if (name == "local") {
    return std::make_unique<engine::LocalLlm>(std::make_shared<engine::LocalModel>(simulation.local));
  }
  if (name.ends_with(".gguf")) {
    engine::LocalOptions options = simulation.local;
    options.model = name;
    options.kv_choice.clear();  // it is of the other model
    return std::make_unique<engine::LocalLlm>(std::make_shared<engine::LocalModel>(options));
  }
  std::unique_ptr<llm::Llm> llm = llm::MakeBackend(name);
  if (simulation.real_time) llm = std::make_unique<llm::RealTimeLlm>(std::move(llm));
  return llm;
}

llm::TokensUsed UsedBefore(const journal::Journal& journal) {
  const journal::TokenSums answers = journal::TokensOf(journal);
  const journal::TokenSums in_vain = journal::TokensInVain(journal);
  return {answers.prompt + in_vain.prompt, answers.output + in_vain.output};
}

void EndSession(journal::Journal& journal, const llm::TokensUsed& used, std::string_view outcome) {
  const journal::TokenSums answers = journal::TokensOf(journal);
  const llm::TokensUsed in_vain = {used.prompt - std::min(used.prompt, answers.prompt),
                                   used.output - std::min(used.output, answers.output)};
  if (in_vain.prompt + in_vain.output > 0) journal.SetTokensInVain(in_vain.prompt, in_vain.output);
  journal.EndSession(outcome);
}

// A line for each of the first ones; the journal has all.
std::function<void(const std::string&)> ReportFailures(ProgressLine& line) {
  return [&line, shown = 0](const std::string& failure) mutable {
    if (++shown > kFailuresShown) return;
    line.Clear();
    fmt::print(stderr, "fallback: {}{}\n", failure, shown == kFailuresShown ? " (more are not shown)" : "");
  };
}

}  // namespace

void AddWorldFlags(CLI::App& command, Simulation& simulation) {
  constexpr const char* kGroup = "Simulation";
  std::string examples;
  for (const worlds::ExampleWorld& example : worlds::ExampleWorlds()) {
    examples += fmt::format("\n{:<10} {}", example.name, example.summary);
  }
  command
      .add_option("--scenario", simulation.scenario,
                  "Folder of a town; default: the built-in one; or an example:" + examples)
      ->group(kGroup);
  command
      .add_option("--agents", simulation.agents, "How many; more than a town has: copies of it side by side")
      ->group(kGroup)
      ->check(CLI::Range(1, 100000000));
  CLI::Option* steps =
      command.add_option("--steps", simulation.steps, "Steps that every agent does; default: the scenario's");
  steps->group(kGroup)->check(CLI::Range(1, 100000000));
  command.add_option("--until", simulation.until, "Time of the first day to run to, such as 12:00")
      ->group(kGroup)
      ->excludes(steps);
  command
      .add_option("--seed", simulation.seed,
                  "Makes another run of the same town, or another example of its kind")
      ->group(kGroup)
      ->capture_default_str()
      ->check(Whole());
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
      .add_option("--model-for", simulation.model_for,
                  "DECISION=FILE.gguf or DECISION=BACKEND: who answers these calls instead; in a town "
                  "DECISION is plan, "
                  "act, talk, say, reflect, or converse for talk and say; may be repeated")
      ->group(kGroup)
      ->allow_extra_args(false);
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

sim::RunOptions MakeRunOptions(const Simulation& simulation, const Scenario& scenario) {
  CheckLimits(simulation, scenario);
  sim::RunOptions options;
  options.mode = sim::ParseMode(simulation.mode);
  options.coupling = sim::ParseCoupling(simulation.coupling);
  options.seed = simulation.seed;
  options.seed_changes = simulation.seed_changes;
  options.steps = simulation.steps > 0 ? simulation.steps : scenario.default_steps;
  if (!simulation.until.empty()) {
    if (scenario.town == nullptr) {
      throw MakeError(ErrorCode::kInvalid, "--until {}: {} has no time of day, allowed: --steps",
                      simulation.until, scenario.world->Name());
    }
    options.steps = scenario.town->StepAt(simulation.until);
  }
  options.interventions = ReadInterventions(simulation, scenario, options.steps);
  options.stop = &StopOnSignal();
  return options;
}

std::unique_ptr<llm::Llm> MakeLlm(const Simulation& simulation) {
  std::unique_ptr<llm::Llm> llm = MakeOneLlm(simulation, simulation.llm);
  if (simulation.model_for.empty()) return llm;
  auto router = std::make_unique<llm::RouterLlm>(std::move(llm));
  std::map<std::string, std::shared_ptr<llm::Llm>> made;  // one that serves several decisions is loaded once
  for (const std::string& text : simulation.model_for) {
    const ModelFor model_for = ParseModelFor(text, simulation.scenario);
    std::shared_ptr<llm::Llm>& backend = made[model_for.backend];
    if (backend == nullptr) backend = MakeOneLlm(simulation, model_for.backend);
    for (const std::string& function : model_for.functions) router->Route(function, backend);
  }
  return router;
}

const engine::LocalModel* LocalOf(const llm::Llm& llm) {
  if (const auto* router = dynamic_cast<const llm::RouterLlm*>(&llm)) return LocalOf(router->Default());
  const auto* local = dynamic_cast<const engine::LocalLlm*>(&llm);
  return local == nullptr ? nullptr : &local->Model();
}

void AddSpeculation(const sim::RunStats& stats, nlohmann::ordered_json& json) {
  if (stats.speculated_steps == 0) return;
  json["speculated_steps"] = stats.speculated_steps;
  json["confirmed_steps"] = stats.confirmed_steps;
  json["squashed_steps"] = stats.squashed_steps;
  json["speculated_calls"] = stats.speculated_calls;
  json["wasted_calls"] = stats.wasted_calls;
  json["wasted_tokens"] = stats.wasted_tokens;
}

std::string DescribeSpeculation(const sim::RunStats& stats) {
  const auto used = static_cast<double>(std::max<uint64_t>(1, stats.prompt_tokens + stats.output_tokens));
  return fmt::format(
      "{} steps guessed, {} right, {} wrong; {} calls asked ahead, {} in vain ({} tokens, {:.1f} % of those "
      "used)",
      stats.speculated_steps, stats.confirmed_steps, stats.squashed_steps, stats.speculated_calls,
      stats.wasted_calls, stats.wasted_tokens, 100 * static_cast<double>(stats.wasted_tokens) / used);
}

const std::atomic<bool>& StopOnSignal() {
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_RESETHAND;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  return g_stop;
}

std::string DescribeProgress(const sim::Progress& progress, const Scenario& scenario, sim::Step steps,
                             const llm::Stats& stats) {
  const sim::RunStats& run = progress.stats;
  const double rate = run.wall_s > 0 ? static_cast<double>(run.output_tokens) / run.wall_s : 0;
  std::string line =
      fmt::format("{}  step {}/{}  {} agents ahead (+{})  {} calls, {} in flight  {:.0f} tokens/s",
                  scenario.ClockAt(progress.base_step), progress.base_step, steps, progress.agents_ahead,
                  progress.front_step - progress.base_step, run.calls, progress.in_flight, rate);
  if (progress.longest_wait_s > kLongWaitSeconds) {
    line += fmt::format("  {} waits for {:.0f} s", scenario.world->AgentName(progress.longest_waiting),
                        progress.longest_wait_s);
  }
  if (stats.kv_bytes > 0) line += fmt::format("  KV {}", HumanBytes(static_cast<double>(stats.kv_bytes)));
  return line;
}

void RunAndReport(const Simulation& simulation, const Scenario& scenario, sim::RunOptions options,
                  std::unique_ptr<llm::Llm> backend, journal::Journal* journal) {
  ProgressLine line(simulation.quiet);
  const llm::Llm* below = backend.get();
  if (!line.Quiet()) {
    options.progress_interval_s = line.IntervalSeconds();
    options.on_progress = [&](const sim::Progress& progress) {
      line.Show(DescribeProgress(progress, scenario, options.steps, below->GetStats()));
    };
  }
  const CallStack stack = MakeCallStack(simulation, scenario, std::move(backend),
                                        journal != nullptr ? UsedBefore(*journal) : llm::TokensUsed());
  options.fall_back = simulation.fallback;
  if (!simulation.quiet) options.on_fall_back = ReportFailures(line);
  Outcome outcome;
  outcome.interactive = stack.interactive;
  try {
    if (journal == nullptr) {
      outcome.result = sim::RunWorld(*scenario.world, *stack.top, options);
    } else {
      journal->StartSession();
      journal::JournaledLlm journaled(*stack.top, *journal, simulation.fallback);
      options.observers.push_back(journal);
      options.source = journal;
      outcome.result = sim::RunWorld(*scenario.world, journaled, options);
      outcome.replayed = journaled.NumReplayed();
      journal->SetHash(outcome.result.hash);
      EndSession(*journal, stack.budget->Used(), "done");
    }
    outcome.used = stack.budget->Used();
  } catch (const Error& error) {
    line.Clear();
    std::string message = error.what();
    if (journal != nullptr) {
      try {
        EndSession(*journal, stack.budget->Used(), message);
      } catch (const Error&) {
        // A journal that cannot be written any more: the first error says it.
      }
      message += fmt::format(" (what is done is kept: throng resume {})", journal->Path());
    }
    if (stack.budget->IsUsedUp()) throw Stopped(error.Code(), message);
    throw Error(error.Code(), message);
  }
  line.Clear();
  if (simulation.json) {
    fmt::print("{}\n", ReportJson(simulation, scenario, options, outcome, *below, journal).dump(2));
  } else {
    PrintSummary(simulation, scenario, options, outcome, *below, journal);
  }
}

}  // namespace throng::cli
