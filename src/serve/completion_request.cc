#include "serve/completion_request.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <random>
#include <tuple>
#include <utility>

#include "serve/chat_messages.h"

namespace throng::serve {
namespace {

constexpr size_t kMaxStops = 16;
constexpr size_t kMaxStopTokens = 64;
constexpr size_t kMaxAllowed = 1024;  // texts of guided_choice
constexpr size_t kMaxBiases = 1024;
constexpr int kMaxChoices = 128;  // of all prompts together
constexpr int kMaxTopLogprobs = 20;
constexpr int kMost = std::numeric_limits<int>::max();

uint64_t ParseSeed(const JsonFields& fields) {
  const Json* seed = fields.Find("seed");
  if (seed == nullptr) {
    std::random_device device;
    return static_cast<uint64_t>(device()) << 32 | device();
  }
  if (seed->is_number_unsigned()) return seed->get<uint64_t>();
  const std::optional<int64_t> number = WholeNumber(*seed);
  if (!number) FailField(fields.Path("seed"), *seed, "a whole number");
  return static_cast<uint64_t>(*number);
}

std::vector<engine::TokenBias> ParseBiases(const JsonFields& fields) {
  const Json* biases = fields.Find("logit_bias");
  if (biases == nullptr) return {};
  const std::string path = fields.Path("logit_bias");
  if (!biases->is_object() || biases->size() > kMaxBiases)
    FailField(path, *biases, fmt::format("up to {} token ids with numbers", kMaxBiases));
  std::vector<engine::TokenBias> parsed;
  for (const auto& [name, value] : biases->items()) {
    int32_t token = -1;
    const char* end = name.data() + name.size();
    const auto [rest, error] = std::from_chars(name.data(), end, token);
    if (error != std::errc() || rest != end || token < 0) FailField(path, name, "token ids as names");
    if (!value.is_number() || !(std::abs(value.get<double>()) <= 100))
      FailField(path + "." + name, value, "a number from -100 to 100");
    parsed.push_back({token, value.get<float>()});
  }
  return parsed;
}

void ParseResponseFormat(const JsonFields& fields, llm::Constraint& constraint) {
  const Json* value = fields.Find("response_format");
  if (value == nullptr) return;
  const JsonFields format = fields.Object("response_format", *value);
  const std::string type = format.Text("type");
  const bool has_bare = format.Find("schema") != nullptr;
  if (has_bare && ((type != "json_object" && type != "json_schema") || format.Find("json_schema") != nullptr))
    throw BadField(format.Path("schema"), "invalid_value",
                   "allowed with json_object, or instead of json_schema");
  if ((type == "json_object" || type == "text") && format.Find("json_schema") != nullptr)
    throw BadField(format.Path("json_schema"), "invalid_value", "allowed with type json_schema");
  if (has_bare) {
    constraint.json_schema = format.Schema("schema");
  } else if (type == "json_object") {
    constraint.json_schema = kAnyObject;
  } else if (type == "json_schema") {
    constraint.json_schema = format.Object("json_schema", format.Get("json_schema")).Schema("schema");
  } else if (type != "text") {
    FailField("response_format.type", format.Get("type"), "text, json_object or json_schema");
  }
}

// Every way to say what form the answer has, with the field that says so; at most one may be taken.
std::pair<std::string, llm::Constraint> ParseConstraint(const JsonFields& fields) {
  std::vector<std::pair<std::string, llm::Constraint>> found;
  const auto add_schema = [&](const JsonFields& object, const char* name) {
    if (object.Find(name) == nullptr) return;
    found.emplace_back(object.Path(name), llm::Constraint());
    found.back().second.json_schema = object.Schema(name);
  };
  const auto add_choices = [&](const JsonFields& object, const char* name) {
    if (object.Find(name) == nullptr) return;
    found.emplace_back(object.Path(name), llm::Constraint());
    found.back().second.choices = object.Texts(name, kMaxAllowed);
  };
  const auto add_text = [&](const JsonFields& object, const char* name, std::string llm::Constraint::*form) {
    if (object.Find(name) == nullptr) return;
    const std::string text = object.Text(name);
    if (text.empty()) FailField(object.Path(name), text, "a text that is not empty");
    found.emplace_back(object.Path(name), llm::Constraint());
    found.back().second.*form = text;
  };
  llm::Constraint format;
  ParseResponseFormat(fields, format);
  if (!format.Empty()) found.push_back({"response_format", format});
  add_schema(fields, "json_schema");
  add_schema(fields, "guided_json");
  add_choices(fields, "guided_choice");
  add_text(fields, "guided_regex", &llm::Constraint::regex);
  add_text(fields, "guided_grammar", &llm::Constraint::grammar);
  add_text(fields, "grammar", &llm::Constraint::grammar);
  if (const Json* outputs = fields.Find("structured_outputs")) {
    const JsonFields object = fields.Object("structured_outputs", *outputs);
    const size_t num_others = found.size();
    add_schema(object, "json");
    add_choices(object, "choice");
    add_text(object, "regex", &llm::Constraint::regex);
    add_text(object, "grammar", &llm::Constraint::grammar);
    if (object.Bool("json_object")) {
      found.emplace_back(object.Path("json_object"), llm::Constraint());
      found.back().second.json_schema = kAnyObject;
    }
    if (found.size() == num_others)
      FailField("structured_outputs", *outputs, "json, choice, regex, grammar, or json_object: true");
  }
  if (found.empty()) return {};
  if (found.size() > 1) {
    throw BadField(found[1].first, "invalid_value",
                   "{} says what form the answer has already; allowed: one of them", found[0].first);
  }
  return found[0];
}

// Nothing may hold back the end of an answer that has a form.
void CheckEndIsFree(const JsonFields& fields, const engine::TextRequest& settings, const char* what) {
  for (const auto& [name, is_set] : {std::pair("ignore_eos", settings.ignore_end),
                                     std::pair("min_tokens", settings.rules.min_tokens > 0)}) {
    if (!is_set) continue;
    throw BadField(name, "invalid_value", "found {} beside {} end where they must", fields.Get(name).dump(),
                   what);
  }
}

void ParseLimits(const JsonFields& fields, int least, engine::TextRequest& settings) {
  const char* limit =
      fields.Find("max_completion_tokens") != nullptr ? "max_completion_tokens" : "max_tokens";
  if (const Json* other = fields.Find("max_tokens"); other != nullptr && *other != fields.Get(limit))
    throw BadField("max_tokens", "invalid_value", "{} says something else already", limit);
  if (fields.Find(limit) != nullptr) settings.max_tokens = fields.Integer(limit, 1, least, kMost);
  settings.stop = ParseStop(fields);
  settings.rules.ends = fields.Tokens("stop_token_ids", kMaxStopTokens);
  settings.rules.min_tokens = fields.Integer("min_tokens", 0, 0, kMost);
  if (settings.max_tokens && settings.rules.min_tokens > *settings.max_tokens) {
    throw BadField("min_tokens", "invalid_value", "found {}, allowed: at most {}, which is {}",
                   settings.rules.min_tokens, limit, *settings.max_tokens);
  }
  settings.ignore_end = fields.Bool("ignore_eos");
  if (!settings.constraint.Empty()) CheckEndIsFree(fields, settings, "a constraint, whose answers");
}

void ParseStream(const JsonFields& fields, CompletionRequest& request) {
  request.stream = fields.Bool("stream");
  if (const Json* options = fields.Find("stream_options")) {
    request.stream_usage = fields.Object("stream_options", *options).Bool("include_usage");
    if (request.stream_usage && !request.stream)
      throw BadField("stream_options", "invalid_value", "include_usage is allowed only with stream: true");
  }
}

CompletionRequest ParseCommon(const JsonFields& fields, int least_tokens) {
  CompletionRequest request;
  engine::TextRequest& settings = request.settings;
  ParseDrawing(fields, 1, 1, settings.sampling);
  settings.sampling.min_p = fields.Number("min_p", 0, 0, 1);
  settings.sampling.top_k = std::max(0, fields.Integer("top_k", 0, -1, kMost));
  settings.sampling.repetition_penalty = fields.Number("repetition_penalty", 1, 0.01, 100);
  settings.rules.presence_penalty = fields.Number("presence_penalty", 0, -2, 2);
  settings.rules.frequency_penalty = fields.Number("frequency_penalty", 0, -2, 2);
  settings.rules.bias = ParseBiases(fields);
  std::tie(request.form_field, settings.constraint) = ParseConstraint(fields);
  ParseLimits(fields, least_tokens, settings);
  request.num_choices = request.num_candidates = fields.Integer("n", 1, 1, kMaxChoices);
  request.priority = fields.Integer("priority", 0, std::numeric_limits<int>::min(), kMost);
  ParseStream(fields, request);
  return request;
}

// The prompts of a text completion, or the inputs of embeddings.
engine::Prompt ParsePrompt(const std::string& path, const Json& value, const std::string& allowed) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array() || value.empty()) FailField(path, value, allowed);
  return ParseTokens(path, value, allowed);
}

