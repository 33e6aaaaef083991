#include "cli/flags/run_flags.h"

#include <sstream>
#include <string>

#include "cli/cli11.h"
#include "cli/flags/help_format.h"
#include "cli/flags/local_flags.h"
#include "cli/flags/number_checks.h"
#include "llm/backends/backend_spec.h"
#include "sim/mode.h"
#include "worlds/example_worlds.h"

namespace throng::cli {

namespace {

constexpr const char* kSimulation = "Simulation";
constexpr const char* kBackend = "Backend";
constexpr const char* kLimits = "Failures and limits";
constexpr const char* kOutput = "Output";

}  // namespace

void AddCouplingFlag(CLI::App& command, std::string& coupling, const char* group) {
  command
      .add_option("--coupling", coupling,
                  "Rule for how near agents at different steps may be: versioned lets them come nearer than "
                  "paper does, and is faster")
      ->group(group)
      ->check(CLI::IsMember({"paper", "versioned"}))
      ->capture_default_str();
}

void AddEndFlags(CLI::App& command, app::Simulation& simulation) {
  CLI::Option* steps = command.add_option("--steps", simulation.steps,
                                          "Steps of each agent; default: as many as the scenario says");
  steps->group(kSimulation)->check(CLI::Range(1, 100000000));
  command.add_option("--until", simulation.until, "Run to this time of the first day, such as 12:00")
      ->group(kSimulation)
      ->excludes(steps);
  command
      .add_option(
          "--until-event", simulation.until_event,
          "KIND or KIND=TEXT: end with the step in which such an event happens (say=concert), if that is "
          "earlier")
      ->group(kSimulation);
}

void AddWorldFlags(CLI::App& command, app::Simulation& simulation) {
  std::string examples = "Examples of worlds (--scenario):\n";
  for (const worlds::ExampleWorld& example : worlds::ExampleWorlds()) {
    examples += fmt::format("  {:<12} {}\n", example.name, example.summary);
  }
  AddNote(command, examples);
  command
      .add_option("--scenario", simulation.scenario,
                  "Folder of a town, or an example; default: the built-in town")
      ->group(kSimulation);
  command
      .add_option("--agents", simulation.agents, "How many agents; a town with fewer is copied, side by side")
      ->group(kSimulation)
      ->check(CLI::Range(1, 100000000));
  AddEndFlags(command, simulation);
  command.add_option("--seed", simulation.seed, "Another seed, another run")
      ->group(kSimulation)
      ->capture_default_str()
      ->check(Whole());
  AddCouplingFlag(command, simulation.coupling, kSimulation);
}

void AddModeFlag(CLI::App& command, std::string& mode, const std::string& by_default) {
  command
      .add_option(
          "--mode", mode,
          "Order of execution, which changes no result: one call at a time; all agents step by step; out "
          "of order, so that only agents who can meet wait for each other; the same with calls asked "
          "ahead on a guess; default: " +
              by_default)
      ->group(kSimulation)
      ->check(CLI::IsMember(sim::ModeNames()));
}

CLI::Option* AddSnapshotFlag(CLI::App& command, int& snapshot_every, const std::string& by_default) {
  return command
      .add_option("--snapshot-every", snapshot_every,
                  "Steps between the snapshots in the journal, from which resume and forks go on at once; 0: "
                  "none; default: " +
                      by_default)
      ->group(kOutput)
      ->check(Whole());
}

void AddEventFlags(CLI::App& command, app::Simulation& simulation) {
  command
      .add_option("--event", simulation.events,
                  "\"TIME WHAT\", such as \"09:30 leave Ada\": what happens from outside; may be repeated")
      ->group(kSimulation)
      ->allow_extra_args(false);
  command
      .add_option("--events", simulation.events_file, "File with such a line per event; # begins a comment")
      ->group(kSimulation);
}

void AddBackendFlags(CLI::App& command, app::Simulation& simulation) {
  command.add_option("--llm", simulation.llm, "Backend that answers, see below")
      ->group(kBackend)
      ->capture_default_str();
  command
      .add_option(
          "--model-for", simulation.model_for,
          "DECISION=FILE.gguf or DECISION=BACKEND: another model or backend for one kind of decision, "
          "in a town plan, act, talk, say, reflect, or converse (talk and say); may be repeated")
      ->group(kBackend)
      ->allow_extra_args(false);
  command
      .add_option("--embed", simulation.embed,
                  "People of a town recall what is near in meaning, by embeddings of: local (the run's own "
                  "model), FILE.gguf, http://HOST:PORT[/v1][?model=NAME] (its /v1/embeddings), or fake (from "
                  "words); default: they recall by common words")
      ->group(kBackend);
  command.add_flag("--real-time", simulation.real_time, "Let fake and latency take the time that they model")
      ->group(kBackend);
  std::string backends = "Backends (--llm):\n";
  std::istringstream lines(llm::BackendHelp());
  for (std::string line; std::getline(lines, line);) backends += "  " + line + "\n";
  AddNote(command, backends);
  AddLocalFlags(command, simulation.local);
}

void AddLimitFlags(CLI::App& command, app::Limits& limits) {
  command
      .add_option("--call-timeout", limits.call_timeout_s,
                  "Most seconds for one attempt of a call, on the backend's clock, its turn included; "
                  "default: no limit")
      ->group(kLimits)
      ->check(Positive());
  command
      .add_option(
          "--call-attempts", limits.call_attempts,
          "How often to ask a server that cannot be reached, is busy, fails or takes too long; pauses grow "
          "from 0.5 to 30 s, so that it may be away for a minute")
      ->group(kLimits)
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  command
      .add_option("--answer-attempts", limits.answer_attempts,
                  "How often to ask for an answer that is allowed; the model is told what was wrong")
      ->group(kLimits)
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  command
      .add_option("--max-wait", limits.max_wait_s,
                  "Most seconds to wait when a server says how long (Retry-After); for longer, the call "
                  "fails; and for a "
                  "journal's database that is away")
      ->group(kLimits)
      ->check(Positive())
      ->capture_default_str();
  command
      .add_option(
          "--fallback", limits.fallback,
          "When an agent does the usual thing instead of ending the run: never; when no answer is allowed, "
          "however often the model is asked; or when its call fails in any way. A wrong key, a quota that is "
          "used up and a server that is gone end the run in any case; throng resume continues it")
      ->group(kLimits)
      ->check(CLI::IsMember(
          std::vector<std::string>(std::begin(app::kFallBackNames), std::end(app::kFallBackNames))))
      ->capture_default_str();
  command
      .add_option("--max-tokens-total", limits.max_tokens,
                  "Stop at this many tokens of prompts and answers, those before a resume included")
      ->group(kLimits)
      ->check(Whole(1));
  command
      .add_option("--max-cost", limits.max_cost, "Stop once the tokens have cost this much; needs --price")
      ->group(kLimits)
      ->check(Positive());
  command.add_option("--price", limits.price, "PROMPT,ANSWER: what a million tokens cost, such as 0.15,0.6")
      ->group(kLimits);
}

void AddInteractiveFlags(CLI::App& command, app::Limits& limits) {
  command
      .add_option("--interactive", limits.interactive,
                  "Name or number of an agent whose calls go first; the report has their latencies")
      ->group(kLimits);
  command
      .add_option("--target-ms", limits.target_ms,
                  "Latency to aim at for its calls, at the cost of the others; 0: only measure")
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
