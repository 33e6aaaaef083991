#include "python/world/commit.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "base/error.h"
#include "python/convert/convert.h"
#include "python/llm/completion.h"

namespace py = pybind11;

namespace throng::python {

PythonCommit::PythonCommit(const PythonWorld& world, sim::Step step, const std::vector<sim::Member>& members,
                           sim::Commit& commit)
    : world_(&world), step_(step), members_(members), commit_(&commit) {}

sim::Commit& PythonCommit::Get() const {
  if (commit_ == nullptr) {
    throw MakeError(ErrorCode::kInvalid, "a commit is valid only in the resolve that it was made for");
  }
  return *commit_;
}

PythonCommit::Draft& PythonCommit::DraftOf(sim::AgentId agent) {
  Get();  // the members live as long as the commit
  const auto known = drafts_.find(agent);
  if (known != drafts_.end()) return known->second;
  const auto member = std::find_if(members_.begin(), members_.end(),
                                   [&](const sim::Member& candidate) { return candidate.id == agent; });
  if (member == members_.end()) {
    throw MakeError(ErrorCode::kInvalid, "agent {} is written to, which is not a member of this cluster",
                    agent);
  }
  return drafts_[agent] = {member->body, member->mind};
}

py::str PythonCommit::Cell(py::handle pos) const {
  Get();  // the members live as long as the commit
  const sim::Pos at = world_->ToPos(pos, "Commit.cell: pos");
  const sim::Space& space = world_->GetSpace();
  for (const sim::Member& member : members_) {
    const auto* const intent = static_cast<const PythonIntent*>(member.intent.get());
    const int radius = world_->RulesOf(member.id).radius_p;
    if (intent != nullptr && space.Contains(at) && space.Within(member.body.pos, at, radius))
      return MakeText(intent->view.Cell(at));
  }
  throw MakeError(ErrorCode::kInvalid,
                  "the cluster of {} reads cell ({}, {}), but perceives only what is within the radius of a "
                  "member that is awake",
                  world_->Describe(members_.front().id, step_), at.x, at.y);
}

void PythonCommit::Move(py::handle agent, py::handle pos) {
  const sim::AgentId id = ToAgentId(agent);
  Draft& draft = DraftOf(id);
  sim::Body body = draft.body;
  body.pos = world_->ToPos(pos, "Commit.move: pos");
  Get().SetBody(id, body);
  draft.body = std::move(body);
}

void PythonCommit::SetStatus(py::handle agent, py::handle status) {
  const sim::AgentId id = ToAgentId(agent);
  Draft& draft = DraftOf(id);
  draft.body.status = ToText(status, "Commit.set_status: status");
  Get().SetBody(id, draft.body);
}

void PythonCommit::SetMind(py::handle agent, py::handle mind) {
  const sim::AgentId id = ToAgentId(agent);
  Draft& draft = DraftOf(id);
  draft.mind = std::make_shared<PlainMind>(mind, fmt::format("the mind of agent {}", id),
                                           AsPlain(draft.mind).GetFollowing());
  Get().SetMind(id, draft.mind);
}

void PythonCommit::SleepUntil(py::handle agent, py::handle until, bool alert) {
  const sim::AgentId id = ToAgentId(agent);
  const Sleep sleep = {CastTo<sim::Step>(until, "Commit.sleep: until", "a step"), alert};
  Draft& draft = DraftOf(id);
  draft.mind = std::make_shared<PlainMind>(AsPlain(draft.mind), sleep);
  Get().SetMind(id, draft.mind);
}

void PythonCommit::Write(py::handle pos, py::handle text) {
  Get().WriteCell(world_->ToPos(pos, "Commit.write: pos"), std::string(ToText(text, "Commit.write: text")));
}

void PythonCommit::AddEvent(py::handle agent, py::handle kind, py::handle text) {
  const sim::AgentId id = ToAgentId(agent);
  Get().AddEvent({id, std::string(ToText(kind, "Commit.event: kind")),
                  std::string(ToText(text, "Commit.event: text")), Get().CallerOf(id).LastCall()});
}

void PythonCommit::Birth(py::handle id, py::handle pos, py::handle status, py::handle mind,
                         py::handle follows) {
  const sim::AgentId child = ToAgentId(id);
  Get().Birth(child,
              {world_->ToPos(pos, "Commit.birth: pos"), std::string(ToText(status, "Commit.birth: status"))},
              std::make_shared<PlainMind>(mind, fmt::format("the mind of agent {}", child),
                                          world_->ReadFollowing(follows, child, "Commit.birth: follows")));
}

void PythonCommit::Remove(py::handle agent) { Get().Remove(ToAgentId(agent)); }

void PythonCommit::Announce(py::handle agent, py::handle text) {
  Get().Announce(ToAgentId(agent), std::string(ToText(text, "Commit.announce: text")));
}

py::object PythonCommit::AddPost(py::handle agent, py::handle text) {
  const sim::AgentId id = ToAgentId(agent);
  return world_->MakePostId(Get().AddPost(id, std::string(ToText(text, "Commit.post: text"))));
}

void PythonCommit::Like(py::handle agent, py::handle post, py::handle amount) {
  Get().Like(ToAgentId(agent), ToPostId(post, "Commit.like: post"),
             CastTo<int64_t>(amount, "Commit.like: amount", "a whole number"));
}

void PythonCommit::Send(py::handle agent, py::handle to, py::handle text) {
  const sim::AgentId id = ToAgentId(agent);
  Get().Send(id, ToAgentId(to), std::string(ToText(text, "Commit.send: text")));
}

void PythonCommit::SetFollowing(sim::AgentId agent, FollowingPtr follows, const char* kind,
                                sim::AgentId whom) {
  Draft& draft = DraftOf(agent);
  if (follows == AsPlain(draft.mind).GetFollowing()) return;
  draft.mind = std::make_shared<PlainMind>(AsPlain(draft.mind), std::move(follows));
  Get().SetMind(agent, draft.mind);
  Get().AddEvent({agent, kind, world_->AgentName(whom), Get().CallerOf(agent).LastCall()});
}

void PythonCommit::Follow(py::handle agent, py::handle whom) {
  const sim::AgentId id = ToAgentId(agent);
  const sim::AgentId other = world_->ToFollowed(whom, id, "Commit.follow");
  SetFollowing(id, AsPlain(DraftOf(id).mind).FollowingWith(other), "follow", other);
}

void PythonCommit::Unfollow(py::handle agent, py::handle whom) {
  const sim::AgentId id = ToAgentId(agent);
  const sim::AgentId other = world_->ToFollowed(whom, id, "Commit.unfollow");
  SetFollowing(id, AsPlain(DraftOf(id).mind).FollowingWithout(other), "unfollow", other);
}

py::object PythonCommit::Random() {
  Get();
  if (!random_) random_ = world_->MakeRandom(members_.front().id, step_, true);
  return random_;
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
      .def("cell", &PythonCommit::Cell, py::arg("pos"),
           "The text that was written there before this step, '' if nothing was; pos lies within the "
           "perception "
           "radius of a member that is awake.")
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
          py::arg("mind") = py::none(), py::arg("follows") = py::tuple(),
          "An id of World.agents() that was nobody's so far becomes an agent, within max_velocity of where a "
          "member started; it does the next step. Every parent needs ids of its own for its children.")
      .def("remove", &PythonCommit::Remove, py::arg("agent"), "This is the last step of a member.")
      .def("announce", &PythonCommit::Announce, py::arg("agent"), py::arg("text"),
           "All agents hear it from World.horizon steps after this one on.")
      .def("post", &PythonCommit::AddPost, py::arg("agent"), py::arg("text"),
           "The followers of a member read it from World.post_latency steps after this one on. Returns its "
           "throng.PostId.")
      .def("like", &PythonCommit::Like, py::arg("agent"), py::arg("post"), py::arg("amount") = 1,
           "Adds to the likes of any post that may have been read, a throng.Post or its id, which all see "
           "World.horizon steps after this one. A negative amount takes likes away.")
      .def("send", &PythonCommit::Send, py::arg("agent"), py::arg("to"), py::arg("text"),
           "A message to anybody, near or far, who gets it World.horizon steps after this one.")
      .def("follow", &PythonCommit::Follow, py::arg("agent"), py::arg("whom"),
           "From its next step on, a member reads the posts of this agent too.")
      .def("unfollow", &PythonCommit::Unfollow, py::arg("agent"), py::arg("whom"),
           "From its next step on, a member does not read this agent's posts any more.")
      .def_property_readonly("random", &PythonCommit::Random,
                             "A random.Random of this cluster and step: the same numbers in every mode.");
}

}  // namespace throng::python
