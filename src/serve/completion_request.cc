#include "serve/completion_request.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>

#include "base/error.h"

namespace throng::serve {
namespace {

using Json = nlohmann::ordered_json;  // schemas order the keys of answers

constexpr int kMaxDepth = 64;
constexpr size_t kMaxStops = 16;
constexpr size_t kMaxChoices = 1024;
constexpr size_t kMaxMessages = 4096;

// The fields of a body. One that is null counts as absent.
class Fields {
 public:
  explicit Fields(std::string_view body) {
    const auto check_depth = [](int depth, Json::parse_event_t, Json&) {
      if (depth > kMaxDepth) {
        throw MakeError(ErrorCode::kInvalid, "body: JSON is nested deeper than {} levels", kMaxDepth);
      }
      return true;
    };
    try {
      json_ = Json::parse(body, check_depth);
    } catch (const Json::parse_error& error) {
      throw MakeError(ErrorCode::kInvalid, "body: not JSON at byte {}", error.byte);
    } catch (const Json::exception& error) {  // a number out of range
      throw MakeError(ErrorCode::kInvalid, "body: not JSON: {}", error.what());
    }
    if (!json_.is_object()) {
      throw MakeError(ErrorCode::kInvalid, "body: found JSON of type {}, allowed: object", json_.type_name());
    }
  }

  const Json* Find(const char* name) const {
    const auto found = json_.find(name);
    return found == json_.end() || found->is_null() ? nullptr : &*found;
  }

  [[noreturn]] static void Fail(const std::string& name, const Json& found, const std::string& allowed) {
    std::string text = found.dump(-1, ' ', false, Json::error_handler_t::replace);
    if (text.size() > 60) text = found.type_name();
    throw MakeError(ErrorCode::kInvalid, "{}: found {}, allowed: {}", name, text, allowed);
  }

  bool Bool(const char* name) const {
    const Json* value = Find(name);
    if (value == nullptr) return false;
    if (!value->is_boolean()) Fail(name, *value, "true or false");
    return value->get<bool>();
  }

  float Number(const char* name, double fallback, double min, double max) const {
    const Json* value = Find(name);
    if (value == nullptr) return static_cast<float>(fallback);
    if (!value->is_number() || !(value->get<double>() >= min && value->get<double>() <= max)) {
      Fail(name, *value, fmt::format("a number from {} to {}", min, max));
    }
    return value->get<float>();
  }

  int Integer(const char* name, int fallback, int min, int max) const {
    const Json* value = Find(name);
    if (value == nullptr) return fallback;
    if (!value->is_number_integer() || value->get<double>() < min || value->get<double>() > max) {
      Fail(name, *value, fmt::format("a whole number from {} to {}", min, max));
    }
    return value->get<int>();
  }

  std::vector<std::string> Texts(const char* name, size_t most) const {
    const Json* value = Find(name);
    if (value == nullptr) return {};
    const std::string allowed = fmt::format("1 to {} texts that are not empty", most);
    if (!value->is_array() || value->empty() || value->size() > most) Fail(name, *value, allowed);
    std::vector<std::string> texts;
    for (const Json& text : *value) {
      if (!text.is_string() || text.get_ref<const std::string&>().empty()) Fail(name, text, allowed);
      texts.push_back(text);
    }
    return texts;
  }

  // Features that would change the answer: refused unless the value says that they are off.
  void Refuse(const char* name) const {
    const Json* value = Find(name);
    if (value == nullptr || *value == false || *value == 0 || *value == "none" || *value == "") return;
    if (value->is_structured() && value->empty()) return;
    throw MakeError(ErrorCode::kUnsupported, "{}: this server does not support it", name);
  }