// A chat as the model's template reads it.
model::ChatInput ParseChat(const JsonFields& fields) {
  model::ChatInput chat;
  chat.now = model::LocalNow();
  chat.messages = ParseMessages(fields, "messages");
  if (const Json* variables = fields.Find("chat_template_kwargs")) {
    if (!variables->is_object()) FailField("chat_template_kwargs", *variables, "an object");
    // They would take the place of what the request says, unseen.
    for (const char* own : {"messages", "tools", "add_generation_prompt"}) {
      if (!variables->contains(own)) continue;
      throw BadField(std::string("chat_template_kwargs.") + own, "invalid_value",
                     "the request's own fields say what the chat is");
    }
    chat.variables = *variables;
  }
  return chat;
}

}  // namespace

std::vector<engine::Prompt> ParsePrompts(const JsonFields& fields, const char* name, size_t most) {
  const Json& value = fields.Get(name);
  const std::string path = fields.Path(name);
  const std::string allowed =
      fmt::format("a text, a list of token ids, or a list of 1 to {} of either", most);
  const bool several = value.is_array() && !value.empty() && !value[0].is_number();
  if (!several) return {ParsePrompt(path, value, allowed)};
  if (value.size() > most) FailField(path, value, allowed);
  std::vector<engine::Prompt> prompts;
  for (size_t i = 0; i < value.size(); ++i)
    prompts.push_back(ParsePrompt(fmt::format("{}[{}]", path, i), value[i], allowed));
  return prompts;
}

