// Runs one step of Python code: proceed of an agent, or resolve of a cluster, as a generator that yields
// calls.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "llm/llm.h"
#include "python/convert/python_error.h"
#include "python/module/fork.h"
#include "python/world/commit.h"
#include "python/world/view.h"
#include "python/world/world.h"
#include "sim/task.h"
#include "sim/world.h"

namespace throng::python {

// Drives a generator. It yields a call or a use of a tool, or a list of them, and is resumed with the answer
// or the list of answers, or with a throng.CallError if one of them failed. A function that does not yield
// has returned its result at once.
class Steps {
 public:
  explicit Steps(Failure& failure) : failure_(failure) {}
  virtual ~Steps() = default;
  Steps(const Steps&) = delete;
  Steps& operator=(const Steps&) = delete;

  bool Done() const { return done_; }
  void GoOn(std::vector<llm::Completion> answers);
  pybind11::object TakeResult() { return std::move(result_); }
  // Set if a CallError ended the code; its result is None then.
  std::optional<FallBack> TakeFallBack() { return std::move(fall_back_); }

  // Called for every throng.Call, Tool, Ask and Embed that is made, with what it asks. One that the
  // running step drops without yielding it was forgotten: the step ends with an error.
  static void NoteCall(pybind11::handle call, pybind11::object asked);

 protected:
  virtual std::string Where() const = 0;  // for messages

  struct Call {
    std::optional<sim::AgentId> agent;  // the asking agent, if the call names it
    llm::Request request;
  };

  // Runs code that may raise; its exceptions stop the run, but for CallError.
  template <typename Code>
  void Guard(const Code& code) {
    Steps* const before = std::exchange(Running(), this);
    try {
      code();
      Running() = before;
    } catch (...) {
      Running() = before;
      HandleException();
    }
    LeaveIfForked();
    if (done_) CheckForgotten();
  }
  void Begin(pybind11::object returned);
  void End(pybind11::object result);
  std::vector<Call> TakeCalls() { return std::move(calls_); }
  // Call for each call as it is asked, in order.
  void NoteAsked(sim::AgentId agent, const llm::Request& request) {
    asked_.push_back({agent, request.function, request.kind});
  }

 private:
  struct MadeCall {
    pybind11::object reference;  // weak
    PyObject* call;              // only to compare
    pybind11::object type;
    pybind11::object asked;
    bool yielded = false;
  };

  static Steps*& Running();  // of this thread; null outside of steps
  void HandleException();
  void CheckForgotten() const;
  void Send(pybind11::handle value);
  void Throw(pybind11::handle error);
  void ReadYielded(pybind11::handle yielded);
  Call ReadYieldedItem(pybind11::handle item);
  Call ReadCall(pybind11::handle call);
  Call ReadTool(pybind11::handle tool);
  Call ReadAsk(pybind11::handle ask);
  Call ReadEmbed(pybind11::handle embed);
  pybind11::object MakeAnswer(size_t i, const llm::Completion& answer) const;
  pybind11::object MakeCallError(const std::vector<llm::Completion>& answers);

  Failure& failure_;
  pybind11::object generator_;
  pybind11::object result_;
  std::optional<FallBack> fall_back_;
  std::vector<Call> calls_;
  struct Asked {
    sim::AgentId agent;
    std::string function;
    llm::Kind kind;
  };
  std::vector<Asked> asked_;    // of the last yield
  std::vector<MadeCall> made_;  // in this step
  int failed_call_ = -1;        // the number of the last call whose error was raised
  bool is_list_ = false;        // whether the last yield was a list of calls
  bool done_ = false;
};

class ProceedSteps final : public Steps {
 public:
  ProceedSteps(const PythonWorld& world, const sim::View& view, Failure& failure);
  ~ProceedSteps() override { python_view_->Close(); }
  void Start(pybind11::handle world);
  std::vector<sim::Task<llm::Completion>> Ask(sim::Caller& caller);

 private:
  std::string Where() const override { return world_.Describe(view_.Self(), view_.Now()); }

  const PythonWorld& world_;
  const sim::View& view_;
  std::shared_ptr<PythonView> python_view_;
};

class ResolveSteps final : public Steps {
 public:
  ResolveSteps(const PythonWorld& world, sim::Step step, const std::vector<sim::Member>& members,
               sim::Commit& commit, Failure& failure);
  ~ResolveSteps() override { python_commit_->Close(); }
  // Without members, all of whom fell back, there is nothing to resolve.
  void Start(pybind11::handle world);
  std::vector<sim::Task<llm::Completion>> Ask(sim::Commit& commit);

 private:
  std::string Where() const override { return "resolve for " + world_.Describe(members_.front().id, step_); }

  const PythonWorld& world_;
  sim::Step step_;
  const std::vector<sim::Member>& members_;
  std::shared_ptr<PythonCommit> python_commit_;
};

}  // namespace throng::python
