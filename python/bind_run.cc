#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "app/run.h"
#include "base/error.h"
#include "journal/journal.h"
#include "python/backend.h"
#include "python/bind.h"
#include "python/change.h"
#include "python/outcome.h"
#include "python/steps.h"
#include "python/world.h"
#include "sim/run/run.h"

namespace py = pybind11;

namespace throng::python {

namespace {

// Never set: with a flag to check, waits are short, and Ctrl-C is noticed.
const std::atomic<bool> g_never_stop = false;

using Events = std::vector<std::pair<sim::Step, std::string>>;

sim::RunOptions MakeOptions(const std::string& mode, int steps, uint64_t seed, const std::string& coupling,
                            const py::object& progress, const Events& events) {
  sim::RunOptions options;
  options.mode = sim::ParseMode(mode);
  options.steps = steps;
  options.seed = seed;
  options.coupling = sim::ParseCoupling(coupling);
  options.stop = &g_never_stop;
  options.fall_back = true;
  for (const auto& [step, what] : events) options.interventions.push_back({step, what});
  if (!progress.is_none()) {
    options.on_progress = [&progress](const sim::Progress& now) {
      py::dict numbers;
      numbers["step"] = now.base_step;
      numbers["front_step"] = now.front_step;
      numbers["calls"] = now.stats.calls;
      numbers["in_flight"] = now.in_flight;
      numbers["wall_s"] = now.stats.wall_s;
      progress(**numbers);
    };
  }
  return options;
}

// Begins a new journal, or opens one to resume.
std::unique_ptr<journal::Journal> OpenJournal(const std::string& path, bool resume, const PythonWorld& world,
                                              const sim::RunOptions& options, const std::string& backend) {
  if (resume && std::filesystem::exists(path)) {
    std::unique_ptr<journal::Journal> journal = journal::Journal::OpenToWrite(path);
    journal->CheckSame(world, options, backend);
    return journal;
  }
  std::unique_ptr<journal::Journal> journal = journal::Journal::Create(path);
  journal->Begin({{journal::JournalKeys::kMap, world.MapJson()}}, world, options, backend);
  return journal;
}

py::dict RunOn(const PythonWorld& world, BackendSource& source, sim::RunOptions options,
               const std::string& journal_path, bool resume) {
  Outcome outcome(world);
  options.observers.push_back(&outcome);
  const std::unique_ptr<llm::Llm> backend = source.Make();
  std::unique_ptr<journal::Journal> journal;
  if (!journal_path.empty()) {
    journal = OpenJournal(journal_path, resume, world, options, backend->Identity());
  }
  const auto unlocked = [](std::unique_ptr<llm::Llm> llm) -> std::unique_ptr<llm::Llm> {
    return std::make_unique<Unlocked>(std::move(llm));
  };
  const app::RunOutcome run = app::Run(world, *backend, options, {{}, journal.get(), unlocked});
  py::dict described = DescribeRun(run.result, options.mode);
  described["steps"] = options.steps;
  described["replayed_calls"] = run.replayed;
  described["journal"] = journal_path.empty() ? py::object(py::none()) : py::str(journal_path);
  outcome.AddTo(described);
  return described;
}

py::dict Run(const py::object& world_object, const py::object& llm, const std::string& mode, int steps,
             uint64_t seed, const std::string& coupling, const std::string& journal, bool resume,
             const py::object& progress, const Events& events) {
  CheckEntry();
  const LostByFork lost_by_fork;
  Failure failure;
  const sim::RunOptions options = MakeOptions(mode, steps, seed, coupling, progress, events);
  const PythonWorld world(world_object, seed, failure);
  BackendSource source(llm);
  try {
    return RunOn(world, source, options, journal, resume);
  } catch (const Error& error) {
    failure.Raise(error);
    throw;
  }
}

void AddView(py::module_& module) {
  py::class_<PythonView, std::shared_ptr<PythonView>>(
      module, "View",
      "What one agent may read in one step: the state at the start of the step, within its perception "
      "radius.\n"
      "\n"
      "    def proceed(self, view, agent):\n"
      "        for other in view.neighbours():\n"
      "            print(view.step, agent.name, 'sees', other.name, 'at', other.pos, other.status)\n"
      "        print(view.cell(agent.pos), view.random.random())")
      .def_property_readonly("step", &PythonView::Now, "The step that runs, from 0 on.")
      .def("neighbours", &PythonView::Neighbours,
           "The other agents within the perception radius, as throng.Neighbour, ordered by id.")
      .def("cell", &PythonView::Cell, py::arg("pos"),
           "The text that was written there, '' if nothing was; pos lies within the perception radius.")
      .def("announced", &PythonView::Announced, py::arg("known") = 0,
           "What all agents have been told up to this step, as (step, text), but the first `known` of it.")
      .def_property_readonly("random", &PythonView::Random,
                             "A random.Random of this agent and step: it draws the same numbers in every "
                             "mode. Use no other source "
                             "of chance in a world.");
}

void AddCommit(py::module_& module) {
  py::class_<PythonCommit, std::shared_ptr<PythonCommit>>(
      module, "Commit",
      "The writes of one cluster's step, all visible from the next step on. An agent is named by its id, or "
      "by "
      "the throng.Agent.\n\n"
      "    def resolve(self, step, members, commit):\n"
      "        for agent in members:\n"
      "            commit.move(agent, agent.intent)\n"
      "            commit.write(agent.pos, agent.name + ' was here')")
      .def_property_readonly("step", &PythonCommit::Now, "The step that runs, from 0 on.")
      .def("move", &PythonCommit::Move, py::arg("agent"), py::arg("pos"),
           "Moves a member, by max_velocity at most.")
      .def("set_status", &PythonCommit::SetStatus, py::arg("agent"), py::arg("status"),
           "What others see that a member is doing, in a few words.")
      .def("set_mind", &PythonCommit::SetMind, py::arg("agent"), py::arg("mind"),
           "What a member knows and plans, instead of what it was: plain data, which is frozen.")
      .def("sleep", &PythonCommit::SleepUntil, py::arg("agent"), py::arg("until"), py::arg("alert") = false,
           "A member does nothing before step `until`; see throng.Intent.")
      .def("write", &PythonCommit::Write, py::arg("pos"), py::arg("text"),
           "Writes into a cell within max_velocity of where a member started.")
      .def("event", &PythonCommit::AddEvent, py::arg("agent"), py::arg("kind"), py::arg("text"),
           "Adds a line to the chronicle of the run: kind is a word such as 'say'.")
      .def(
          "birth", &PythonCommit::Birth, py::arg("id"), py::arg("pos"), py::arg("status") = "",
          py::arg("mind") = py::none(),
          "An id of World.agents() that was nobody's so far becomes an agent, within max_velocity of where a "
          "member started; it does the next step. Every parent needs ids of its own for its children.")
      .def("remove", &PythonCommit::Remove, py::arg("agent"), "This is the last step of a member.")
      .def("announce", &PythonCommit::Announce, py::arg("agent"), py::arg("text"),
           "All agents hear it from World.horizon steps after this one on.")
      .def_property_readonly("random", &PythonCommit::Random,
                             "A random.Random of this cluster and step: the same numbers in every mode.");
}

}  // namespace

void AddRun(py::module_& module) {
  AddView(module);
  AddCommit(module);
  AddChange(module);
  module.def("note_call", &Steps::NoteCall);
  module.def("run", &Run, py::kw_only(), py::arg("world"), py::arg("llm"), py::arg("mode"), py::arg("steps"),
             py::arg("seed"), py::arg("coupling"), py::arg("journal"), py::arg("resume"), py::arg("progress"),
             py::arg("events"));
}

}  // namespace throng::python
