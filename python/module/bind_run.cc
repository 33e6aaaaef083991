#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "app/backend.h"
#include "app/limits.h"
#include "app/run.h"
#include "base/error.h"
#include "effects/answers_file.h"
#include "journal/journal.h"
#include "journal/read/reader.h"
#include "llm/decorators/router.h"
#include "python/convert/convert.h"
#include "python/convert/with_python.h"
#include "python/llm/backend.h"
#include "python/llm/completion.h"
#include "python/module/bind.h"
#include "python/module/change.h"
#include "python/module/ending.h"
#include "python/module/journaling.h"
#include "python/module/outcome.h"
#include "python/module/run_options.h"
#include "python/workers/bind_workers.h"
#include "python/workers/steps_elsewhere.h"
#include "python/world/call_table.h"
#include "python/world/commit.h"
#include "python/world/reporter.h"
#include "python/world/steps.h"
#include "python/world/tools.h"
#include "python/world/view.h"
#include "python/world/world.h"
#include "sim/run/run.h"
#include "workers/workers_llm.h"

namespace py = pybind11;

namespace throng::python {

namespace {

sim::RunOptions MakeOptions(const std::string& mode, int steps, uint64_t seed, const std::string& coupling,
                            const py::object& progress, const Events& events) {
  sim::RunOptions options = MakeRunOptions(steps, seed, coupling, events);
  options.mode = sim::ParseMode(mode);
  if (!progress.is_none()) {
    options.on_progress = [&progress](const sim::Progress& now) {
      py::dict numbers;
      numbers["step"] = now.base_step;
      numbers["front_step"] = now.front_step;
      numbers["calls"] = now.stats.calls;
      numbers["tokens"] = now.stats.prompt_tokens + now.stats.output_tokens;
      numbers["in_flight"] = now.in_flight;
      numbers["wall_s"] = now.stats.wall_s;
      progress(**numbers);
    };
  }
  return options;
}

// The keywords of throng.run, checked by name.
class Settings {
 public:
  explicit Settings(const py::dict& settings) : settings_(settings) {}
  template <typename T>
  T Get(const char* name, const char* allowed) const {
    return CastTo<T>(settings_[name], name, allowed);
  }
  std::string Text(const char* name) const { return Get<std::string>(name, "a str"); }
  bool Flag(const char* name) const { return Get<bool>(name, "True or False"); }
  py::object Object(const char* name) const { return settings_[name]; }

 private:
  const py::dict& settings_;
};

app::Limits MakeLimits(const Settings& settings) {
  app::Limits limits;
  limits.call_timeout_s = settings.Get<double>("call_timeout", "a number of seconds");
  limits.call_attempts = settings.Get<int>("call_attempts", "a whole number");
  limits.answer_attempts = settings.Get<int>("answer_attempts", "a whole number");
  limits.max_wait_s = settings.Get<double>("max_wait", "a number of seconds");
  limits.fallback = settings.Text("fallback");
  if (limits.call_timeout_s < 0 || limits.max_wait_s < 0 || limits.call_attempts < 1 ||
      limits.answer_attempts < 1) {
    throw MakeError(ErrorCode::kInvalid,
                    "call_timeout={}, max_wait={}, call_attempts={}, answer_attempts={}: allowed: seconds, 0 "
                    "or more, and "
                    "attempts, 1 or more",
                    limits.call_timeout_s, limits.max_wait_s, limits.call_attempts, limits.answer_attempts);
  }
  limits.max_tokens = settings.Get<uint64_t>("max_tokens_total", "a whole number");
  limits.max_tool_calls = settings.Get<uint64_t>("max_tool_calls", "a whole number");
  limits.max_cost = settings.Get<double>("max_cost", "a number");
  limits.price = settings.Text("price");
  limits.interactive = settings.Text("interactive");
  limits.target_ms = settings.Get<double>("target_ms", "a number of milliseconds");
  return limits;
}

// The backends of a run: one for most calls, and those for some functions.
class Backends {
 public:
  explicit Backends(const Settings& settings) : real_time_(settings.Flag("real_time")) {
    main_ = Source(settings.Object("llm"));
    const auto model_for = settings.Get<py::dict>("model_for", "a dict from functions of calls to backends");
    for (const auto& [function, llm] : model_for) {
      const auto name =
          CastTo<std::string>(function, "model_for", "a dict from functions of calls to backends");
      routes_.emplace_back(name, Source(py::reinterpret_borrow<py::object>(llm)));
    }
  }

