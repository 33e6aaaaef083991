#include "python/llm/function_llm.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <deque>
#include <exception>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/error.h"
#include "llm/grammar/answer_maker.h"
#include "python/convert/convert.h"
#include "python/convert/python_error.h"
#include "python/convert/with_python.h"

namespace py = pybind11;

namespace throng::python {

namespace {

constexpr const char* kReturned = "what the backend function returned";

class FunctionLlm : public llm::Llm {
 public:
  explicit FunctionLlm(py::object function)
      : function_(std::move(function)),
        call_class_(py::module_::import("throng.calls").attr("Call")),
        completion_class_(py::module_::import("throng.model").attr("Completion")) {}

  double Now() const override {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  }
  std::string Identity() const override {
    const WithPython lock;
    const py::object name =
        py::getattr(function_, "__qualname__", py::type::of(function_).attr("__qualname__"));
    return "function " + py::cast<std::string>(name);
  }
  llm::Stats GetStats() const override { return stats_; }

 protected:
  const py::object& Function() const { return function_; }

  // An exception that stops the run must not leave its call in flight: callers would wait for it. It
  // completes as cancelled in the next Wait.
  template <typename Make>
  llm::Completion CompleteOrOwe(const llm::Request& request, const Make& make) {
    try {
      return make();
    } catch (...) {
      owed_.push_back(llm::Cancelled(request.id, request.key));
      throw;
    }
  }
  bool PayOwed(std::vector<llm::Completion>& done) {
    done.insert(done.end(), owed_.begin(), owed_.end());
    return !std::exchange(owed_, {}).empty();
  }

  // All three need Python's lock.
  py::object MakeCall(const llm::Request& request) const {
    const auto tuple_of = [](const std::vector<std::string>& texts) {
      py::tuple tuple(texts.size());
      for (size_t i = 0; i < texts.size(); ++i) tuple[i] = texts[i];
      return tuple;
    };
    const llm::Sampling& sampling = request.sampling;
    std::string prompt = request.prompt;
    if (request.refused.has_value()) {
      prompt += fmt::format("\n\nYou answered: {}\n{}", request.refused->answer, request.refused->why);
    }
    using namespace py::literals;
    return call_class_(
        "prompt"_a = prompt, "choices"_a = tuple_of(request.constraint.choices),
        "json_schema"_a = request.constraint.json_schema.empty() ? py::object(py::none())
                                                                 : py::str(request.constraint.json_schema),
        "max_tokens"_a = request.max_tokens, "temperature"_a = sampling.temperature,
        "system"_a = request.system, "stop"_a = tuple_of(request.stop), "function"_a = request.function,
        "agent"_a = request.key.agent, "top_k"_a = sampling.top_k, "top_p"_a = sampling.top_p,
        "min_p"_a = sampling.min_p, "repetition_penalty"_a = sampling.repetition_penalty);
  }

  llm::Completion Answered(const llm::Request& request, py::handle answer) {
    llm::Completion completion = Blank(request);
    const auto text = CastTo<std::string>(answer, kReturned, "a str or a throng.Completion");
    if (py::isinstance(answer, completion_class_)) {
      const auto count = [&](const char* name) {
        return Field<int>(answer, "Completion", name, "an integer");
      };
      completion.prompt_tokens = count("prompt_tokens");
      completion.cached_prompt_tokens = count("cached_prompt_tokens");
      completion.output_tokens = count("output_tokens");
      if (Field<std::string>(answer, "Completion", "finish", "\"stop\" or \"length\"") == "length") {
        completion.finish = llm::FinishReason::kLength;
      }
    } else {
      completion.prompt_tokens = llm::EstimateTokens(request.system.size() + request.prompt.size());
      completion.output_tokens = llm::EstimateTokens(text.size());
    }
    completion.text = text;
    stats_.Count(completion);
    return completion;
  }

  // `raised`: an exception; throws it unless it means that only this attempt has failed.
  llm::Completion Failed(const llm::Request& request, const py::error_already_set& raised) {
    const std::optional<Error> error = AsFailedAttempt(raised.value());
    if (!error.has_value()) throw raised;
    llm::Completion completion = Blank(request);
    completion.finish = llm::FinishReason::kError;
    completion.error = error;
    if (error->Code() == ErrorCode::kUnavailable)
      completion.retry_after_s = 0;  // as a server that says nothing
    return completion;
  }

 private:
  static llm::Completion Blank(const llm::Request& request) {
    llm::Completion completion;
    completion.id = request.id;
    completion.key = request.key;
    return completion;
  }

  py::object function_;
  py::object call_class_;
  py::object completion_class_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  llm::Stats stats_;
  std::vector<llm::Completion> owed_;
};

class PlainFunctionLlm final : public FunctionLlm {
 public:
  using FunctionLlm::FunctionLlm;

