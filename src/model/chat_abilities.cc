#include "model/chat_abilities.h"

#include <algorithm>
#include <string_view>

#include "base/error.h"

namespace throng::model {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kSystemWord = "quokkasystem";
constexpr std::string_view kOtherSystemWord = "quokkarules";
constexpr std::string_view kUserWord = "quokkauser";
constexpr std::string_view kArgumentWord = "quokkaargument";

bool Has(std::string_view text, std::string_view word) { return text.find(word) != std::string_view::npos; }

size_t CountNone(std::string_view text) {
  size_t count = 0;
  for (size_t pos = 0; (pos = text.find("None", pos)) != std::string_view::npos; ++pos) ++count;
  return count;
}

Json Parts(const Json& text) { return Json::array({{{"type", "text"}, {"text", text}}}); }

const Json kTools =
    Json::array({{{"type", "function"},
                  {"function",
                   {{"name", "look"},
                    {"description", "looks"},
                    {"parameters",
                     {{"type", "object"},
                      {"properties", {{"what", {{"type", "string"}, {"description", "thing"}}}}}}}}}}});

Json User(const Json& content) { return {{"role", "user"}, {"content", content}}; }

// A call of a tool and its answer.
Json ToolChat(const Json& content, const Json& arguments) {
  const Json call = {{"id", "call00001"},  // nine letters and digits, as some templates ask for
                     {"type", "function"},
                     {"function", {{"name", "look"}, {"arguments", arguments}}}};
  return Json::array({User(kUserWord),
                      {{"role", "assistant"}, {"content", content}, {"tool_calls", Json::array({call})}},
                      {{"role", "tool"}, {"tool_call_id", "call00001"}, {"name", "look"}, {"content", "1"}}});
}

bool HasCalls(const Json& message) {
  const auto calls = message.find("tool_calls");
  return calls != message.end() && calls->is_array() && !calls->empty();
}

void FitContent(Json& message, const ChatAbilities& abilities) {
  const auto content = message.find("content");
  if (content == message.end()) return;
  if (content->is_null() || (*content == "" && HasCalls(message))) {
    if (abilities.empty_content == ChatAbilities::kNull) *content = nullptr;
    if (abilities.empty_content == ChatAbilities::kEmptyText) *content = "";
  } else if (content->is_string()) {
    if (!abilities.text_contents) *content = Parts(*content);
  } else if (content->is_array() && !abilities.part_contents) {
    const auto is_text = [](const Json& part) {
      return part.is_object() && part.value("type", Json()) == "text" && part.contains("text") &&
             part["text"].is_string();
    };
    if (!std::ranges::all_of(*content, is_text)) return;  // images and the like: the template's affair
    std::string text;
    for (const Json& part : *content) text += part["text"].get_ref<const std::string&>();
    *content = text;
  }
}

void FitArguments(Json& message, const ChatAbilities& abilities) {
  const auto calls = message.find("tool_calls");
  if (calls == message.end() || !calls->is_array()) return;
  for (Json& call : *calls) {
    if (!call.is_object()) continue;
    Json& function = call.contains("function") && call["function"].is_object() ? call["function"] : call;
    const auto arguments = function.find("arguments");
    if (arguments == function.end()) continue;
    if (abilities.object_arguments && arguments->is_string()) {
      Json parsed =
          Json::parse(arguments->get_ref<const std::string&>(), nullptr, /*allow_exceptions=*/false);
      if (parsed.is_object()) *arguments = std::move(parsed);
    } else if (!abilities.object_arguments && arguments->is_object()) {
      *arguments = arguments->dump(-1, ' ', false, Json::error_handler_t::replace);
    }
  }
}

bool HasRole(const Json& message, std::string_view role) {
  return message.is_object() && message.value("role", Json()) == role;
}

// The text of a content that is a string, or a list with parts of text.
std::string TextOf(const Json& message) {
  const Json content = message.value("content", Json());
  if (content.is_string()) return content;
  std::string text;
  if (!content.is_array()) return text;
  for (const Json& part : content) {
    if (part.is_object() && part.contains("text") && part["text"].is_string()) {
      text += part["text"].get_ref<const std::string&>();
    }
  }
  return text;
}

bool IsSystem(const Json& message) { return HasRole(message, "system"); }

// System messages joined with the user's next one; at the end, they are the user's. first: those before it
// stay.
Json WithoutSystem(const Json& messages, size_t first) {
  Json fitted = Json::array();
  std::string system;
  for (size_t i = 0; i < messages.size(); ++i) {
    const Json& message = messages[i];
    if (i >= first && IsSystem(message)) {
      if (!system.empty()) system += "\n\n";
      system += TextOf(message);
      continue;
    }
    fitted.push_back(message);
    if (system.empty() || !HasRole(message, "user")) continue;
    Json& content = fitted.back()["content"];
    if (content.is_array()) {
      content.insert(content.begin(), {{"type", "text"}, {"text", system + "\n\n"}});
    } else {
      content = system + "\n\n" + TextOf(message);
    }
    system.clear();
  }
  if (!system.empty()) fitted.push_back(User(system));
  return fitted;
}

Json FitSystems(const Json& messages, const ChatAbilities& abilities) {
  const auto leading = static_cast<size_t>(std::ranges::find_if_not(messages, IsSystem) - messages.begin());
  const bool has_later =
      std::any_of(messages.begin() + static_cast<ptrdiff_t>(leading), messages.end(), IsSystem);
  if (!abilities.system_messages) return leading > 0 || has_later ? WithoutSystem(messages, 0) : messages;
  Json fitted = has_later && !abilities.later_systems ? WithoutSystem(messages, leading) : messages;
  if (leading < 2 || abilities.several_systems) return fitted;
  std::string system = TextOf(fitted[0]);
  for (size_t i = 1; i < leading; ++i) system += "\n\n" + TextOf(fitted[i]);
  fitted[0]["content"] = system;
  fitted.erase(fitted.begin() + 1, fitted.begin() + static_cast<ptrdiff_t>(leading));
  return fitted;
}

}  // namespace