void ParseDrawing(const JsonFields& fields, double temperature, double top_p, llm::Sampling& sampling) {
  sampling.temperature = fields.Number("temperature", temperature, 0, 100);
  sampling.top_p = fields.Number("top_p", top_p, 0, 1);
  sampling.seed = ParseSeed(fields);
}

std::vector<std::string> ParseStop(const JsonFields& fields) {
  const Json* stop = fields.Find("stop");
  if (stop == nullptr || *stop == "" || (stop->is_array() && stop->empty())) return {};
  if (stop->is_string()) return {stop->get<std::string>()};
  return fields.Texts("stop", kMaxStops);
}

CompletionRequest ParseChatRequest(std::string_view body) {
  const Json json = ParseBody(body);
  const JsonFields fields(kChat, json);
  CompletionRequest request = ParseCommon(fields, /*least_tokens=*/1);
  request.prompts.push_back(ParseChat(fields));
  request.tools = ParseTools(fields, /*nested=*/true);
  request.thoughts = ParseThoughts(fields);
  if (!request.tools.callable.empty()) CheckEndIsFree(fields, request.settings, "tools, whose calls");
  const bool logprobs = fields.Bool("logprobs");
  if (fields.Find("top_logprobs") != nullptr && !logprobs)
    throw BadField("top_logprobs", "invalid_value", "allowed only with logprobs: true");
  if (logprobs) request.top_logprobs = fields.Integer("top_logprobs", 0, 0, kMaxTopLogprobs);
  request.settings.logprobs = request.top_logprobs;
  return request;
}

CompletionRequest ParseTextRequest(std::string_view body) {
  const Json json = ParseBody(body);
  const JsonFields fields(kText, json);
  CompletionRequest request = ParseCommon(fields, /*least_tokens=*/0);
  request.prompts = ParsePrompts(fields, "prompt", kMaxChoices);
  if (!request.settings.max_tokens) request.settings.max_tokens = 16;  // as OpenAI's API says
  request.echo = fields.Bool("echo");
  if (const Json* logprobs = fields.Find("logprobs"); logprobs != nullptr && *logprobs != false)
    request.top_logprobs = fields.Integer("logprobs", 0, 0, kMaxTopLogprobs);
  request.settings.logprobs = request.top_logprobs;
  request.settings.prompt_logprobs = request.echo && request.top_logprobs;
  request.num_candidates = fields.Integer("best_of", request.num_choices, request.num_choices, kMaxChoices);
  if (request.num_candidates > request.num_choices) {
    if (request.stream)
      throw BadField("best_of", "invalid_value", "found more than n, which a stream cannot have");
    if (!request.settings.logprobs) request.settings.logprobs = 0;  // to choose by
  }
  if (request.prompts.size() * static_cast<size_t>(request.num_candidates) > kMaxChoices) {
    throw BadField("prompt", "invalid_value",
                   "found {} prompts of {} choices each, allowed: {} choices in all", request.prompts.size(),
                   request.num_candidates, kMaxChoices);
  }
  return request;
}

}  // namespace throng::serve
