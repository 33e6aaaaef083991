#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/error.h"
#include "journal/journal.h"
#include "journal/llm/replay_llm.h"
#include "journal/snapshots.h"
#include "journal/store/place.h"
#include "python/convert/with_python.h"
#include "python/llm/backend.h"
#include "python/module/bind.h"
#include "python/module/outcome.h"
#include "python/world/world.h"
#include "sim/run/run.h"

namespace py = pybind11;

namespace throng::python {

namespace {

void Fork(const std::string& path, sim::Step at, const std::string& out, std::optional<uint64_t> seed,
          const py::object& llm, bool keep_events) {
  const std::unique_ptr<journal::Journal> original = journal::Journal::OpenToRead(path);
  journal::Manifest manifest = original->GetManifest();
  if (seed.has_value()) {
    sim::Seeds seeds = original->GetSeeds();
    std::erase_if(seeds.changes, [&](const sim::SeedChange& change) { return change.from >= at; });
    seeds.changes.push_back({at, *seed});
    manifest[journal::JournalKeys::kSeed] = sim::FormatSeeds(seeds);
  }
  if (!llm.is_none()) manifest[journal::JournalKeys::kBackend] = BackendSource(llm).Make()->Identity();
  manifest[journal::JournalKeys::kForks] += fmt::format("{} of {}\n", at, journal::LastingPlace(path));
  journal::Journal::CreateFork(out, *original, at, std::move(manifest), keep_events);
}

void Inject(const std::string& path, sim::Step at, const std::string& what) {
  const WithoutPython unlocked;  // the run may be waiting for it, with the journal locked
  if (at < 0) throw MakeError(ErrorCode::kInvalid, "inject: at={}, allowed: step 0 or a later one", at);
  if (journal::Journal::OpenToRead(path)->GetManifest().contains(journal::JournalKeys::kHash)) {
    throw MakeError(
        ErrorCode::kInvalid,
        "journal {}: the run is done, nothing happens in it any more; allowed: one that is not, such as "
        "a fork at an earlier step",
        path);
  }
  journal::Journal::Inject(path, at, what);
}

// The agents at the start of step `at`: repeats the run up to there with the journal's answers.
py::list AgentsAt(const py::object& world_object, const std::string& path, std::optional<sim::Step> at) {
  const std::unique_ptr<journal::Journal> journal = journal::Journal::OpenToRead(path);
  const sim::Seeds seeds = journal->GetSeeds();
  Failure failure;
  const PythonWorld world(world_object, seeds, failure);
  if (journal->ManifestValue(journal::JournalKeys::kScenario) != world.ScenarioDigest().Hex()) {
    throw MakeError(
        ErrorCode::kInvalid,
        "journal {}: it was begun with another world or other agents, allowed: the same, unchanged", path);
  }
  const sim::Step known = journal->NumSteps();
  const sim::Step step = at.value_or(known);
  if (step < 0 || step > known) {
    throw MakeError(ErrorCode::kInvalid, "journal {}: there is no step {}, allowed: 0 to {}", path, step,
                    known);
  }
  Outcome outcome(world);
  if (step > 0) {
    journal::ReplayLlm llm(*journal);
    sim::RunOptions options;
    options.mode = sim::Mode::kLockstep;
    options.steps = step;
    options.seed = seeds.first;
    options.seed_changes = seeds.changes;
    options.interventions = journal->Interventions();
    const journal::FoundSnapshot found = journal::FindSnapshot(*journal, world, step);
    if (found.snapshot) options.from = &*found.snapshot;
    options.observers = {&outcome};
    options.effect_of = [&world](const std::string& tool) { return world.Tools().EffectOf(tool); };
    try {
      sim::RunWorld(world, llm, options);
    } catch (const Error& error) {
      failure.Raise(error);
      throw;
    }
  }
  py::dict described;
  outcome.AddTo(described);
  return described["agents"];
}

}  // namespace

void AddJournal(py::module_& module) {
  module.def("fork", &Fork, py::kw_only(), py::arg("journal"), py::arg("at"), py::arg("out"), py::arg("seed"),
             py::arg("llm"), py::arg("keep_events"));
  module.def("inject", &Inject, py::kw_only(), py::arg("journal"), py::arg("at"), py::arg("what"));
  module.def("agents_at", &AgentsAt, py::kw_only(), py::arg("world"), py::arg("journal"), py::arg("at"));
}

}  // namespace throng::python
