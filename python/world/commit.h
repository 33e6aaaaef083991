// throng.Commit: what a cluster's code writes in a step.
#pragma once

#include <pybind11/pybind11.h>

#include <map>
#include <vector>

#include "python/world/world.h"
#include "sim/world.h"

namespace throng::python {

// Python code may keep it longer than it is valid, so it is closed when its step ends.
class PythonCommit {
 public:
  PythonCommit(const PythonWorld& world, sim::Step step, const std::vector<sim::Member>& members,
               sim::Commit& commit);
  void Close() { commit_ = nullptr; }

  sim::Step Now() const { return step_; }
  pybind11::str Cell(pybind11::handle pos) const;
  void Move(pybind11::handle agent, pybind11::handle pos);
  void SetStatus(pybind11::handle agent, pybind11::handle status);
  void SetMind(pybind11::handle agent, pybind11::handle mind);
  void SleepUntil(pybind11::handle agent, pybind11::handle until, bool alert);
  void Write(pybind11::handle pos, pybind11::handle text);
  void AddEvent(pybind11::handle agent, pybind11::handle kind, pybind11::handle text);
  void Birth(pybind11::handle id, pybind11::handle pos, pybind11::handle status, pybind11::handle mind,
             pybind11::handle follows);
  void Remove(pybind11::handle agent);
  void Announce(pybind11::handle agent, pybind11::handle text);
  pybind11::object AddPost(pybind11::handle agent, pybind11::handle text);
  void Like(pybind11::handle agent, pybind11::handle post, pybind11::handle amount);
  void Send(pybind11::handle agent, pybind11::handle to, pybind11::handle text);
  void Follow(pybind11::handle agent, pybind11::handle whom);
  void Unfollow(pybind11::handle agent, pybind11::handle whom);
  pybind11::object Random();

 private:
  struct Draft {  // a member as written so far
    sim::Body body;
    sim::MindPtr mind;
  };
  sim::Commit& Get() const;
  Draft& DraftOf(sim::AgentId agent);  // throws kInvalid unless it is a member
  // Adds an event of this kind if that changes whom the member follows.
  void SetFollowing(sim::AgentId agent, FollowingPtr follows, const char* kind, sim::AgentId whom);

  const PythonWorld* world_;
  sim::Step step_;
  const std::vector<sim::Member>& members_;
  sim::Commit* commit_;
  std::map<sim::AgentId, Draft> drafts_;
  pybind11::object random_;
};

void AddCommit(pybind11::module_& module);

}  // namespace throng::python
