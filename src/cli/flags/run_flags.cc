#include "cli/flags/run_flags.h"

#include <CLI/CLI.hpp>
#include <string>

#include "cli/flags/local_flags.h"
#include "cli/flags/number_checks.h"
#include "llm/backends/backend_spec.h"
#include "worlds/example_worlds.h"

namespace throng::cli {

namespace {

constexpr const char* kSimulation = "Simulation";
constexpr const char* kBackend = "Backend";
constexpr const char* kLimits = "Failures and limits";
constexpr const char* kOutput = "Output";

}  // namespace

void AddWorldFlags(CLI::App& command, app::Simulation& simulation) {
  std::string examples;
  for (const worlds::ExampleWorld& example : worlds::ExampleWorlds()) {
    examples += fmt::format("\n{:<10} {}", example.name, example.summary);
  }
  command
      .add_option("--scenario", simulation.scenario,
                  "Folder of a town; default: the built-in one; or an example:" + examples)
      ->group(kSimulation);
  command
      .add_option("--agents", simulation.agents, "How many; more than a town has: copies of it side by side")
      ->group(kSimulation)
      ->check(CLI::Range(1, 100000000));
  CLI::Option* steps =
      command.add_option("--steps", simulation.steps, "Steps that every agent does; default: the scenario's");
  steps->group(kSimulation)->check(CLI::Range(1, 100000000));
  command.add_option("--until", simulation.until, "Time of the first day to run to, such as 12:00")
      ->group(kSimulation)
      ->excludes(steps);
  command
      .add_option("--seed", simulation.seed,
                  "Makes another run of the same town, or another example of its kind")
      ->group(kSimulation)
      ->capture_default_str()
      ->check(Whole());
  command
      .add_option("--coupling", simulation.coupling,
                  "How far apart agents may run at once: paper, or versioned (closer, so faster)")
      ->group(kSimulation)
      ->check(CLI::IsMember({"paper", "versioned"}))
      ->capture_default_str();
}

void AddEventFlags(CLI::App& command, app::Simulation& simulation) {
  command
      .add_option("--event", simulation.events,
                  "\"TIME WHAT\": lets something happen, such as \"09:30 leave Ada\"; may be repeated")
      ->group(kSimulation)
      ->allow_extra_args(false);
  command.add_option("--events", simulation.events_file, "File with such lines; # begins a comment")
      ->group(kSimulation);
}

void AddBackendFlags(CLI::App& command, app::Simulation& simulation) {
  command.add_option("--llm", simulation.llm, "Who answers:\n" + llm::BackendHelp())
      ->group(kBackend)
      ->capture_default_str();
  command
      .add_option("--model-for", simulation.model_for,
                  "DECISION=FILE.gguf or DECISION=BACKEND: who answers these calls instead; in a town "
                  "DECISION is plan, "
                  "act, talk, say, reflect, or converse for talk and say; may be repeated")
      ->group(kBackend)
      ->allow_extra_args(false);
  command
      .add_flag("--real-time", simulation.real_time,
                "Let fake and latency take the time that they model, instead of skipping it")
      ->group(kBackend);
  AddLocalFlags(command, simulation.local);
}

void AddLimitFlags(CLI::App& command, app::Limits& limits) {
  command
      .add_option("--call-timeout", limits.call_timeout_s,
                  "Seconds of the backend's clock for one attempt of a call; default: as long as it takes")
      ->group(kLimits)
      ->check(Positive());
  command
      .add_option("--call-attempts", limits.call_attempts,
                  "How often a call is asked that takes too long or whose backend is unavailable")
      ->group(kLimits)
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  command
      .add_flag("--fallback", limits.fallback,
                "An agent whose call failed in the end does the usual thing, instead of ending the run")
      ->group(kLimits);
  command
      .add_option("--max-tokens-total", limits.max_tokens,
                  "Stop once prompts and answers have used so many tokens, those before a resume included")
      ->group(kLimits)
      ->check(Whole(1));
  command.add_option("--max-cost", limits.max_cost, "Stop once so much is spent; needs --price")
      ->group(kLimits)
      ->check(Positive());
  command
      .add_option("--price", limits.price, "Of a million tokens of prompts and of answers, such as 0.15,0.6")
      ->group(kLimits);
}

void AddInteractiveFlags(CLI::App& command, app::Limits& limits) {
  command
      .add_option("--interactive", limits.interactive,
                  "Name of the agent whose calls go before those of all others; their latencies are reported")
      ->group(kLimits);
  command
      .add_option("--target-ms", limits.target_ms,
                  "Latency that its calls should have, for which the others yield; 0: only measure it")
      ->group(kLimits)
      ->check(NotNegative())
      ->capture_default_str();
}

void AddOutputFlags(CLI::App& command, OutputFlags& output) {
  command.add_flag("--json", output.json, "Print one JSON object instead of the summary")->group(kOutput);
  command.add_flag("--quiet", output.quiet, "No progress on stderr")->group(kOutput);
}

app::GivenFlags GivenTo(const CLI::App& command) {
  return [&command](const std::string& flag) {
    const CLI::Option* option = command.get_option_no_throw(flag);
    return option != nullptr && option->count() > 0;
  };
}

}  // namespace throng::cli
