#include "serve/tools/chat_turn.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "base/text/trim.h"
#include "llm/tools/tool_text.h"

namespace throng::serve {
namespace {

using Form = llm::AnswerForm;

constexpr std::array<std::string_view, 6> kEfforts = {"none", "minimal", "low", "medium", "high", "xhigh"};

// Templates read how much to think, or whether.
void SetEffort(const model::ChatTemplate& chat_template, bool has_thoughts, const ThoughtRequest& thoughts,
               model::ChatInput& chat) {
  const auto set = [&](const char* variable, Json value) {
    if (chat.variables.contains(variable)) {
      throw BadField(thoughts.effort_field, "invalid_value", "chat_template_kwargs.{} says it already",
                     variable);
    }
    chat.variables[variable] = std::move(value);
  };
  if (thoughts.enabled) {
    const bool may_switch = chat_template.Mentions("enable_thinking");
    if (may_switch) set("enable_thinking", *thoughts.enabled);
    if (may_switch || *thoughts.enabled == has_thoughts) return;
    throw BadField(thoughts.effort_field, "unsupported_parameter", "the model {}",
                   has_thoughts ? "always thinks: its chat template does not read enable_thinking"
                                : "does not think: its chat template has no thoughts");
  }
  if (!thoughts.effort) return;
  const std::string& effort = *thoughts.effort;
  if (std::ranges::find(kEfforts, effort) == kEfforts.end())
    FailField(thoughts.effort_field, effort, "none, minimal, low, medium, high or xhigh");
  if (chat_template.Mentions("reasoning_effort")) {
    set("reasoning_effort", effort);
  } else if (chat_template.Mentions("enable_thinking")) {
    set("enable_thinking", effort != "none");
  } else {
    throw BadField(thoughts.effort_field, "unsupported_parameter",
                   "the chat template of this model reads neither reasoning_effort nor enable_thinking");
  }
}

constexpr std::string_view kProbeWord = "quokka";

// Whether the template shows the word in a message, which comes first or after the user's; nothing if it
// refuses the chat.
std::optional<bool> Shows(const model::ChatTemplate& chat_template, const Json& message) {
  model::ChatInput probe;
  if (message["role"] != "user") probe.messages.push_back({{"role", "user"}, {"content", "a"}});
  probe.messages.push_back(message);
  try {
    return model::JoinParts(chat_template.Format(probe)).find(kProbeWord) != std::string::npos;
  } catch (const Error&) {
    return std::nullopt;
  }
}

// Templates leave out messages of roles that they do not know, or refuse them.
void CheckRoles(const model::ChatTemplate& chat_template, const Json& messages) {
  std::set<std::string> known = {"system", "user", "assistant", "tool"};
  for (const Json& message : messages) {
    const std::string& role = message["role"].get_ref<const std::string&>();
    if (!known.insert(role).second) continue;
    if (Shows(chat_template, {{"role", role}, {"content", kProbeWord}}).value_or(true)) continue;
    throw RequestError(
        400, "messages", "invalid_value",
        fmt::format("role: found {}, allowed: system, developer, user, assistant and tool; the "
                    "chat template of this model leaves out messages of others",
                    role.substr(0, 60)));
  }
}

// Who speaks stands before the text, where the template does not show it.
void FitNames(const model::ChatTemplate& chat_template, Json& messages) {
  std::map<std::string, bool> shows;  // by role
  for (Json& message : messages) {
    const std::string role = message["role"];
    if (!message.contains("name") || role == "tool") continue;
    if (!shows.contains(role)) {
      const Json probe = {{"role", role}, {"content", "a"}, {"name", kProbeWord}};
      shows[role] = Shows(chat_template, probe).value_or(false);
    }
    if (shows[role]) continue;
    const std::string name = message["name"];
    message.erase("name");
    if (message["content"].is_null() || message["content"] == "" || name == role) continue;
    message["content"] = name + ": " + message["content"].get<std::string>();
  }
}

// Thoughts of earlier turns under the name that the template reads; templates without one show none.
void FitThoughts(const model::ChatTemplate& chat_template, Json& messages) {
  const auto reads = [&](std::string_view name) {
    return chat_template.Source().find(name) != std::string::npos;
  };
  if (reads("reasoning_content")) return;
  for (Json& message : messages) {
    if (!message.contains("reasoning_content")) continue;
    if (reads("message.thinking")) message["thinking"] = message["reasoning_content"];
    message.erase("reasoning_content");
  }
}

// Results say whose they are: some templates show the tool's name.
void NameResults(Json& messages) {
  std::map<std::string, Json> names;  // by id of the call
  for (Json& message : messages) {
    for (const Json& call : message.value("tool_calls", Json::array()))
      names[call["id"]] = call["function"]["name"];
    if (message["role"] != "tool" || message.contains("name")) continue;
    const auto found = names.find(message.value("tool_call_id", ""));
    if (found != names.end()) message["name"] = found->second;
  }
}

void SetTools(const engine::LocalModel& model, const Json& definitions, model::ChatInput& chat) {
  const bool has_calls = std::ranges::any_of(chat.messages, [](const Json& message) {
    return message.contains("tool_calls") || message["role"] == "tool";
  });
  if (definitions.empty() && !has_calls) return;
  if (llm::IsOwn(model.Answers())) {
    const bool shows_calls = definitions.empty() && model.Loaded().chat.KnowsTools();
    if (!shows_calls) chat.messages = llm::WithToolText(chat.messages, definitions);
  } else if (!definitions.empty()) {
    chat.tools = definitions;
  }
}

// By how the prompt ends.
Form::Thought ThoughtAfter(std::string_view prompt, const llm::AnswerFormat& format) {
  if (!format.HasThoughts()) return Form::Thought::kNever;
  const std::string_view end = Trimmed(prompt);
  if (end.ends_with(Trimmed(format.Named(format.thought_begin)))) return Form::Thought::kBegun;
  return end.ends_with(Trimmed(format.Named(format.thought_end))) ? Form::Thought::kNever
                                                                  : Form::Thought::kMay;
}

// What the template refuses is the messages' mistake, or that of a variable that it does not read.
std::vector<model::TextPart> Formatted(const model::ChatTemplate& chat_template,
                                       const model::ChatInput& chat) {
  for (const auto& [name, value] : chat.variables.items()) {
    if (chat_template.Reads(name)) continue;
    throw BadField("chat_template_kwargs." + name, "unsupported_parameter",
                   "the chat template of this model does not read it");
  }
  try {
    return chat_template.Format(chat);
  } catch (const Error& error) {
    throw RequestError(400, "messages", "invalid_value", error.what());
  }
}

void CheckTools(const llm::AnswerFormat& format, const ToolRequest& tools) {
  if (tools.calls == Form::Calls::kNever) return;
  for (const llm::Tool& tool : tools.callable) {
    try {
      llm::CheckTool(format, tool);
    } catch (const Error& error) {
      const auto is_this = [&](const Json& one) { return one["function"]["name"] == tool.name; };
      const auto at = std::ranges::find_if(tools.definitions, is_this) - tools.definitions.begin();
      throw BadField(tools.paths[static_cast<size_t>(at)], "invalid_function_parameters", "{}", error.what());
    }
  }
}

}  // namespace

void SetTurn(const engine::LocalModel& model, model::ChatInput chat, const ToolRequest& tools,
             const ThoughtRequest& thoughts, engine::TextRequest& request) {
  const llm::AnswerFormat& format = model.Answers();
  const model::ChatTemplate& chat_template = model.Loaded().chat;
  CheckTools(format, tools);
  SetEffort(chat_template, format.HasThoughts(), thoughts, chat);
  if (thoughts.limit && !format.HasThoughts()) {
    throw BadField(thoughts.limit_field, "unsupported_parameter",
                   "the chat template of this model has no thoughts to limit");
  }
  CheckRoles(chat_template, chat.messages);
  FitNames(chat_template, chat.messages);
  FitThoughts(chat_template, chat.messages);
  NameResults(chat.messages);
  SetTools(model, tools.definitions, chat);
  std::vector<model::TextPart> parts = Formatted(chat_template, chat);
  const Form::Thought thought = ThoughtAfter(model::JoinParts(parts), format);
  request.prompt = chat_template.Encode(std::move(parts), *model.Loaded().tokenizer);
  request.form = std::make_shared<const Form>(Form{.format = format,
                                                   .thought = thought,
                                                   .calls = tools.calls,
                                                   .parallel = tools.parallel,
                                                   .tools = tools.callable,
                                                   .text = {}});
  request.thought_tokens = thoughts.limit;
}

}  // namespace throng::serve
