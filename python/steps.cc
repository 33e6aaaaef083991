#include "python/steps.h"

#include <pybind11/stl.h>

#include <utility>

#include "base/error.h"
#include "python/completion.h"
#include "python/convert.h"

namespace py = pybind11;

namespace throng::python {

// PythonView

const sim::View& PythonView::Get() const {
  if (view_ == nullptr) {
    throw MakeError(ErrorCode::kInvalid, "a view is valid only in the step that it was made for");
  }
  return *view_;
}

py::list PythonView::Neighbours() const {
  py::list neighbours;
  for (const sim::Neighbour& neighbour : Get().Neighbours())
    neighbours.append(world_->MakeNeighbour(neighbour));
  return neighbours;
}

py::str PythonView::Cell(py::handle pos) const {
  return MakeText(Get().Cell(world_->ToPos(pos, "View.cell: pos")));
}

py::list PythonView::Announced(size_t known) const {
  py::list announced;
  for (const sim::Announcement& announcement : Get().Announced(known)) {
    announced.append(py::make_tuple(announcement.from, MakeText(announcement.text)));
  }
  return announced;
}

py::object PythonView::Random() {
  if (!random_) random_ = world_->MakeRandom(Get().Self(), Get().Now(), false);
  return random_;
}

// PythonCommit

PythonCommit::PythonCommit(const PythonWorld& world, sim::Step step, const std::vector<sim::Member>& members,
                           sim::Commit& commit)
    : world_(&world), step_(step), commit_(&commit), first_(members.front().id) {
  for (const sim::Member& member : members) bodies_[member.id] = member.body;
}

sim::Commit& PythonCommit::Get() const {
  if (commit_ == nullptr) {
    throw MakeError(ErrorCode::kInvalid, "a commit is valid only in the resolve that it was made for");
  }
  return *commit_;
}

// SetBody refuses agents that are not members; bodies_ then has one entry too many, but the run has ended.
void PythonCommit::Move(py::handle agent, py::handle pos) {
  const sim::AgentId id = ToAgentId(agent);
  sim::Body body = bodies_[id];
  body.pos = world_->ToPos(pos, "Commit.move: pos");
  Get().SetBody(id, body);
  bodies_[id] = std::move(body);
}

void PythonCommit::SetStatus(py::handle agent, const std::string& status) {
  const sim::AgentId id = ToAgentId(agent);
  sim::Body body = bodies_[id];
  body.status = status;
  Get().SetBody(id, body);
  bodies_[id] = std::move(body);
}

void PythonCommit::SetMind(py::handle agent, py::handle mind) {
  const sim::AgentId id = ToAgentId(agent);
  Get().SetMind(id, std::make_shared<PlainMind>(mind, fmt::format("the mind of agent {}", id)));
}

void PythonCommit::Write(py::handle pos, const std::string& text) {
  Get().WriteCell(world_->ToPos(pos, "Commit.write: pos"), text);
}

void PythonCommit::AddEvent(py::handle agent, const std::string& kind, const std::string& text) {
  const sim::AgentId id = ToAgentId(agent);
  Get().AddEvent({id, kind, text, Get().CallerOf(id).LastCall()});
}

void PythonCommit::Birth(py::handle id, py::handle pos, const std::string& status, py::handle mind) {
  const sim::AgentId child = ToAgentId(id);
  Get().Birth(child, {world_->ToPos(pos, "Commit.birth: pos"), status},
              std::make_shared<PlainMind>(mind, fmt::format("the mind of agent {}", child)));
}

void PythonCommit::Remove(py::handle agent) { Get().Remove(ToAgentId(agent)); }

void PythonCommit::Announce(py::handle agent, const std::string& text) {
  Get().Announce(ToAgentId(agent), text);
}

py::object PythonCommit::Random() {
  Get();
  if (!random_) random_ = world_->MakeRandom(first_, step_, true);
  return random_;
}

// Steps

void Steps::Begin(py::object returned) {
  if (PyGen_Check(returned.ptr())) {
    generator_ = std::move(returned);
    Send(py::none());
  } else {
    result_ = std::move(returned);
    done_ = true;
  }
}

void Steps::GoOn(std::vector<llm::Completion> answers) {
  Guard([&] {
    py::list completions;
    for (const llm::Completion& answer : answers) {
      completions.append(MakeCompletion(answer.text, answer.finish, answer.prompt_tokens,
                                        answer.cached_prompt_tokens, answer.output_tokens));
    }
    Send(is_list_ ? py::object(completions) : py::object(completions[0]));
  });
}

void Steps::Send(py::handle value) {
  PyObject* out = nullptr;
  const PySendResult sent = PyIter_Send(generator_.ptr(), value.ptr(), &out);
  const auto result = py::reinterpret_steal<py::object>(out);
  if (sent == PYGEN_ERROR) throw py::error_already_set();
  if (sent == PYGEN_NEXT) {
    ReadYielded(result);
  } else {
    result_ = result;
    generator_ = {};
    done_ = true;
  }
}

void Steps::ReadYielded(py::handle yielded) {
  is_list_ = py::isinstance<py::list>(yielded) || py::isinstance<py::tuple>(yielded);
  calls_.clear();
  if (!is_list_) {
    calls_.push_back(ReadCall(yielded));
    return;
  }
  for (const py::handle call : yielded) calls_.push_back(ReadCall(call));
}

Steps::Call Steps::ReadCall(py::handle call) {
  if (!py::isinstance(call, py::module_::import("throng.world").attr("Call"))) {
    ThrowWrongType("what was yielded", call, "a throng.Call or a list of them");
  }
  const auto text = [&](const char* name) { return Field<std::string>(call, "Call", name, "a str"); };
  const auto number = [&](const char* name) { return Field<float>(call, "Call", name, "a number"); };
  const auto count = [&](const char* name) { return Field<int>(call, "Call", name, "an integer"); };
  const auto texts = [&](const char* name) {
    return Field<std::vector<std::string>>(call, "Call", name, "a list of str");
  };
  Call read;
  const py::object agent = call.attr("agent");
  if (!agent.is_none()) read.agent = ToAgentId(agent);
  llm::Request& request = read.request;
  request.prompt = text("prompt");
  request.system = text("system");
  request.function = text("function");
  request.constraint.choices = texts("choices");
  request.constraint.json_schema = SchemaText(call.attr("json_schema"));
  request.stop = texts("stop");
  request.max_tokens = count("max_tokens");
  request.sampling.temperature = number("temperature");
  request.sampling.top_k = count("top_k");
  request.sampling.top_p = number("top_p");
  request.sampling.min_p = number("min_p");
  request.sampling.repetition_penalty = number("repetition_penalty");
  return read;
}

// ProceedSteps

ProceedSteps::ProceedSteps(const PythonWorld& world, const sim::View& view, Failure& failure)
    : Steps(world.Describe(view.Self(), view.Now()), failure),
      world_(world),
      view_(view),
      python_view_(std::make_shared<PythonView>(world, view)) {}

void ProceedSteps::Start(py::handle world) {
  Guard([&] {
    const py::object agent = world_.MakeAgent(view_.Self(), view_.SelfBody(), view_.SelfMind(), py::none());
    Begin(world.attr("proceed")(python_view_, agent));
  });
}

std::vector<sim::Task<llm::Completion>> ProceedSteps::Ask(sim::Caller& caller) {
  std::vector<sim::Task<llm::Completion>> asked;
  for (Call& call : TakeCalls()) {
    if (call.agent.value_or(view_.Self()) != view_.Self()) {
      throw MakeError(ErrorCode::kInvalid, "a call by agent {} in the step of agent {}", *call.agent,
                      view_.Self());
    }
    asked.push_back(caller.Ask(std::move(call.request)));
  }
  return asked;
}

// ResolveSteps

ResolveSteps::ResolveSteps(const PythonWorld& world, sim::Step step, const std::vector<sim::Member>& members,
                           sim::Commit& commit, Failure& failure)
    : Steps("resolve for " + world.Describe(members.front().id, step), failure),
      world_(world),
      step_(step),
      members_(members),
      python_commit_(std::make_shared<PythonCommit>(world, step, members, commit)) {}

void ResolveSteps::Start(py::handle world) {
  Guard([&] {
    py::list agents;
    for (const sim::Member& member : members_) {
      const auto& intent = static_cast<const PythonIntent&>(*member.intent);
      agents.append(world_.MakeAgent(member.id, member.body, member.mind, intent.value));
    }
    Begin(world.attr("resolve")(step_, agents, python_commit_));
  });
}

std::vector<sim::Task<llm::Completion>> ResolveSteps::Ask(sim::Commit& commit) {
  std::vector<sim::Task<llm::Completion>> asked;
  for (Call& call : TakeCalls()) {
    if (!call.agent.has_value()) {
      throw MakeError(ErrorCode::kInvalid, "a call in resolve needs to say who asks: Call(..., agent=...)");
    }
    asked.push_back(commit.CallerOf(*call.agent).Ask(std::move(call.request)));
  }
  return asked;
}

}  // namespace throng::python