 private:
  Json json_;
};

void ParseSampling(const Fields& fields, llm::Sampling& sampling) {
  sampling.temperature = fields.Number("temperature", 1, 0, 100);
  sampling.top_p = fields.Number("top_p", 1, 0, 1);
  sampling.min_p = fields.Number("min_p", 0, 0, 1);
  sampling.top_k = std::max(0, fields.Integer("top_k", 0, -1, std::numeric_limits<int>::max()));
  sampling.repetition_penalty = fields.Number("repetition_penalty", 1, 0.01, 100);
  if (const Json* seed = fields.Find("seed")) {
    if (!seed->is_number_integer()) Fields::Fail("seed", *seed, "a whole number");
    sampling.seed =
        seed->is_number_unsigned() ? seed->get<uint64_t>() : static_cast<uint64_t>(seed->get<int64_t>());
  } else {
    std::random_device device;
    sampling.seed = static_cast<uint64_t>(device()) << 32 | device();
  }
}

std::string SchemaText(const std::string& name, const Json& schema) {
  if (!schema.is_object()) Fields::Fail(name, schema, "a JSON schema");
  return schema.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void ParseResponseFormat(const Json& format, llm::Constraint& constraint) {
  const Json type = format.is_object() ? format.value("type", Json()) : Json();
  if (type == "text") return;
  if (type == "json_object") {
    // "Any object" is not a regular language, and automata constrain the answers.
    throw MakeError(
        ErrorCode::kUnsupported,
        "response_format: json_object is not supported, because answers follow a schema: use json_schema");
  }
  if (type == "json_schema") {
    const Json outer = format.value("json_schema", Json());
    const Json schema = outer.is_object() ? outer.value("schema", Json()) : Json();
    constraint.json_schema = SchemaText("response_format.json_schema.schema", schema);
  } else {
    Fields::Fail("response_format.type", type, "text or json_schema");
  }
}

void ParseConstraint(const Fields& fields, llm::Constraint& constraint) {
  int constraints = 0;
  if (const Json* format = fields.Find("response_format")) {
    ParseResponseFormat(*format, constraint);
    constraints += !constraint.Empty();
  }
  if (const Json* schema = fields.Find("guided_json")) {
    constraint.json_schema = SchemaText("guided_json", *schema);
    ++constraints;
  }
  if (fields.Find("guided_choice") != nullptr) {
    constraint.choices = fields.Texts("guided_choice", kMaxChoices);
    ++constraints;
  }
  if (constraints > 1) {
    throw MakeError(ErrorCode::kInvalid,
                    "response_format, guided_json, guided_choice: found {} of them, allowed: one",
                    constraints);
  }
}

CompletionRequest ParseCommon(const Fields& fields) {
  for (const char* name : {"tools", "functions", "tool_choice", "function_call", "logprobs", "top_logprobs",
                           "logit_bias", "presence_penalty", "frequency_penalty", "echo", "suffix",
                           "guided_regex", "guided_grammar", "audio", "prompt_logprobs"}) {
    fields.Refuse(name);
  }
  CompletionRequest request;
  if (const Json* model = fields.Find("model"); model != nullptr && !model->is_string()) {
    Fields::Fail("model", *model, "a name");  // any name will do: there is one model, and the reply names it
  }
  fields.Integer("n", 1, 1, 1);
  fields.Integer("best_of", 1, 1, 1);
  const char* limit = fields.Find("max_completion_tokens") ? "max_completion_tokens" : "max_tokens";
  if (fields.Find(limit) != nullptr) {
    request.text.max_tokens = fields.Integer(limit, 1, 1, std::numeric_limits<int>::max());
  }
  ParseSampling(fields, request.text.sampling);
  ParseConstraint(fields, request.text.constraint);
  if (const Json* stop = fields.Find("stop"); stop != nullptr && stop->is_string()) {
    if (!stop->get_ref<const std::string&>().empty()) request.text.stop = {stop->get<std::string>()};
  } else if (stop != nullptr && !(stop->is_array() && stop->empty())) {
    request.text.stop = fields.Texts("stop", kMaxStops);
  }
  request.stream = fields.Bool("stream");
  if (const Json* options = fields.Find("stream_options")) {
    const Json usage = options->is_object() ? options->value("include_usage", Json(false)) : Json();
    if (!usage.is_boolean()) Fields::Fail("stream_options", *options, "{\"include_usage\": true or false}");
    request.stream_usage = usage.get<bool>();
  }
  return request;
}

// A text, or the list of text parts that newer clients send.
std::string Content(const Json& message, const std::string& where) {
  const Json content = message.value("content", Json());
  if (content.is_string()) return content;
  if (!content.is_array()) Fields::Fail(where, content, "a text, or a list of {\"type\": \"text\"}");
  std::string text;
  for (const Json& part : content) {
    const Json type = part.is_object() ? part.value("type", Json()) : Json();
    const Json piece = part.is_object() ? part.value("text", Json()) : Json();
    if (type != "text" || !piece.is_string())
      Fields::Fail(where, part, "{\"type\": \"text\", \"text\": ...}");
    text += piece.get_ref<const std::string&>();
  }
  return text;
}

}  // namespace

CompletionRequest ParseChatRequest(std::string_view body) {
  const Fields fields(body);
  CompletionRequest request = ParseCommon(fields);
  const Json* messages = fields.Find("messages");
  if (messages == nullptr) throw MakeError(ErrorCode::kInvalid, "messages: it is missing");
  if (!messages->is_array() || messages->empty() || messages->size() > kMaxMessages) {
    Fields::Fail("messages", *messages, fmt::format("a list of 1 to {} messages", kMaxMessages));
  }
  std::vector<model::ChatMessage> chat;
  for (size_t i = 0; i < messages->size(); ++i) {
    const Json& message = (*messages)[i];
    const Json role = message.is_object() ? message.value("role", Json()) : Json();
    if (!role.is_string()) Fields::Fail(fmt::format("messages[{}].role", i), role, "system, user, assistant");
    const std::string name = role == "developer" ? "system" : role.get<std::string>();
    chat.push_back({name, Content(message, fmt::format("messages[{}].content", i))});
  }
  model::ChatInput input(chat);
  input.now = model::LocalNow();
  request.text.prompt = std::move(input);
  return request;
}

CompletionRequest ParseTextRequest(std::string_view body) {
  const Fields fields(body);
  CompletionRequest request = ParseCommon(fields);
  const Json* prompt = fields.Find("prompt");
  if (prompt == nullptr) throw MakeError(ErrorCode::kInvalid, "prompt: it is missing");
  if (prompt->is_array() && prompt->size() == 1 && !(*prompt)[0].is_number()) prompt = &(*prompt)[0];
  const char* const allowed = "a text, or a list of token ids; one prompt at a time";
  if (prompt->is_string()) {
    request.text.prompt = prompt->get<std::string>();
  } else if (prompt->is_array() && !prompt->empty()) {
    std::vector<int32_t> tokens;
    for (const Json& token : *prompt) {
      if (!token.is_number_integer() || token.get<double>() < 0 || token.get<double>() > 2147483647.0) {
        Fields::Fail("prompt", token, allowed);
      }
      tokens.push_back(token);
    }
    request.text.prompt = std::move(tokens);
  } else {
    Fields::Fail("prompt", *prompt, allowed);
  }
  if (!request.text.max_tokens) request.text.max_tokens = 16;  // as OpenAI's API says
  return request;
}

}  // namespace throng::serve
