#include "python/module/change.h"

#include <memory>

#include "base/error.h"
#include "python/convert/convert.h"
#include "python/llm/completion.h"

namespace py = pybind11;

namespace throng::python {

sim::Change& PythonChange::Get() const {
  if (change_ == nullptr) {
    throw MakeError(ErrorCode::kInvalid, "a change is valid only in the intervene that it was made for");
  }
  return *change_;
}

const PlainMind& PythonChange::MindOf(sim::AgentId agent) const {
  Get().BodyOf(agent);  // throws if the agent is not present
  return AsPlain(Get().MindOf(agent));
}

bool PythonChange::IsPresent(py::handle agent) const { return Get().IsPresent(ToAgentId(agent)); }

py::object PythonChange::GetAgent(py::handle agent) const {
  const sim::AgentId id = ToAgentId(agent);
  const sim::Body& body = Get().BodyOf(id);  // throws if the agent is not present
  return world_->MakeAgent(id, body, Get().MindOf(id), py::none());
}

py::str PythonChange::Cell(py::handle pos) const {
  return MakeText(Get().Cell(world_->ToPos(pos, "Change.cell: pos")));
}

void PythonChange::SetMind(py::handle agent, py::handle mind) {
  const sim::AgentId id = ToAgentId(agent);
  const PlainMind& before = MindOf(id);
  Get().SetMind(
      id, std::make_shared<PlainMind>(mind, fmt::format("the mind of agent {}", id), before.GetFollowing()));
}

void PythonChange::Write(py::handle pos, py::handle text) {
  Get().WriteCell(world_->ToPos(pos, "Change.write: pos"), std::string(ToText(text, "Change.write: text")));
}

void PythonChange::Add(py::handle agent, py::handle pos, py::handle status, py::handle mind,
                       py::handle follows) {
  const sim::AgentId id = ToAgentId(agent);
  Get().Add(id, {world_->ToPos(pos, "Change.add: pos"), std::string(ToText(status, "Change.add: status"))},
            std::make_shared<PlainMind>(mind, fmt::format("the mind of agent {}", id),
                                        world_->ReadFollowing(follows, id, "Change.add: follows")));
}

void PythonChange::Remove(py::handle agent) { Get().Remove(ToAgentId(agent)); }

void PythonChange::Announce(py::handle text) {
  Get().Announce(std::string(ToText(text, "Change.announce: text")));
}

void PythonChange::Follow(py::handle agent, py::handle whom) {
  const sim::AgentId id = ToAgentId(agent);
  const PlainMind& mind = MindOf(id);
  const sim::AgentId other = world_->ToFollowed(whom, id, "Change.follow");
  Get().SetMind(id, std::make_shared<PlainMind>(mind, mind.FollowingWith(other)));
}

void PythonChange::Unfollow(py::handle agent, py::handle whom) {
  const sim::AgentId id = ToAgentId(agent);
  const PlainMind& mind = MindOf(id);
  const sim::AgentId other = world_->ToFollowed(whom, id, "Change.unfollow");
  Get().SetMind(id, std::make_shared<PlainMind>(mind, mind.FollowingWithout(other)));
}

void AddChange(py::module_& module) {
  py::class_<PythonChange, std::shared_ptr<PythonChange>>(
      module, "Change",
      "What World.intervene reads and changes: anything, while no agent runs.\n\n"
      "    def intervene(self, change, what):\n"
      "        if what == 'Ben leaves' and change.is_present(1):\n"
      "            change.remove(1)")
      .def_property_readonly("step", &PythonChange::Now, "All agents have done the steps before this one.")
      .def("is_present", &PythonChange::IsPresent, py::arg("agent"),
           "Whether an id is of an agent who is there.")
      .def("agent", &PythonChange::GetAgent, py::arg("id"),
           "A throng.Agent, with its mind; it must be there.")
      .def("cell", &PythonChange::Cell, py::arg("pos"), "The text that was written there, '' if nothing was.")
      .def("set_mind", &PythonChange::SetMind, py::arg("agent"), py::arg("mind"),
           "What an agent knows from now on.")
      .def("write", &PythonChange::Write, py::arg("pos"), py::arg("text"), "Writes into any cell.")
      .def("add", &PythonChange::Add, py::arg("id"), py::arg("pos"), py::arg("status") = "",
           py::arg("mind") = py::none(), py::arg("follows") = py::tuple(),
           "An id of World.agents() that is free now becomes an agent, anywhere.")
      .def("remove", &PythonChange::Remove, py::arg("agent"), "The agent is not there any more.")
      .def("announce", &PythonChange::Announce, py::arg("text"), "All agents hear it from this step on.")
      .def("follow", &PythonChange::Follow, py::arg("agent"), py::arg("whom"),
           "From this step on, an agent reads the posts of another one too.")
      .def("unfollow", &PythonChange::Unfollow, py::arg("agent"), py::arg("whom"),
           "From this step on, an agent does not read another one's posts any more.");
}

}  // namespace throng::python
