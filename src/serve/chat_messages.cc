#include "serve/chat_messages.h"

#include <algorithm>
#include <string>
#include <utility>

namespace throng::serve {
namespace {

// A text, or the list of text parts that newer clients send.
std::string ParseContent(const JsonFields& message, std::initializer_list<const char*> part_types) {
  const Json& content = message.Get("content");
  if (content.is_string()) return content;
  if (!content.is_array()) FailField(message.Path("content"), content, "a text, or a list of text parts");
  std::string text;
  for (size_t i = 0; i < content.size(); ++i) {
    const Json* type = content[i].is_object() && content[i].contains("type") ? &content[i]["type"] : nullptr;
    const auto is_type = [&](const char* name) { return type != nullptr && *type == name; };
    if (!is_type("text") && std::ranges::none_of(part_types, is_type)) {
      FailField(fmt::format("{}[{}]", message.Path("content"), i), content[i],
                R"({"type": "text", "text": ...}: this server has no images, sounds and files)");
    }
    const JsonFields part = message.Entry("content", i, content[i]);
    if (!part.Get("text").is_string()) FailField(part.Path("text"), part.Get("text"), "a text");
    text += part.Text("text");
  }
  return text;
}

std::string ParseArguments(const JsonFields& function) {
  const Json* given = function.Find("arguments");
  if (given == nullptr) return "{}";
  if (given->is_object()) return given->dump(-1, ' ', false, Json::error_handler_t::replace);
  const std::string text = function.Text("arguments");
  if (text.empty()) return "{}";  // as some clients write a call without arguments
  if (!Json::accept(text)) FailField(function.Path("arguments"), text, "a text of JSON");
  return text;
}

// The calls of tools in an assistant's message.
Json ParseCalls(const JsonFields& message) {
  const Json& calls = message.Get("tool_calls");
  if (!calls.is_array()) FailField(message.Path("tool_calls"), calls, "a list of calls");
  Json parsed = Json::array();
  for (size_t i = 0; i < calls.size(); ++i) {
    const JsonFields call = message.Entry("tool_calls", i, calls[i]);
    if (const std::string type = call.Text("type", "function"); type != "function")
      FailField(call.Path("type"), type, "function");
    const JsonFields function = call.Object("function", call.Get("function"));
    parsed.push_back(CallOf(call.Text("id"), function.Text("name"), ParseArguments(function)));
  }
  return parsed;
}

std::string ParseRole(const JsonFields& message) {
  const std::string role = message.Text("role");
  if (role.empty()) FailField(message.Path("role"), role, "system, user, assistant");
  return role == "developer" ? "system" : role;
}

}  // namespace

Json CallOf(const std::string& id, const std::string& name, const std::string& arguments) {
  return {{"id", id}, {"type", "function"}, {"function", {{"name", name}, {"arguments", arguments}}}};
}

Json ParseMessage(const JsonFields& message, std::initializer_list<const char*> part_types) {
  Json parsed = {{"role", ParseRole(message)}};
  const Json* calls = message.Find("tool_calls");
  const bool has_calls = calls != nullptr && !calls->empty();
  parsed["content"] =
      has_calls && message.Find("content") == nullptr ? Json() : Json(ParseContent(message, part_types));
  if (has_calls) parsed["tool_calls"] = ParseCalls(message);
  if (message.Find("tool_call_id") != nullptr) parsed["tool_call_id"] = message.Text("tool_call_id");
  for (const char* name : {"name", "tool_name"})
    if (message.Find(name) != nullptr) parsed["name"] = message.Text(name);
  for (const char* name : {"reasoning_content", "reasoning", "thinking"})
    if (message.Find(name) != nullptr) parsed["reasoning_content"] = message.Text(name);
  return parsed;
}

Json ParseMessages(const JsonFields& fields, const char* name,
                   std::initializer_list<const char*> part_types) {
  const Json& messages = fields.Get(name);
  if (!messages.is_array() || messages.empty() || messages.size() > kMaxMessages) {
    FailField(fields.Path(name), messages, fmt::format("a list of 1 to {} messages", kMaxMessages),
              !messages.is_array() ? "invalid_type"
              : messages.empty()   ? "empty_array"
                                   : "array_above_max_length");
  }
  Json parsed = Json::array();
  for (size_t i = 0; i < messages.size(); ++i)
    parsed.push_back(ParseMessage(fields.Entry(name, i, messages[i]), part_types));
  return parsed;
}

}  // namespace throng::serve
