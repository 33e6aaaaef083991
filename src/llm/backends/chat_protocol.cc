#include "llm/backends/chat_protocol.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/rng.h"
#include "base/text/trim.h"
#include "llm/grammar/json_schema.h"

namespace throng::llm {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxAutomata = 256;
constexpr size_t kMaxErrorText = 200;
constexpr int kWrapTokens = 16;  // what {"answer":"..."} adds to a choice, generously

// The text without a fence of ``` lines, which chat models like to put around code.
std::string_view Unfenced(std::string_view text) {
  text = Trimmed(text);
  if (!text.starts_with("```") || !text.ends_with("```") || text.size() < 6) return text;
  const size_t line = text.find('\n');
  return line == text.npos ? text : Trimmed(text.substr(line, text.size() - 3 - line));
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return lower;
}

Json ChoiceSchema(const Constraint& constraint) {
  return {{"type", "object"},
          {"properties", {{"answer", {{"type", "string"}, {"enum", constraint.choices}}}}},
          {"required", Json::array({"answer"})},
          {"additionalProperties", false}};
}

void AddConstraint(const Constraint& constraint, ConstraintMode mode, Json& body) {
  if (constraint.Empty()) return;
  const bool choices = !constraint.choices.empty();
  if (mode == ConstraintMode::kResponseFormat) {
    const Json schema = choices ? ChoiceSchema(constraint) : Json::parse(constraint.json_schema);
    body["response_format"] = {{"type", "json_schema"},
                               {"json_schema", {{"name", "answer"}, {"strict", true}, {"schema", schema}}}};
    if (choices) body["max_tokens"] = body["max_tokens"].get<int>() + kWrapTokens;
  } else if (mode == ConstraintMode::kGuided) {
    if (choices) {
      body["guided_choice"] = constraint.choices;
    } else {
      body["guided_json"] = Json::parse(constraint.json_schema);
    }
  }
}

void AddSampling(const Request& request, Json& body) {
  const Sampling& sampling = request.sampling;
  body["temperature"] = sampling.temperature;
  body["top_p"] = sampling.top_p;
  // Extensions that many servers know; sent only when asked for.
  if (sampling.top_k > 0) body["top_k"] = sampling.top_k;
  if (sampling.min_p > 0) body["min_p"] = sampling.min_p;
  if (sampling.repetition_penalty != 1.0f) body["repetition_penalty"] = sampling.repetition_penalty;
  const CounterRng rng(sampling.seed, request.key.agent, request.key.step, request.key.call);
  body["seed"] = rng.At(0) >> 33;  // 31 bits: servers in many languages
  body["max_tokens"] = request.max_tokens;
  if (!request.stop.empty()) body["stop"] = request.stop;
}

std::optional<std::string> FitChoice(const Constraint& constraint, std::string_view answer) {
  std::string text(Unfenced(answer));
  const Json json = Json::parse(text, nullptr, false);
  if (json.is_object() && json.contains("answer") && json["answer"].is_string()) text = json["answer"];
  if (json.is_string()) text = json;
  const auto exact = std::find(constraint.choices.begin(), constraint.choices.end(), text);
  if (exact != constraint.choices.end()) return *exact;
  std::string plain = Lower(Trimmed(text));
  if (plain.ends_with('.')) plain.pop_back();
  for (const std::string& choice : constraint.choices) {
    if (Lower(Trimmed(choice)) == plain) return choice;
  }
  return std::nullopt;
}

}  // namespace

std::string DescribeConstraint(const Constraint& constraint) {
  if (constraint.choices.empty()) return "JSON of the schema " + constraint.json_schema;
  return fmt::format("one of: {}", fmt::join(constraint.choices, ", "));
}

std::string ChatBody(const Request& request, const std::string& model, ConstraintMode mode,
                     const std::optional<std::string>& wrong_answer) {
  const auto message = [](const char* role, const std::string& content) {
    return Json{{"role", role}, {"content", content}};
  };
  const std::string instruction =
      request.constraint.Empty()
          ? ""
          : fmt::format("Answer with exactly {}", DescribeConstraint(request.constraint));
  Json body = {{"model", model}, {"messages", Json::array()}};
  if (!request.system.empty()) body["messages"].push_back(message("system", request.system));
  // Some servers accept fields that they do not know and ignore them, so only the first form goes without
  // words.
  const bool in_words = mode != ConstraintMode::kResponseFormat && !instruction.empty();
  body["messages"].push_back(
      message("user", in_words ? request.prompt + "\n\n" + instruction : request.prompt));
  if (wrong_answer) {
    body["messages"].push_back(message("assistant", *wrong_answer));
    body["messages"].push_back(message("user", "That answer is not allowed. " + instruction));
  }
  AddSampling(request, body);
  AddConstraint(request.constraint, mode, body);
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Completion ParseChatResponse(const std::string& body, const std::string& where) {
  Completion completion;
  try {
    const Json json = Json::parse(body);
    const Json& choice = json.at("choices").at(0);
    const Json& content = choice.at("message").at("content");
    completion.text = content.is_null() ? "" : content.get<std::string>();
    const auto reason = choice.find("finish_reason");
    if (reason != choice.end() && *reason == "length") completion.finish = FinishReason::kLength;
    const auto usage = json.find("usage");
    if (usage != json.end() && usage->is_object()) {
      completion.prompt_tokens = std::max(usage->value("prompt_tokens", 0), 0);
      completion.output_tokens = std::max(usage->value("completion_tokens", 0), 0);
      const auto details = usage->find("prompt_tokens_details");
      if (details != usage->end() && details->is_object())
        completion.cached_prompt_tokens = std::max(details->value("cached_tokens", 0), 0);
    }
  } catch (const Json::exception& error) {
    throw MakeError(ErrorCode::kUnavailable, "{} answered with what is not a chat completion ({}): {}", where,
                    error.what(), ErrorText(body));
  }
  return completion;
}

std::string ErrorText(const std::string& body) {
  std::string text = body;
  const Json json = Json::parse(body, nullptr, false);
  if (json.is_object() && json.contains("error")) {
    const Json& error = json["error"];
    const Json& message = error.is_object() && error.contains("message") ? error["message"] : error;
    text = message.is_string() ? message.get<std::string>()
                               : message.dump(-1, ' ', false, Json::error_handler_t::replace);
  }
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<uint8_t>(c) < 0x20; }, ' ');
  text = Trimmed(text);
  if (text.size() > kMaxErrorText) text = text.substr(0, kMaxErrorText) + "...";
  return text.empty() ? "(no text)" : text;
}

std::optional<std::string> AnswerChecker::Fit(const Constraint& constraint, std::string_view answer) {
  if (constraint.Empty()) return std::string(answer);
  if (!constraint.choices.empty()) return FitChoice(constraint, answer);
  const Json json = Json::parse(Unfenced(answer), nullptr, false);
  if (json.is_discarded()) return std::nullopt;
  auto found = automata_.find(constraint.json_schema);
  if (found == automata_.end()) {
    if (automata_.size() >= kMaxAutomata) automata_.clear();
    auto automaton = std::make_unique<Automaton>(CompileGrammar(constraint));
    found = automata_.emplace(constraint.json_schema, std::move(automaton)).first;
  }
  const std::string text = InSchemaOrder(Json::parse(constraint.json_schema), json).dump();
  return found->second->Matches(text) ? std::optional<std::string>(text) : std::nullopt;
}

}  // namespace throng::llm
