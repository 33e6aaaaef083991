#include "python/world/stepper.h"

#include <pybind11/stl.h>

#include <utility>

#include "base/error.h"
#include "python/module/bind.h"
#include "python/module/ending.h"

namespace py = pybind11;

namespace throng::python {

namespace {

// More steps than a run can do.
constexpr sim::Step kEndless = 1 << 30;

sim::RunOptions SteppedOptions(const std::string& mode, uint64_t seed, const std::string& coupling,
                               const Events& events) {
  sim::RunOptions options = MakeRunOptions(kEndless, seed, coupling, events);
  options.mode = sim::ParseMode(mode);
  return options;
}

// True as long as it lives.
class Mark {
 public:
  explicit Mark(bool& flag) : flag_(flag) { flag_ = true; }
  Mark(const Mark&) = delete;
  Mark& operator=(const Mark&) = delete;
  ~Mark() { flag_ = false; }

 private:
  bool& flag_;
};

}  // namespace

Stepper::Stepper(const py::object& world, const py::object& llm, const std::string& mode, uint64_t seed,
                 const std::string& coupling, const Events& events)
    : source_(llm),
      options_(SteppedOptions(mode, seed, coupling, events)),
      world_(world, sim::Seeds{seed, {}}, failure_),
      outcome_(world_) {
  const app::Limits limits;  // those that throng.run has by default
  limited_ = app::ApplyLimits(limits, world_, source_.Make(), {.tools = world_.Tools()}, {});
  options_.effect_of = [this](const std::string& tool) { return world_.Tools().EffectOf(tool); };
  backend_ = std::make_unique<Unlocked>(std::make_unique<TabledLlm>(std::move(limited_.top), calls_));
  options_.falls_back = app::FallsBack(app::ParseFallBack(limits.fallback));
  options_.observers.push_back(&outcome_);
  run_ = std::make_unique<sim::SteppedRun>(world_, *backend_, options_);
}

Stepper::~Stepper() {
  CloseViews();
  if (!IsForked()) return;
  // What they wait for goes on in the parent.
  static_cast<void>(run_.release());
  static_cast<void>(backend_.release());
}

void Stepper::CloseViews() {
  for (const std::shared_ptr<PythonView>& view : views_) view->Close();
  views_.clear();
}

void Stepper::RunTo(sim::Step step) {
  if (runs_) throw MakeError(ErrorCode::kInvalid, "Env: a step runs already");
  CheckForked();
  const LongCall call;
  const Mark mark(runs_);
  CloseViews();
  try {
    run_->RunTo(step);
  } catch (const Error& error) {
    failure_.Raise(error);
    throw;
  }
  halt_ = step;
}

py::dict Stepper::Views() {
  py::dict views;
  for (const sim::View* view : run_->Views()) {
    views_.push_back(std::make_shared<PythonView>(world_, *view));
    views[py::int_(view->Self())] = views_.back();
  }
  return views;
}

py::dict Stepper::Result() {
  py::dict described = DescribeRun(run_->Result(), options_.mode);
  described["steps"] = halt_;
  const llm::TokensUsed used = limited_.budget->Used();
  described["tokens_used"] = used.prompt + used.output;
  described["call_rows"] = calls_.Rows();
  outcome_.AddTo(described);
  return described;
}

void AddStepper(py::module_& module) {
  py::class_<Stepper>(module, "Stepper")
      .def(py::init<const py::object&, const py::object&, const std::string&, uint64_t, const std::string&,
                    const Events&>(),
           py::kw_only(), py::arg("world"), py::arg("llm"), py::arg("mode"), py::arg("seed"),
           py::arg("coupling"), py::arg("events"))
      .def("run_to", &Stepper::RunTo)
      .def("views", &Stepper::Views)
      .def("agents", &Stepper::Agents)
      .def("cells", &Stepper::Cells)
      .def("events_of", &Stepper::EventsOf)
      .def("result", &Stepper::Result);
}

}  // namespace throng::python