ChatAbilities FindAbilities(
    const std::function<std::string(const Json& messages, const Json& tools)>& render) {
  const auto rendered = [&](const Json& messages, const Json& tools = nullptr) -> std::string {
    try {
      return render(messages, tools);
    } catch (const Error&) {
      return "";
    }
  };
  ChatAbilities abilities;
  const bool takes_text = Has(rendered(Json::array({User(kUserWord)})), kUserWord);
  const std::string of_parts = rendered(Json::array({User(Parts(kUserWord))}));
  // A list that is printed as such shows its quotes.
  const bool takes_parts = Has(of_parts, kUserWord) && !Has(of_parts, "'type'") && !Has(of_parts, "\"type\"");
  // A template that takes neither will say why when it is used.
  abilities.text_contents = takes_text || !takes_parts;
  abilities.part_contents = takes_parts || !takes_text;

  const auto content = [&](std::string_view text) {
    return abilities.text_contents ? Json(text) : Parts(text);
  };
  const auto message = [&](const char* role, std::string_view text) {
    return Json{{"role", role}, {"content", content(text)}};
  };
  const Json system = message("system", kSystemWord), user = message("user", kUserWord);
  const Json another = message("system", kOtherSystemWord);
  abilities.system_messages = Has(rendered({system, user}), kSystemWord);
  const std::string of_two = rendered({system, another, user});
  abilities.several_systems = Has(of_two, kSystemWord) && Has(of_two, kOtherSystemWord);
  const std::string of_later = rendered({system, user, message("assistant", "a"), another, user});
  abilities.later_systems = Has(of_later, kSystemWord) && Has(of_later, kOtherSystemWord);

  // Calls, with each form of their arguments, beside each form of no content.
  const Json arguments = {{"what", kArgumentWord}};
  const auto of_call = [&](const Json& empty, bool as_object) {
    return rendered(ToolChat(empty, as_object ? arguments : Json(arguments.dump())), kTools);
  };
  const auto shows = [](const std::string& text) {
    return Has(text, kArgumentWord) && !Has(text, "{'what'");  // not as Python prints a dict
  };
  const bool takes_objects = shows(of_call(nullptr, true)) || shows(of_call("", true));
  const bool takes_texts = shows(of_call(nullptr, false)) || shows(of_call("", false));
  abilities.object_arguments = takes_objects || !takes_texts;
  const std::string of_null = of_call(nullptr, abilities.object_arguments);
  const std::string of_empty = of_call("", abilities.object_arguments);
  const bool takes_null = shows(of_null) && (!shows(of_empty) || CountNone(of_null) <= CountNone(of_empty));
  if (takes_null != shows(of_empty)) {
    abilities.empty_content = takes_null ? ChatAbilities::kNull : ChatAbilities::kEmptyText;
  }
  return abilities;
}

Json FitMessages(const Json& messages, const ChatAbilities& abilities) {
  Json fitted = FitSystems(messages, abilities);
  for (Json& message : fitted) {
    if (!message.is_object()) continue;
    FitContent(message, abilities);
    FitArguments(message, abilities);
  }
  return fitted;
}

}  // namespace throng::model
