#include "llm/backends/chat_protocol.h"

#include <algorithm>
#include <optional>

#include "llm/answer/answer_checker.h"
#include "llm/same_chat.h"

namespace throng::llm {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kWrapTokens = 16;  // what {"answer":"..."} adds to a choice, generously

// llama.cpp applies top_p and min_p to probabilities at a temperature of 1 if it is not told this order.
constexpr std::initializer_list<const char*> kSamplers = {"penalties", "top_k", "temperature", "top_p",
                                                          "min_p"};
constexpr int kPenalisedTokens = 1 << 17;  // of the prompt's end and the answer; it reserves room for as many

Json ChoiceSchema(const Constraint& constraint) {
  return {{"type", "object"},
          {"properties", {{"answer", {{"type", "string"}, {"enum", constraint.choices}}}}},
          {"required", Json::array({"answer"})},
          {"additionalProperties", false}};
}

std::string ChoiceRegex(const std::vector<std::string>& choices) {
  std::string regex = "(";
  for (const std::string& choice : choices) {
    if (&choice != &choices.front()) regex += '|';
    for (const char c : choice) {
      if (std::string_view("\\^$.|?*+()[]{}").find(c) != std::string_view::npos) regex += '\\';
      regex += c;
    }
  }
  return regex + ")";
}

void AddConstraint(const Constraint& constraint, ConstraintForm form, const Dialect& dialect, Json& body) {
  const bool choices = !constraint.choices.empty();
  switch (form) {
    case ConstraintForm::kGuidedChoice:
      body["guided_choice"] = constraint.choices;
      break;
    case ConstraintForm::kStructuredOutputs:
      body["structured_outputs"] = choices                    ? Json{{"choice", constraint.choices}}
                                   : constraint.regex.empty() ? Json{{"grammar", constraint.grammar}}
                                                              : Json{{"regex", constraint.regex}};
      break;
    case ConstraintForm::kGrammar:
      body["grammar"] = dialect.GrammarOf(constraint);
      break;
    case ConstraintForm::kRegex:
      body["regex"] = choices ? ChoiceRegex(constraint.choices) : constraint.regex;
      break;
    case ConstraintForm::kResponseFormat: {
      const Json schema = choices ? ChoiceSchema(constraint) : Json::parse(constraint.json_schema);
      body["response_format"] = {{"type", "json_schema"},
                                 {"json_schema", {{"name", "answer"}, {"strict", true}, {"schema", schema}}}};
      if (choices) body[dialect.MaxTokensName()] = body[dialect.MaxTokensName()].get<int>() + kWrapTokens;
      break;
    }
    case ConstraintForm::kWords:
      break;
  }
}

void AddSampling(const Request& request, const Dialect& dialect, Json& body) {
  const auto add = [&](const std::string& name, const Json& value) {
    if (!dialect.LeavesOut(name)) body[name] = value;
  };
  const Sampling& sampling = request.sampling;
  add("temperature", sampling.temperature);
  add("top_p", sampling.top_p);
  // Extensions that many servers know; sent when asked for, or where what is not sent is not neutral.
  const bool all = dialect.HasOwnSampling();
  const bool penalty = sampling.repetition_penalty != 1.0f;
  if (all || sampling.top_k > 0) add("top_k", sampling.top_k > 0 ? sampling.top_k : -1);
  if (all || sampling.min_p > 0) add("min_p", sampling.min_p);
  if (dialect.IsLlamaCpp()) {
    add("repeat_penalty", sampling.repetition_penalty);
    if (penalty) add("repeat_last_n", kPenalisedTokens);
    add("samplers", kSamplers);
  } else if (all || penalty) {
    add("repetition_penalty", sampling.repetition_penalty);
  }
  add("seed", SamplingSeed(request));
  body[dialect.MaxTokensName()] = request.max_tokens;
  if (!request.stop.empty()) add("stop", request.stop);
  if (request.known_output_tokens >= 0) add("ignore_eos", true);  // the answer is to be max_tokens long
  const std::string priority = dialect.PriorityName();
  if (!priority.empty()) add(priority, dialect.PriorityOf(request));
}

// The text of a message's content: a text, or the text parts of a list.
std::optional<std::string> TextOf(const Json& content) {
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array()) return std::nullopt;
  std::string text;
  for (const Json& part : content) {
    if (!part.is_object() || !part.contains("text") || !part["text"].is_string()) continue;
    text += part["text"].get_ref<const std::string&>();
  }
  return text;
}

