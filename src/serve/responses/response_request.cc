#include "serve/responses/response_request.h"

#include <limits>
#include <optional>
#include <utility>

#include "serve/completion_request.h"

namespace throng::serve {
namespace {

std::vector<model::ChatMessage> ParseInput(const JsonFields& fields) {
  const Json& input = fields.Get("input");
  if (input.is_string()) return {{"user", input.get<std::string>()}};
  if (!input.is_array()) FailField("input", input, "a text, or a list of messages");
  for (size_t i = 0; i < input.size(); ++i) {
    if (!input[i].is_object() || !input[i].contains("type") || input[i]["type"] == "message") continue;
    FailField(fmt::format("input[{}].type", i), input[i]["type"], "message");
  }
  return ParseMessages(fields, "input", {"input_text", "output_text"});
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
  return {{"instructions", given("instructions", nullptr)},
          {"max_output_tokens", given("max_output_tokens", nullptr)},
          {"metadata", given("metadata", Json::object())},
          {"parallel_tool_calls", given("parallel_tool_calls", true)},
          {"previous_response_id", given("previous_response_id", nullptr)},
          {"reasoning", {{"effort", nullptr}, {"summary", nullptr}}},
          {"store", given("store", true)},
          {"temperature", given("temperature", 1.0)},
          {"text", given("text", {{"format", {{"type", "text"}}}})},
          {"tool_choice", given("tool_choice", "auto")},
          {"tools", Json::array()},
          {"top_p", given("top_p", 1.0)},
          {"truncation", "disabled"},
          {"user", given("user", nullptr)}};
}

}  // namespace

ResponseRequest ParseResponseRequest(std::string_view body, ResponseStore& store) {
  const Json json = ParseBody(body);
  const JsonFields fields(kResponses, json);
  ResponseRequest request;
  const std::string previous = fields.Text("previous_response_id");
  if (!previous.empty()) {
    std::optional<StoredResponse> found = store.Find(previous);
    if (!found) {
      throw RequestError(400, "previous_response_id", "previous_response_not_found",
                         fmt::format("previous_response_id: there is no response {} any more", previous));
    }
    request.chat = std::move(found->chat);
  }
  for (model::ChatMessage& message : ParseInput(fields)) request.chat.push_back(std::move(message));
  std::vector<model::ChatMessage> chat = request.chat;
  const std::string instructions = fields.Text("instructions");
  if (!instructions.empty()) chat.insert(chat.begin(), {"system", instructions});
  request.text.prompt = std::move(chat);
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
