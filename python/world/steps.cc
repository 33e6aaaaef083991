#include "python/world/steps.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "engine/sampling/sampler.h"
#include "python/convert/convert.h"
#include "python/llm/completion.h"

namespace py = pybind11;

namespace throng::python {

namespace {

std::vector<llm::UsedMemory> ReadMemories(const py::object& memories) {
  constexpr const char* kAllowed = "a list of throng.Memory or (step, text)";
  if (!py::isinstance<py::sequence>(memories) || py::isinstance<py::str>(memories)) {
    ThrowWrongType("Call.memories", memories, kAllowed);
  }
  std::vector<llm::UsedMemory> read;
  for (const py::handle memory : memories) {
    const bool is_tuple = py::isinstance<py::tuple>(memory);
    const size_t size = is_tuple ? py::len(memory) : 0;
    if (size < 2 || size > 3) ThrowWrongType("Call.memories", memory, kAllowed);
    const auto parts = py::reinterpret_borrow<py::tuple>(memory);
    llm::UsedMemory& used = read.emplace_back();
    used.step = CastTo<int>(parts[0], "Call.memories: step", "an integer");
    used.text = CastTo<std::string>(parts[1], "Call.memories: text", "a str");
    if (size == 3 && !parts[2].is_none()) {
      constexpr const char* kNumber = "an integer, 0 or more, or None";
      used.number = CastTo<int64_t>(parts[2], "Call.memories: number", kNumber);
      if (used.number < 0) ThrowWrongType("Call.memories: number", parts[2], kNumber);
    }
  }
  return read;
}

bool HasFailed(const llm::Completion& answer) {
  return answer.error.has_value() || answer.finish == llm::FinishReason::kFailed ||
         answer.finish == llm::FinishReason::kUnknown;
}

std::string WhyFailed(const llm::Completion& answer) {
  return answer.error ? answer.error->what() : answer.text;
}

const char* CodeOf(const llm::Completion& failed) {
  if (failed.error) return ErrorCodeName(failed.error->Code());
  return failed.finish == llm::FinishReason::kUnknown ? "unknown" : "failed";
}

}  // namespace

// Steps

Steps*& Steps::Running() {
  thread_local Steps* running = nullptr;
  return running;
}

void Steps::NoteCall(py::handle call, py::object asked) {
  Steps* const running = Running();
  if (running == nullptr) return;
  auto reference = py::reinterpret_steal<py::object>(PyWeakref_NewRef(call.ptr(), nullptr));
  if (!reference) throw py::error_already_set();
  running->made_.push_back({std::move(reference), call.ptr(), py::type::of(call), std::move(asked)});
}

// Calls that somebody still holds may be meant for later.
void Steps::CheckForgotten() const {
  for (const MadeCall& made : made_) {
    if (made.yielded || PyWeakref_GetObject(made.reference.ptr()) != Py_None) continue;
    throw MakeError(ErrorCode::kInvalid,
                    "a throng.{0} was made but never yielded, so nobody asked {1}; write `answer = yield "
                    "throng.{0}(...)`",
                    ToUtf8(made.type.attr("__name__")), Show(made.asked));
  }
}

void Steps::HandleException() {
  try {
    throw;
  } catch (const py::error_already_set& raised) {
    if (!raised.matches(py::module_::import("throng.calls").attr("CallError"))) failure_.Keep(Where());
    const py::object& error = raised.value();
    fall_back_.emplace();
    const py::object agent = error.attr("agent");
    if (!agent.is_none()) fall_back_->agent = ToAgentId(agent);
    fall_back_->call = failed_call_;
    const std::string function = ToUtf8(error.attr("function"));
    fall_back_->text = (function.empty() ? "" : function + ": ") + ToUtf8(py::str(error));
    generator_ = {};
    result_ = py::none();
    made_.clear();
    done_ = true;
  }
}

void Steps::Begin(py::object returned) {
  if (PyGen_Check(returned.ptr())) {
    generator_ = std::move(returned);
    Send(py::none());
  } else {
    End(std::move(returned));
  }
}

void Steps::End(py::object result) {
  if (PyCoro_CheckExact(result.ptr()) || PyAsyncGen_CheckExact(result.ptr())) {
    result.attr(PyCoro_CheckExact(result.ptr()) ? "close" : "aclose")();
    throw MakeError(ErrorCode::kInvalid,
                    "it is an `async def`; a world's methods are ordinary functions, which yield calls");
  }
  generator_ = {};
  result_ = std::move(result);
  done_ = true;
}

void Steps::GoOn(std::vector<llm::Completion> answers) {
  Guard([&] {
    if (std::any_of(answers.begin(), answers.end(), HasFailed)) return Throw(MakeCallError(answers));
    py::list values;
    for (size_t i = 0; i < answers.size(); ++i) values.append(MakeAnswer(i, answers[i]));
    Send(is_list_ ? py::object(values) : py::object(values[0]));
  });
}

// The answer to what was asked at this place of the last yield.
py::object Steps::MakeAnswer(size_t i, const llm::Completion& answer) const {
  if (asked_[i].kind == llm::Kind::kPerson) return MakeText(answer.text);
  if (asked_[i].kind != llm::Kind::kModel) {
    return py::module_::import("json").attr("loads")(MakeText(answer.text));
  }
  return MakeCompletion(answer.text, answer.finish, answer.prompt_tokens, answer.cached_prompt_tokens,
                        answer.output_tokens);
}

py::object Steps::MakeCallError(const std::vector<llm::Completion>& answers) {
  py::list completions;
  py::list errors;
  std::optional<size_t> first;  // that failed
  for (size_t i = 0; i < answers.size(); ++i) {
    const bool failed = HasFailed(answers[i]);
    if (failed && !first) first = i;
    errors.append(failed ? MakeText(WhyFailed(answers[i])) : MakeText(""));
    completions.append(failed ? py::object(py::none()) : MakeAnswer(i, answers[i]));
  }
  using namespace py::literals;
  failed_call_ = sim::CallOf(answers[*first]);
  const auto& [agent, function, kind] = asked_[*first];
  const py::object error_class = kind == llm::Kind::kModel
                                     ? py::module_::import("throng.calls").attr("CallError")
                                     : py::module_::import("throng.effects").attr("ToolError");
  return error_class(errors[*first], "code"_a = CodeOf(answers[*first]), "answers"_a = completions,
                     "errors"_a = errors, "agent"_a = agent, "function"_a = function);
}

void Steps::Send(py::handle value) {
  PyObject* out = nullptr;
  const PySendResult sent = PyIter_Send(generator_.ptr(), value.ptr(), &out);
  auto result = py::reinterpret_steal<py::object>(out);
  if (sent == PYGEN_ERROR) throw py::error_already_set();
  if (sent == PYGEN_NEXT) {
    ReadYielded(result);
  } else {
    End(std::move(result));
  }
}

void Steps::Throw(py::handle error) {
  py::object yielded;
  try {
    yielded = generator_.attr("throw")(error);
  } catch (const py::error_already_set& raised) {
    if (!raised.matches(PyExc_StopIteration)) throw;
    End(raised.value().attr("value"));
    return;
  }
  ReadYielded(yielded);
}

void Steps::ReadYielded(py::handle yielded) {
  is_list_ = py::isinstance<py::list>(yielded) || py::isinstance<py::tuple>(yielded);
  calls_.clear();
  asked_.clear();
  if (!is_list_) {
    calls_.push_back(ReadYieldedItem(yielded));
    return;
  }
  for (const py::handle item : yielded) calls_.push_back(ReadYieldedItem(item));
}

Steps::Call Steps::ReadYieldedItem(py::handle item) {
  // An address may be used again: the last call made there is meant.
  const auto made = std::find_if(made_.rbegin(), made_.rend(),
                                 [&](const MadeCall& known) { return known.call == item.ptr(); });
  if (made != made_.rend()) made->yielded = true;
  if (py::isinstance(item, py::module_::import("throng.calls").attr("Call"))) return ReadCall(item);
  if (py::isinstance(item, py::module_::import("throng.effects").attr("Tool"))) return ReadTool(item);
  if (py::isinstance(item, py::module_::import("throng.effects").attr("Ask"))) return ReadAsk(item);
  if (py::isinstance(item, py::module_::import("throng.effects").attr("Embed"))) return ReadEmbed(item);
  ThrowWrongType("what was yielded", item, "a throng.Call, Tool, Ask or Embed, or a list of them");
}

Steps::Call Steps::ReadTool(py::handle tool) {
  Call read;
  const py::object agent = tool.attr("agent");
  if (!agent.is_none()) read.agent = ToAgentId(agent);
  const auto name = Field<std::string>(tool, "Tool", "name", "a str");
  const py::object arguments = tool.attr("arguments");
  if (!py::isinstance<py::dict>(arguments)) ThrowWrongType("Tool.arguments", arguments, "a dict");
  const py::object json =
      py::module_::import("throng.effects").attr("dump")(arguments, MakeText("Tool.arguments of " + name));
  read.request = sim::ToolRequest(name, CastTo<std::string>(json, "Tool.arguments", "Unicode text"));
  return read;
}

Steps::Call Steps::ReadEmbed(py::handle embed) {
  Call read;
  const py::object agent = embed.attr("agent");
  if (!agent.is_none()) read.agent = ToAgentId(agent);
  py::dict arguments;
  arguments["texts"] = ToTexts(embed.attr("texts"), "Embed.texts");
  const py::object json = py::module_::import("throng.effects").attr("dump")(arguments, "Embed.texts");
  read.request = sim::ToolRequest("embed", CastTo<std::string>(json, "Embed.texts", "Unicode text"));
  read.request.kind = llm::Kind::kEmbedding;
  return read;
}

// A person should not be asked what may turn out otherwise, but may be asked again.
Steps::Call Steps::ReadAsk(py::handle ask) {
  Call read;
  const py::object agent = ask.attr("agent");
  if (!agent.is_none()) read.agent = ToAgentId(agent);
  llm::Request& request = read.request;
  request.kind = llm::Kind::kPerson;
  request.effect = llm::Effect::kIdempotent;
  request.function = "person";
  request.prompt = Field<std::string>(ask, "Ask", "question", "a str");
  request.constraint.choices = ToTexts(ask.attr("choices"), "Ask.choices");
  request.max_tokens = 0;
  if (!ask.attr("timeout").is_none()) {
    request.patience_s = Field<double>(ask, "Ask", "timeout", "a number of seconds, or None");
    request.otherwise = Field<std::string>(ask, "Ask", "default", "a str");
  }
  return read;
}

Steps::Call Steps::ReadCall(py::handle call) {
  const auto text = [&](const char* name) { return Field<std::string>(call, "Call", name, "a str"); };
  const auto number = [&](const char* name) { return Field<float>(call, "Call", name, "a number"); };
  const auto count = [&](const char* name) { return Field<int>(call, "Call", name, "an integer"); };
  const auto texts = [&](const char* name) { return ToTexts(call.attr(name), std::string("Call.") + name); };
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
  request.memories = ReadMemories(call.attr("memories"));
  // Whichever backend answers: what is out of range would be asked in vain.
  if (request.max_tokens < 1)
    throw MakeError(ErrorCode::kInvalid, "Call.max_tokens is {}, allowed is 1 or more", request.max_tokens);
  engine::ValidateSampling(request.sampling);
  return read;
}

// ProceedSteps

ProceedSteps::ProceedSteps(const PythonWorld& world, const sim::View& view, Failure& failure)
    : Steps(failure), world_(world), view_(view), python_view_(std::make_shared<PythonView>(world, view)) {}

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
    NoteAsked(view_.Self(), call.request);
    asked.push_back(caller.Ask(std::move(call.request)));
  }
  return asked;
}