  // Whether all of them answer in virtual time.
  bool AreVirtual() const {
    return std::all_of(sources_.begin(), sources_.end(),
                       [](const auto& known) { return known.second->IsVirtual(); });
  }

  std::unique_ptr<llm::Llm> Make() {
    if (routes_.empty()) return main_->Make();
    auto router = std::make_unique<llm::RouterLlm>(main_->Make());
    std::map<BackendSource*, std::shared_ptr<llm::Llm>> made;
    for (const auto& [function, source] : routes_) {
      std::shared_ptr<llm::Llm>& backend = made[source.get()];
      if (backend == nullptr) backend = source->Make();
      router->Route(function, backend);
    }
    return router;
  }

 private:
  // One for each object: a model serves one run at a time, but any number of its functions.
  std::shared_ptr<BackendSource> Source(const py::object& llm) {
    for (const auto& [object, source] : sources_) {
      if (object.is(llm)) return source;
    }
    return sources_.emplace_back(llm, std::make_shared<BackendSource>(llm, real_time_)).second;
  }

  bool real_time_;
  std::vector<std::pair<py::object, std::shared_ptr<BackendSource>>> sources_;
  std::shared_ptr<BackendSource> main_;
  std::vector<std::pair<std::string, std::shared_ptr<BackendSource>>> routes_;
};

// A RuntimeWarning at the line that called throng.run; with Python's lock held or not.
void Warn(const std::string& text) {
  const WithPython lock;
  py::module_::import("warnings").attr("warn")(MakeText(text), py::handle(PyExc_RuntimeWarning), 2);
}

// Warns of the first call after which an agent fell back; the table "calls" has all of them.
void WarnOfFailures(sim::RunOptions& options) {
  options.on_fall_back = [warned = false](const std::string& text) mutable {
    if (!std::exchange(warned, true)) Warn(text + "; its agent goes on without an answer");
  };
}

JournalSetup MakeJournalSetup(const Settings& settings) {
  JournalSetup setup;
  setup.path = settings.Text("journal");
  if (setup.path.empty()) return setup;
  setup.resume = settings.Flag("resume");
  setup.options = {settings.Flag("sync"), settings.Flag("prompts")};
  setup.other_backend = settings.Flag("other_backend");
  setup.manifest = settings.Get<journal::Manifest>("manifest", "a dict of texts");
  setup.files = settings.Get<decltype(setup.files)>("files", "a list of (name, text)");
  return setup;
}

std::optional<sim::Step> ReadSnapshotEvery(const Settings& settings) {
  constexpr const char* kAllowed = "a whole number, 0 or more";
  const auto every = settings.Get<std::optional<sim::Step>>("snapshot_every", kAllowed);
  if (every.value_or(0) < 0)
    throw MakeError(ErrorCode::kInvalid, "snapshot_every {}: it must be {}", *every, kAllowed);
  return every;
}

// Embeddings from now on are compared with those that the journal has.
void ExpectLength(const py::object& embed, const journal::Journal& journal) {
  const auto length = journal::Reader(journal).EmbeddingLength();
  if (!length) return;
  for (const py::handle tool : embed) tool.attr("expect")(*length, MakeText(journal.Path()));
}

py::list DescribeServers(const llm::Llm& backend) {
  py::list servers;
  for (const llm::ServerStats& server : app::ServersOf(backend)) {
    py::dict numbers;
    numbers["address"] = server.address;
    numbers["calls"] = server.calls;
    numbers["failures"] = server.failures;
    numbers["prompt_tokens"] = server.prompt_tokens;
    numbers["cached_prompt_tokens"] = server.cached_prompt_tokens;
    numbers["output_tokens"] = server.output_tokens;
    numbers["seconds"] = server.seconds;
    servers.append(numbers);
  }
  return servers;
}

py::dict RunOn(PythonWorld& world, const Settings& settings, const JournalSetup& journaling,
               std::unique_ptr<journal::Journal> journal, sim::RunOptions options, Failure& failure) {
  const app::Limits limits = MakeLimits(settings);
  app::CheckLimits(limits, world);
  Outcome outcome(world);
  options.observers.push_back(&outcome);
  Backends backends(settings);
  const std::unique_ptr<llm::Llm> backend = backends.Make();
  if (const std::string news = Record(journaling, world, options, limits, *backend, journal); !news.empty())
    Warn(news);
  std::optional<Reporter> reporter;
  if (const py::object collect = settings.Object("collect"); !collect.is_none()) {
    reporter.emplace(world, failure, collect,
                     settings.Get<sim::Step>("collect_every", "a whole number, 1 or more"), journal.get());
    options.observers.push_back(&*reporter);
  }
  CallTable calls;
  std::optional<StepsElsewhere> elsewhere;
  if (const py::object crew = settings.Object("crew"); !crew.is_none()) {
    elsewhere.emplace(MakeLink(crew, world, {options.seed, options.seed_changes}));
    world.ProceedElsewhere(*elsewhere);
  }
  app::Beginning beginning;
  // What reporters have measured of earlier steps is theirs: the journal does not have all of it.
  if (journal != nullptr && !journal->IsDone(options.steps) && !settings.Flag("from_start") && !reporter) {
    beginning = app::FindBeginning(*journal, world, options.steps);
    if (beginning.is_problem) Warn(beginning.note);
  }
  if (beginning.snapshot) {
    options.from = &*beginning.snapshot;
    outcome.AddEarlier(journal::Reader(*journal).Events(0, options.from->step));
    calls.AddEarlier(*journal, options.from->step);
  }
  const auto wrap = [&](std::unique_ptr<llm::Llm> llm) -> std::unique_ptr<llm::Llm> {
    std::unique_ptr<llm::Llm> top = std::make_unique<TabledLlm>(std::move(llm), calls);
    if (elsewhere) {
      top = std::make_unique<workers::WorkersLlm>(std::move(top), elsewhere->Pool(), backends.AreVirtual());
    }
    return std::make_unique<Unlocked>(std::move(top));
  };
  WarnOfFailures(options);
  std::optional<effects::AnswersFile> answers;
  if (const std::string path = settings.Text("answers"); !path.empty()) {
    answers.emplace(path, [&world](uint32_t agent) { return world.AgentName(agent); });
  }
  const py::object embed = settings.Object("embed");
  if (journal != nullptr) ExpectLength(embed, *journal);
  const app::RunOutcome run = app::Run(world, *backend, options,
                                       {.limits = limits,
                                        .journal = journal.get(),
                                        .snapshot_every = ReadSnapshotEvery(settings),
                                        .on_wait = [](const std::string& text) { Warn(text); },
                                        .on_warning = [](const std::string& text) { Warn(text); },
                                        .wrap = wrap,
                                        .tools = world.Tools(),
                                        .embedder = ReadEmbedder(embed),
                                        .people = answers ? &*answers : nullptr});
  py::dict described = DescribeRun(run.result, options.mode);
  described["steps"] = options.steps;
  described["repeated_steps"] = elsewhere ? elsewhere->Pool().NumRepeated() : 0;
  described["replayed_calls"] = run.replayed;
  described["journal"] = journal == nullptr ? py::object(py::none()) : py::object(py::str(journaling.path));
  described["interactive_s"] = run.interactive_s;
  described["tokens_used"] = run.used.prompt + run.used.output;
  described["cost"] = limits.price.empty() ? py::object(py::none())
                                           : py::float_(llm::CostOf(run.used, app::ParsePrice(limits.price)));
  described["call_rows"] = calls.Rows();
  described["servers"] = DescribeServers(*backend);
  outcome.AddTo(described);
  return described;
}

py::dict Run(const py::object& world_object, const py::dict& keywords) {
  CheckEntry();
  const LongCall call;
  const LostByFork lost_by_fork;
  const Settings settings(keywords);
  Failure failure;
  const py::object progress = settings.Object("progress");
  sim::RunOptions options = MakeOptions(settings.Text("mode"), settings.Get<int>("steps", "a whole number"),
                                        /*seed=*/1, settings.Text("coupling"), progress,
                                        settings.Get<Events>("events", "a list of (step, text)"));
  const JournalSetup journaling = MakeJournalSetup(settings);
  std::unique_ptr<journal::Journal> journal = OpenToResume(journaling);
  SetSeeds(settings.Get<std::optional<uint64_t>>("seed", "a whole number, 0 or more"), journal.get(),
           options);
  PythonWorld world(world_object, sim::Seeds{options.seed, options.seed_changes}, failure);
  try {
    return RunOn(world, settings, journaling, std::move(journal), options, failure);
  } catch (const Error& error) {
    failure.Raise(error);
    throw;
  }
}

}  // namespace

void AddRun(py::module_& module) {
  AddView(module);
  AddCommit(module);
  AddChange(module);
  module.def("note_call", &Steps::NoteCall);
  module.def("run", &Run, py::arg("world"), py::arg("settings"));
}

}  // namespace throng::python