int Count(const Json& usage, const char* name) {
  const auto found = usage.find(name);
  if (found == usage.end() || !found->is_number()) return 0;
  return static_cast<int>(std::clamp(found->get<double>(), 0.0, 2147483647.0));
}

void ReadUsage(const Json& json, Completion& completion) {
  const auto usage = json.find("usage");
  if (usage == json.end() || !usage->is_object()) return;
  completion.prompt_tokens = Count(*usage, "prompt_tokens");
  completion.output_tokens = Count(*usage, "completion_tokens");
  const auto details = usage->find("prompt_tokens_details");
  if (details != usage->end() && details->is_object())
    completion.cached_prompt_tokens = Count(*details, "cached_tokens");
}

// Sets text and finish; returns what is missing, if it is.
std::optional<std::string> ReadChoice(const Json& json, Completion& completion) {
  const auto choices = json.find("choices");
  if (choices == json.end() || !choices->is_array()) return "no chat completion";
  if (choices->empty() || !(*choices)[0].is_object()) return "no choices";
  const Json& choice = (*choices)[0];
  const auto message = choice.find("message");
  if (message == choice.end() || !message->is_object()) return "no message";
  const auto reason = choice.find("finish_reason");
  if (reason != choice.end() && *reason == "length") completion.finish = FinishReason::kLength;
  std::optional<std::string> text;
  if (message->contains("content")) text = TextOf((*message)["content"]);
  // Reasoning models of some servers leave the content empty, if all of the answer was taken for thoughts. An
  // answer that was cut off then is only thoughts.
  for (const char* name : {"reasoning_content", "reasoning"}) {
    const bool empty = !text || text->empty();
    if (empty && completion.finish == FinishReason::kStop && message->contains(name) &&
        (*message)[name].is_string())
      text = (*message)[name].get<std::string>();
  }
  const auto refusal = message->find("refusal");
  if ((!text || text->empty()) && refusal != message->end() && refusal->is_string())
    return "a refusal to answer";
  if (!text) return "no content";
  completion.text = *std::move(text);
  return std::nullopt;
}

}  // namespace

Json ChatBody(const Request& request, const std::string& model, const Dialect& dialect) {
  const auto message = [](const char* role, const std::string& content) {
    return Json{{"role", role}, {"content", content}};
  };
  const Constraint& constraint = request.constraint;
  const ConstraintForm form = constraint.Empty() ? ConstraintForm::kWords : dialect.FormFor(constraint);
  Json body = {{"model", model}, {"messages", Json::array()}};
  if (!request.system.empty()) body["messages"].push_back(message("system", request.system));
  std::string prompt = request.prompt;
  if (form == ConstraintForm::kWords && !constraint.Empty())
    prompt += "\n\nAnswer with exactly " + DescribeConstraint(constraint);
  for (const ChatTurn& turn : TurnsOf(request, std::move(prompt))) {
    body["messages"].push_back(message(turn.role, turn.content));
  }
  AddSampling(request, dialect, body);
  AddConstraint(constraint, form, dialect, body);
  return body;
}

bool IsChatResponse(const std::string& body) {
  const Json json = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  return json.is_object() && json.contains("choices");
}

Completion ParseChatResponse(const std::string& body, std::string_view where) {
  Completion completion;
  const Json json = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  std::optional<std::string> missing;
  if (!json.is_object()) {
    missing = "what is no JSON";
  } else {
    ReadUsage(json, completion);
    const auto model = json.find("model");
    if (model != json.end() && model->is_string()) completion.served_by = model->get<std::string>();
    const bool is_error = json.contains("error") && !json["error"].is_null();
    missing = ReadChoice(json, completion);
    if (missing && is_error) missing = "an error";
  }
  if (missing) {
    completion.finish = FinishReason::kError;
    completion.error = MakeError(ErrorCode::kBadAnswer, "{} answered with {}: {}", where, *missing,
                                 ServerError::Parse(200, body).text);
  }
  return completion;
}

}  // namespace throng::llm
