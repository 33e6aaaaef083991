#include "serve/responses/response_request.h"

#include <limits>
#include <optional>
#include <set>
#include <utility>

#include "serve/chat_messages.h"
#include "serve/completion_request.h"

namespace throng::serve {
namespace {

// A text, or a list of parts of one type.
std::string TextOf(const JsonFields& item, const char* name, const char* part_type) {
  const Json* given = item.Find(name);
  if (given == nullptr) return "";
  if (given->is_string()) return *given;
  if (!given->is_array()) FailField(item.Path(name), *given, "a text, or a list of text parts");
  std::string text;
  for (size_t i = 0; i < given->size(); ++i) {
    const JsonFields part = item.Entry(name, i, (*given)[i]);
    if (part.Text("type") != part_type) FailField(part.Path("type"), part.Get("type"), part_type);
    text += part.Text("text");
  }
  return text;
}

// Calls and thoughts are items of their own here; in a chat they belong to the assistant's message.
void AddItem(const JsonFields& item, Json& chat) {
  const auto assistant = [&]() -> Json& {
    if (chat.empty() || chat.back()["role"] != "assistant")
      chat.push_back({{"role", "assistant"}, {"content", ""}});
    return chat.back();
  };
  const std::string type = item.Text("type", "message");
  if (type == "message") {
    Json message = ParseMessage(item, {"input_text", "output_text"});
    const bool goes_on = message["role"] == "assistant" && !chat.empty() &&
                         chat.back().contains("reasoning_content") && chat.back()["content"] == "";
    if (goes_on) {
      chat.back()["content"] = std::move(message["content"]);
    } else {
      chat.push_back(std::move(message));
    }
  } else if (type == "reasoning") {
    chat.push_back({{"role", "assistant"},
                    {"content", ""},
                    {"reasoning_content", TextOf(item, "content", "reasoning_text")}});
  } else if (type == "function_call") {
    std::string arguments = item.Text("arguments");
    if (arguments.empty()) arguments = "{}";
    if (!Json::accept(arguments)) FailField(item.Path("arguments"), arguments, "a text of JSON");
    assistant()["tool_calls"].push_back(CallOf(item.Text("call_id"), item.Text("name"), arguments));
  } else if (type == "function_call_output") {
    chat.push_back({{"role", "tool"},
                    {"content", TextOf(item, "output", "input_text")},
                    {"tool_call_id", item.Text("call_id")}});
  } else {
    FailField(item.Path("type"), type,
              "message, function_call, function_call_output, reasoning or item_reference");
  }
}

// The item of an earlier response's output that a reference names; null if it is none. seen: the ids so far.
// Each may come once, which bounds what a small body can ask for.
Json Referred(const JsonFields& item, ResponseStore& store, std::set<std::string>& seen) {
  if (item.Text("type", "message") != "item_reference") return {};
  const std::string id = item.Text("id");
  Json found = store.FindItem(id);
  if (found.is_null())
    throw BadField(item.Path("id"), "item_not_found", "there is no item {} any more", id.substr(0, 100));
  if (!seen.insert(id).second) throw BadField(item.Path("id"), "invalid_value", "found {} twice", id);
  return found;
}

void ParseInput(const JsonFields& fields, ResponseStore& store, Json& chat) {
  const Json& input = fields.Get("input");
  if (input.is_string()) {
    chat.push_back({{"role", "user"}, {"content", input}});
    return;
  }
  if (!input.is_array() || input.size() > kMaxMessages)
    FailField("input", input, fmt::format("a text, or a list of up to {} items", kMaxMessages));
  std::set<std::string> seen;
  for (size_t i = 0; i < input.size(); ++i) {
    const JsonFields item = fields.Entry("input", i, input[i]);
    const Json referred = Referred(item, store, seen);
    AddItem(referred.is_null() ? item : fields.Entry("input", i, referred), chat);
  }
  if (chat.empty()) FailField("input", input, "a text, or a list of items");
}

ThoughtRequest ParseReasoning(const JsonFields& fields) {
  ThoughtRequest thoughts;
  const Json* reasoning = fields.Find("reasoning");
  if (reasoning == nullptr) return thoughts;
  const JsonFields object = fields.Object("reasoning", *reasoning);
  thoughts.effort_field = object.Path("effort");
  if (object.Find("effort") != nullptr) thoughts.effort = object.Text("effort");
  thoughts.limit_field = object.Path("max_tokens");
  if (object.Find("max_tokens") != nullptr)
    thoughts.limit = object.Integer("max_tokens", 0, 0, std::numeric_limits<int>::max());
  return thoughts;
}

void ParseText(const JsonFields& fields, llm::Constraint& constraint) {
  const Json* text = fields.Find("text");
  if (text == nullptr) return;
  const JsonFields object = fields.Object("text", *text);
  const Json* format = object.Find("format");
  if (format == nullptr) return;
  const JsonFields of_format = object.Object("format", *format);
  const std::string type = of_format.Text("type");
  if (type == "json_object") {
    constraint.json_schema = kAnyObject;
  } else if (type == "json_schema") {
    constraint.json_schema = of_format.Schema("schema");
  } else if (type != "text") {
    FailField("text.format.type", of_format.Get("type"), "text, json_object or json_schema");
  }
}

// In the order of OpenAI's documentation.
Json SettingsOf(const JsonFields& fields) {
  const auto given = [&](const char* name, Json fallback) {
    const Json* value = fields.Find(name);
    return value != nullptr ? *value : std::move(fallback);
  };
  const auto filled = [&](const char* name, Json defaults) {
    const Json object = given(name, Json::object());
    for (const auto& [key, value] : object.items()) {
      if (!value.is_null()) defaults[key] = value;
    }
    return defaults;
  };
  return {{"instructions", given("instructions", nullptr)},
          {"max_output_tokens", given("max_output_tokens", nullptr)},
          {"metadata", given("metadata", Json::object())},
          {"parallel_tool_calls", given("parallel_tool_calls", true)},
          {"previous_response_id", given("previous_response_id", nullptr)},
          {"reasoning", filled("reasoning", {{"effort", nullptr}, {"summary", nullptr}})},
          {"store", given("store", true)},
          {"temperature", given("temperature", 1.0)},
          {"text", filled("text", {{"format", {{"type", "text"}}}})},
          {"tool_choice", given("tool_choice", "auto")},
          {"tools", given("tools", Json::array())},
          {"top_p", given("top_p", 1.0)},
          {"truncation", "disabled"},
          {"user", given("user", nullptr)}};
}

}  // namespace

ResponseRequest ParseResponseRequest(std::string_view body, ResponseStore& store) {
  const Json json = ParseBody(body);
  const JsonFields fields(kResponses, json);
  ResponseRequest request;
  request.chat = Json::array();
  const std::string previous = fields.Text("previous_response_id");
  if (!previous.empty()) {
    std::optional<StoredResponse> found = store.Find(previous);
    if (!found) {
      throw RequestError(400, "previous_response_id", "previous_response_not_found",
                         fmt::format("previous_response_id: there is no response {} any more", previous));
    }
    request.chat = std::move(found->chat);
  }
  ParseInput(fields, store, request.chat);
  request.instructions = fields.Text("instructions");
  request.tools = ParseTools(fields, /*nested=*/false);
  request.thoughts = ParseReasoning(fields);
  if (fields.Find("max_output_tokens") != nullptr)
    request.text.max_tokens = fields.Integer("max_output_tokens", 1, 1, std::numeric_limits<int>::max());
  ParseDrawing(fields, 1, 1, request.text.sampling);
  ParseText(fields, request.text.constraint);
  if (const Json* options = fields.Find("stream_options")) fields.Object("stream_options", *options);
  request.stream = fields.Bool("stream");
  request.store = fields.Bool("store", true);
  request.settings = SettingsOf(fields);
  return request;
}

}  // namespace throng::serve