// ResolveSteps

ResolveSteps::ResolveSteps(const PythonWorld& world, sim::Step step, const std::vector<sim::Member>& members,
                           sim::Commit& commit, Failure& failure)
    : Steps(failure),
      world_(world),
      step_(step),
      members_(members),
      python_commit_(std::make_shared<PythonCommit>(world, step, members, commit)) {}

void ResolveSteps::Start(py::handle world) {
  Guard([&] {
    py::list agents;
    for (const sim::Member& member : members_) {
      const auto* const intent = static_cast<const PythonIntent*>(member.intent.get());
      if (intent != nullptr && intent->fall_back) continue;
      agents.append(world_.MakeAgent(member.id, member.body, member.mind,
                                     intent == nullptr ? py::handle(Py_None) : py::handle(intent->value)));
    }
    if (agents.empty()) return End(py::none());
    Begin(world.attr("resolve")(step_, agents, python_commit_));
  });
}

std::vector<sim::Task<llm::Completion>> ResolveSteps::Ask(sim::Commit& commit) {
  std::vector<sim::Task<llm::Completion>> asked;
  for (Call& call : TakeCalls()) {
    if (!call.agent.has_value()) {
      throw MakeError(ErrorCode::kInvalid, "a call in resolve needs to say who asks: Call(..., agent=...)");
    }
    NoteAsked(*call.agent, call.request);
    asked.push_back(commit.CallerOf(*call.agent).Ask(std::move(call.request)));
  }
  return asked;
}

}  // namespace throng::python
