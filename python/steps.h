// Runs one step of Python code: proceed of an agent, or resolve of a cluster, as a generator that yields
// calls; and the objects through which that code reads and writes.
#pragma once

#include <pybind11/pybind11.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "llm/llm.h"
#include "python/python_error.h"
#include "python/world.h"
#include "sim/task.h"
#include "sim/world.h"

namespace throng::python {

// throng.View. Python code may keep it longer than it is valid, so it is closed when its step ends.
class PythonView {
 public:
  PythonView(const PythonWorld& world, const sim::View& view) : world_(&world), view_(&view) {}
  void Close() { view_ = nullptr; }

  sim::Step Now() const { return Get().Now(); }
  pybind11::list Neighbours() const;
  pybind11::str Cell(pybind11::handle pos) const;
  pybind11::list Announced(size_t known) const;
  pybind11::object Random();

 private:
  const sim::View& Get() const;

  const PythonWorld* world_;
  const sim::View* view_;
  pybind11::object random_;  // null until first used
};

// throng.Commit. Python code may keep it longer than it is valid, so it is closed when its step ends.
class PythonCommit {
 public:
  PythonCommit(const PythonWorld& world, sim::Step step, const std::vector<sim::Member>& members,
               sim::Commit& commit);
  void Close() { commit_ = nullptr; }

  sim::Step Now() const { return step_; }
  void Move(pybind11::handle agent, pybind11::handle pos);
  void SetStatus(pybind11::handle agent, const std::string& status);
  void SetMind(pybind11::handle agent, pybind11::handle mind);
  void Write(pybind11::handle pos, const std::string& text);
  void AddEvent(pybind11::handle agent, const std::string& kind, const std::string& text);
  void Birth(pybind11::handle id, pybind11::handle pos, const std::string& status, pybind11::handle mind);
  void Remove(pybind11::handle agent);
  void Announce(pybind11::handle agent, const std::string& text);
  pybind11::object Random();

 private:
  sim::Commit& Get() const;

  const PythonWorld* world_;
  sim::Step step_;
  sim::Commit* commit_;
  sim::AgentId first_;                        // id of the first member
  std::map<sim::AgentId, sim::Body> bodies_;  // as written so far
  pybind11::object random_;
};

// Drives a generator. It yields a call or a list of calls, and is resumed with the answer or the list of
// answers. A function that does not yield has returned its result at once.
class Steps {
 public:
  Steps(std::string where, Failure& failure) : where_(std::move(where)), failure_(failure) {}
  Steps(const Steps&) = delete;
  Steps& operator=(const Steps&) = delete;

  bool Done() const { return done_; }
  void GoOn(std::vector<llm::Completion> answers);
  pybind11::object TakeResult() { return std::move(result_); }

 protected:
  struct Call {
    std::optional<sim::AgentId> agent;  // the asking agent, if the call names it
    llm::Request request;
  };

  // Runs code that may raise; its exceptions stop the run.
  template <typename Code>
  void Guard(const Code& code) {
    try {
      code();
    } catch (...) {
      failure_.Keep(where_);
    }
  }
  void Begin(pybind11::object returned);
  std::vector<Call> TakeCalls() { return std::move(calls_); }

 private:
  void Send(pybind11::handle value);
  void ReadYielded(pybind11::handle yielded);
  static Call ReadCall(pybind11::handle call);

  std::string where_;
  Failure& failure_;
  pybind11::object generator_;
  pybind11::object result_;
  std::vector<Call> calls_;
  bool is_list_ = false;  // whether the last yield was a list of calls
  bool done_ = false;
};

class ProceedSteps final : public Steps {
 public:
  ProceedSteps(const PythonWorld& world, const sim::View& view, Failure& failure);
  ~ProceedSteps() { python_view_->Close(); }
  void Start(pybind11::handle world);
  std::vector<sim::Task<llm::Completion>> Ask(sim::Caller& caller);

 private:
  const PythonWorld& world_;
  const sim::View& view_;
  std::shared_ptr<PythonView> python_view_;
};

class ResolveSteps final : public Steps {
 public:
  ResolveSteps(const PythonWorld& world, sim::Step step, const std::vector<sim::Member>& members,
               sim::Commit& commit, Failure& failure);
  ~ResolveSteps() { python_commit_->Close(); }
  void Start(pybind11::handle world);
  std::vector<sim::Task<llm::Completion>> Ask(sim::Commit& commit);

 private:
  const PythonWorld& world_;
  sim::Step step_;
  const std::vector<sim::Member>& members_;
  std::shared_ptr<PythonCommit> python_commit_;
};

}  // namespace throng::python