  void Submit(llm::Request request) override { waiting_.push_back({std::move(request)}); }

  void Wait(std::vector<llm::Completion>& done, double) override {
    if (PayOwed(done) || waiting_.empty()) return;
    const auto next = std::min_element(waiting_.begin(), waiting_.end(), [](const Asked& a, const Asked& b) {
      return a.request.priority < b.request.priority;
    });
    const Asked asked = std::move(*next);
    waiting_.erase(next);
    done.push_back(asked.cancelled ? llm::Cancelled(asked.request.id, asked.request.key)
                                   : CompleteOrOwe(asked.request, [&] { return Answer(asked.request); }));
  }

  void Cancel(uint64_t id) override {
    for (Asked& asked : waiting_) asked.cancelled |= asked.request.id == id;
  }

  void Raise(uint64_t id, int priority) override {
    for (Asked& asked : waiting_) {
      if (asked.request.id == id) asked.request.priority = priority;
    }
  }

 private:
  struct Asked {
    llm::Request request;
    bool cancelled = false;
  };

  llm::Completion Answer(const llm::Request& request) {
    const WithPython lock;
    try {
      return Answered(request, Function()(MakeCall(request)));
    } catch (const py::error_already_set& raised) {
      return Failed(request, raised);
    }
  }

  std::deque<Asked> waiting_;
};

// The event loop and its tasks are throng.backends.EventLoop; Python's lock guards all members.
class AsyncFunctionLlm final : public FunctionLlm {
 public:
  explicit AsyncFunctionLlm(const py::object& function)
      : FunctionLlm(function), loop_(py::module_::import("throng.backends").attr("EventLoop")(function)) {}
  ~AsyncFunctionLlm() override {
    const WithPython lock;
    try {
      loop_.attr("close")();
    } catch (py::error_already_set& error) {
      error.discard_as_unraisable("closing the event loop of a backend");
    }
    loop_ = {};
  }

  void Submit(llm::Request request) override {
    const WithPython lock;
    const uint64_t id = request.id;
    loop_.attr("submit")(id, MakeCall(request));
    asked_.emplace(id, std::move(request));
  }

  void Wait(std::vector<llm::Completion>& done, double seconds) override {
    const WithPython lock;
    if (raised_) std::rethrow_exception(std::exchange(raised_, nullptr));
    if (PayOwed(done) || asked_.empty()) return;
    const size_t before = done.size();
    if (!ended_.empty()) seconds = 0;
    const py::object timeout = std::isinf(seconds) ? py::object(py::none()) : py::float_(seconds);
    for (const py::handle item : loop_.attr("wait")(timeout)) {  // releases the lock while it waits
      ended_.push_back(py::reinterpret_borrow<py::tuple>(item));
    }
    while (!ended_.empty()) {
      const py::tuple item = std::move(ended_.front());  // id, answer, exception
      ended_.pop_front();
      const auto node = asked_.extract(py::cast<uint64_t>(item[0]));
      const llm::Request& request = node.mapped();
      try {
        done.push_back(CompleteOrOwe(request, [&] { return Completed(request, item[1], item[2]); }));
      } catch (...) {
        if (done.size() == before) throw;
        raised_ = std::current_exception();
        return;
      }
    }
  }

  void Cancel(uint64_t id) override {
    const WithPython lock;
    loop_.attr("cancel")(id);
  }

 private:
  // Neither answer nor exception: cancelled.
  llm::Completion Completed(const llm::Request& request, py::handle answer, py::handle exception) {
    if (!exception.is_none()) {
      try {
        PyErr_SetObject(py::type::handle_of(exception).ptr(), exception.ptr());
        throw py::error_already_set();
      } catch (const py::error_already_set& raised) {
        return Failed(request, raised);
      }
    }
    if (answer.is_none()) return llm::Cancelled(request.id, request.key);
    return Answered(request, answer);
  }

  py::object loop_;
  std::unordered_map<uint64_t, llm::Request> asked_;  // by id
  // What the last Wait left because of an exception, and the exception, if there were answers before it.
  std::deque<py::tuple> ended_;
  std::exception_ptr raised_;
};

}  // namespace

bool IsAsync(py::handle function) {
  return py::cast<bool>(py::module_::import("throng.backends").attr("is_async")(function));
}

std::unique_ptr<llm::Llm> MakeFunctionLlm(py::object function, bool is_async) {
  if (is_async) return std::make_unique<AsyncFunctionLlm>(function);
  return std::make_unique<PlainFunctionLlm>(std::move(function));
}

}  // namespace throng::python
