// Compares runs of a world for throng.verify: here in every mode, and in another process with the recorded
// answers of the first.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "app/limits.h"
#include "app/verify_backends.h"
#include "effects/answers_file.h"
#include "python/llm/backend.h"
#include "python/llm/completion.h"
#include "python/module/bind.h"
#include "python/module/ending.h"
#include "python/module/fork.h"
#include "python/module/outcome.h"
#include "python/module/run_options.h"
#include "python/world/tools.h"
#include "python/world/world.h"
#include "sim/run/verify.h"

namespace py = pybind11;

namespace throng::python {

namespace {

sim::RunOptions MakeVerifyOptions(int steps, uint64_t seed, const std::string& coupling,
                                  const Events& events) {
  sim::RunOptions options = MakeRunOptions(steps, seed, coupling, events);
  options.falls_back = app::FallsBack(app::FallBack::kAnswer);
  return options;
}

// The attributes of throng.RunResult.
py::dict DescribeVerified(const sim::RunResult& result, sim::Mode mode, int steps) {
  py::dict described = DescribeRun(result, mode);
  described["steps"] = steps;
  return described;
}

// Its sentence, what the second run has, and whether the backend is at fault.
py::tuple DescribeDifference(const std::optional<sim::Difference>& difference) {
  if (!difference) return py::make_tuple("", "", false);
  return py::make_tuple(MakeText(difference->text), MakeText(difference->second),
                        difference->is_backends_fault);
}

py::tuple Verify(const py::object& make_world, const py::object& llm, int steps, uint64_t seed,
                 const std::string& coupling, int shuffled, const Events& events,
                 const std::string& recording_path, const std::string& answers_path,
                 const py::object& embed) {
  const LongCall call;
  const LostByFork lost_by_fork;
  Failure failure;
  sim::RunOptions options = MakeVerifyOptions(steps, seed, coupling, events);
  effects::ToolTable tools;  // these two are of the last world that was made
  std::function<std::string(uint32_t)> name_of;
  options.effect_of = [&tools](const std::string& tool) { return tools.EffectOf(tool); };
  BackendSource source(llm);
  const std::shared_ptr<effects::Tool> embedder = ReadEmbedder(embed);
  sim::Recording recording(recording_path);
  app::VerifyBackends backends([&] { return source.Make(); }, source.IsRepeatable(), recording);
  const auto make_python_world = [&]() -> std::unique_ptr<sim::World> {
    auto world = std::make_unique<PythonWorld>(make_world(), sim::Seeds{seed}, failure);
    tools = world->Tools();
    name_of = [of = world.get()](uint32_t agent) { return of->AgentName(agent); };
    return world;
  };
  std::optional<effects::AnswersFile> answers;
  if (!answers_path.empty())
    answers.emplace(answers_path, [&name_of](uint32_t agent) { return name_of(agent); });
  const auto make_llm = [&](const sim::VerifyRun& run) -> std::shared_ptr<llm::Llm> {
    return std::make_shared<Unlocked>(
        backends.For(run, {.tools = tools, .embedder = embedder, .people = answers ? &*answers : nullptr}));
  };
  sim::VerifyReport report;
  try {
    report = sim::Verify(make_python_world, make_llm, sim::StandardRuns(shuffled), options, recording);
    recording.Flush();
  } catch (const Error& error) {
    failure.Raise(error);
    throw;
  }
  py::list runs;
  for (const sim::VerifiedRun& verified : report.runs) {
    runs.append(
        py::make_tuple(verified.run.name, DescribeVerified(verified.result, verified.run.mode, steps)));
  }
  return py::make_tuple(DescribeDifference(report.difference), runs);
}

py::tuple Repeat(const py::object& world_object, int steps, uint64_t seed, const std::string& coupling,
                 const Events& events, const std::string& recording_path, const std::string& name) {
  Failure failure;
  sim::RunOptions options = MakeVerifyOptions(steps, seed, coupling, events);
  const PythonWorld world(world_object, sim::Seeds{seed}, failure);
  options.effect_of = [&world](const std::string& tool) { return world.Tools().EffectOf(tool); };
  const std::unique_ptr<sim::Recording> recording = sim::Recording::Open(recording_path);
  const sim::RepeatReport report = sim::Repeat(world, *recording, name, options);
  return py::make_tuple(DescribeDifference(report.difference),
                        DescribeVerified(report.result, sim::Mode::kSingle, steps));
}

}  // namespace

void AddVerify(py::module_& module) {
  module.def("verify", &Verify, py::kw_only(), py::arg("make_world"), py::arg("llm"), py::arg("steps"),
             py::arg("seed"), py::arg("coupling"), py::arg("shuffled"), py::arg("events"),
             py::arg("recording"), py::arg("answers"), py::arg("embed"));
  module.def("on_entry", &OnEntry);
  module.def("repeat", &Repeat, py::kw_only(), py::arg("world"), py::arg("steps"), py::arg("seed"),
             py::arg("coupling"), py::arg("events"), py::arg("recording"), py::arg("name"));
}

}  // namespace throng::python
