#include "python/backend.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <utility>

#include "app/backend.h"
#include "base/error.h"
#include "engine/local_llm.h"
#include "llm/grammar/answer_maker.h"
#include "python/convert.h"

namespace py = pybind11;

namespace throng::python {

namespace {

// A Python function as a backend: one call at a time, smaller steps first.
class FunctionLlm final : public llm::Llm {
 public:
  explicit FunctionLlm(py::object function)
      : function_(std::move(function)), call_class_(py::module_::import("throng.world").attr("Call")) {}

  void Submit(llm::Request request) override { waiting_.push_back({std::move(request)}); }

  void Wait(std::vector<llm::Completion>& done, double) override {
    if (waiting_.empty()) return;
    const auto next = std::min_element(waiting_.begin(), waiting_.end(), [](const Asked& a, const Asked& b) {
      return a.request.priority < b.request.priority;
    });
    Asked asked = std::move(*next);
    waiting_.erase(next);
    done.push_back(asked.cancelled ? llm::Cancelled(asked.request.id, asked.request.key) : Answer(asked));
  }

  void Cancel(uint64_t id) override {
    for (Asked& asked : waiting_) asked.cancelled |= asked.request.id == id;
  }
  double Now() const override {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  }
  std::string Identity() const override {
    py::gil_scoped_acquire acquire;
    const py::object name =
        py::getattr(function_, "__qualname__", py::type::of(function_).attr("__qualname__"));
    return "function " + py::cast<std::string>(name);
  }
  llm::Stats GetStats() const override { return stats_; }

 private:
  struct Asked {
    llm::Request request;
    bool cancelled = false;
  };

  llm::Completion Answer(const Asked& asked) {
    const llm::Request& request = asked.request;
    llm::Completion completion;
    completion.id = request.id;
    completion.key = request.key;
    {
      py::gil_scoped_acquire acquire;
      completion.text =
          CastTo<std::string>(function_(MakeCall(request)), "what the backend function returned", "a str");
    }
    const std::vector<std::string>& choices = request.constraint.choices;
    if (!choices.empty() && std::find(choices.begin(), choices.end(), completion.text) == choices.end()) {
      throw MakeError(ErrorCode::kInvalid, "the backend function returned {:?}, allowed are {:?}",
                      completion.text, fmt::join(choices, ", "));
    }
    completion.prompt_tokens = llm::EstimateTokens(request.system.size() + request.prompt.size());
    completion.output_tokens = llm::EstimateTokens(completion.text.size());
    stats_.Count(completion);
    return completion;
  }

  py::object MakeCall(const llm::Request& request) const {
    const auto tuple_of = [](const std::vector<std::string>& texts) {
      py::tuple tuple(texts.size());
      for (size_t i = 0; i < texts.size(); ++i) tuple[i] = texts[i];
      return tuple;
    };
    const llm::Sampling& sampling = request.sampling;
    using namespace py::literals;
    return call_class_(
        "prompt"_a = request.prompt, "choices"_a = tuple_of(request.constraint.choices),
        "json_schema"_a = request.constraint.json_schema.empty() ? py::object(py::none())
                                                                 : py::str(request.constraint.json_schema),
        "max_tokens"_a = request.max_tokens, "temperature"_a = sampling.temperature,
        "system"_a = request.system, "stop"_a = tuple_of(request.stop), "function"_a = request.function,
        "agent"_a = request.key.agent, "top_k"_a = sampling.top_k, "top_p"_a = sampling.top_p,
        "min_p"_a = sampling.min_p, "repetition_penalty"_a = sampling.repetition_penalty);
  }

  py::object function_;
  py::object call_class_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  std::deque<Asked> waiting_;
  llm::Stats stats_;
};

}  // namespace

void Unlocked::Submit(llm::Request request) {
  py::gil_scoped_release release;
  Inner().Submit(std::move(request));
}

void Unlocked::Wait(std::vector<llm::Completion>& done, double seconds) {
  {
    py::gil_scoped_release release;
    Inner().Wait(done, seconds);
  }
  if (PyErr_CheckSignals() != 0) throw py::error_already_set();
}

BackendSource::BackendSource(py::object llm) : llm_(std::move(llm)) {
  if (py::isinstance<Model>(llm_)) {
    model_ = &llm_.cast<Model&>();
  } else if (py::isinstance<py::str>(llm_)) {
    spec_ = py::cast<std::string>(llm_);
    if (spec_ != "local") return;
    own_ = std::make_unique<Model>(engine::LocalOptions());
    model_ = own_.get();
  } else if (!PyCallable_Check(llm_.ptr())) {
    ThrowWrongType("llm", llm_, "a throng.Model, the name of a backend, or a function");
  }
  if (model_ != nullptr) lease_.emplace(*model_);
}

std::unique_ptr<llm::Llm> BackendSource::Make() {
  if (model_ != nullptr) return std::make_unique<engine::LocalLlm>(model_->Local());
  if (spec_.empty()) return std::make_unique<FunctionLlm>(llm_);
  return app::MakeBackend(spec_);
}

}  // namespace throng::python
