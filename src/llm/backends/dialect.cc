#include "llm/backends/dialect.h"

#include <algorithm>
#include <cctype>
#include <charconv>

#include "llm/answer/answer_checker.h"
#include "llm/grammar/gbnf.h"
#include "llm/grammar/grammar.h"

namespace throng::llm {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMostGrammars = 64;  // kept
constexpr const char* kMaxTokens = "max_tokens";
constexpr std::initializer_list<const char*> kOptional = {
    "temperature",        "top_p",          "seed",          "stop",     "top_k",     "min_p",
    "repetition_penalty", "repeat_penalty", "repeat_last_n", "samplers", "ignore_eos"};
constexpr std::initializer_list<const char*> kForms = {"response_format", "guided_choice",
                                                       "structured_outputs", "grammar", "regex"};
// Words of messages about a schema that a server cannot follow.
constexpr std::initializer_list<const char*> kSchemaWords = {
    "schema", "grammar", "guided", "structured output", "json_object", "response format"};

std::string TextOf(const Json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) return "";
  return found->is_string() ? found->get<std::string>()
                            : found->dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string Lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

bool HasAny(const std::string& text, std::initializer_list<const char*> words) {
  return std::any_of(words.begin(), words.end(),
                     [&](const char* word) { return text.find(word) != text.npos; });
}

// Whether the text has the name, not as a part of a longer one.
bool Names(const std::string& text, const std::string& name) {
  const auto is_part = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; };
  for (size_t at = text.find(name); at != text.npos; at = text.find(name, at + 1)) {
    const size_t end = at + name.size();
    if ((at == 0 || !is_part(text[at - 1])) && (end == text.size() || !is_part(text[end]))) return true;
  }
  return false;
}

// Of choices "", of all else the text: a server may know some schemas.
std::string KeyOf(const Constraint& constraint) {
  return constraint.json_schema + constraint.grammar + constraint.regex;  // only one is given
}

std::string ToGbnfIfPossible(const Constraint& constraint) {
  try {
    return ToGbnf(CompileGrammar(constraint));
  } catch (const Error&) {
    return "";
  }
}

}  // namespace

ServerError ServerError::Parse(int status, const std::string& body) {
  ServerError parsed;
  parsed.status = status;
  std::string text = body;
  const Json json = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (json.is_object()) {
    const auto found = json.find("error");
    const Json& error = found != json.end() && found->is_object() ? *found : json;
    for (const char* key : {"message", "detail", "error"}) {
      if (std::string words = TextOf(error, key); !words.empty()) {
        text = std::move(words);
        break;
      }
    }
    parsed.type = TextOf(error, "type");
    parsed.code = TextOf(error, "code");
    parsed.param = TextOf(error, "param");
  }
  parsed.text = OneLine(text);
  return parsed;
}

bool ServerError::MeansNoQuota() const {
  return status == 402 || type == "insufficient_quota" || code == "insufficient_quota";
}

bool ServerError::MeansTooLong() const {
  if (code == "context_length_exceeded" || type == "exceed_context_size_error" || status == 413) return true;
  return HasAny(Lower(text), {"context length", "context size", "context window", "maximum context",
                              "the context is", "the context of"});
}

bool ServerError::MeansNotThisPrompt() const {
  return HasAny(Lower(code + " " + type), {"content_filter", "content_policy", "invalid_prompt"});
}

void Dialect::ReadContext(const Json& models, const std::string& model) {
  for (const Json& listed : models) {
    if (!listed.is_object() || (!model.empty() && TextOf(listed, "id") != model)) continue;
    const auto context = listed.find("max_model_len");
    if (context != listed.end() && context->is_number_integer()) context_ = context->get<int64_t>();
    return;
  }
}

std::string Dialect::ReadModels(const std::string& body, std::string_view server_header,
                                const std::string& model) {
  const std::string server = Lower(std::string(server_header));
  if (server.starts_with("llama.cpp")) program_ = Program::kLlamaCpp;
  const Json json = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("data") || !json["data"].is_array() || json["data"].empty())
    return "";
  ReadContext(json["data"], model);
  const Json& first = json["data"][0];
  if (!first.is_object()) return "";
  const std::string owner = Lower(TextOf(first, "owned_by"));
  if (owner == "throng") program_ = Program::kThrong;
  if (owner == "vllm") program_ = Program::kVllm;
  if (owner == "llamacpp") program_ = Program::kLlamaCpp;
  if (owner == "sglang") program_ = Program::kSglang;
  return TextOf(first, "id");
}

void Dialect::ReadVersion(const std::string& body) {
  const Json json = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return;
  const std::string version = TextOf(json, "version");
  int major = 0;
  int minor = 0;
  const char* const end = version.data() + version.size();
  const auto [dot, error] = std::from_chars(version.data(), end, major);
  if (error != std::errc() || dot == end || *dot != '.') return;
  if (std::from_chars(dot + 1, end, minor).ec == std::errc()) structured_outputs_ = major > 0 || minor >= 11;
}

void Dialect::SendPriority(PriorityOrder order, const std::string& name) {
  priority_order_ = order;
  priority_name_ = name;
}

std::string Dialect::PriorityName() const {
  const bool sent = priority_order_ == PriorityOrder::kOwn ? program_ == Program::kThrong
                                                           : priority_order_ != PriorityOrder::kNotSent;
  return sent ? priority_name_ : "";
}

std::vector<ConstraintForm> Dialect::FormsFor(const Constraint& constraint) const {
  std::vector<ConstraintForm> forms;
  if (!constraint.grammar.empty() || !constraint.regex.empty()) {
    if (program_ == Program::kLlamaCpp && !GrammarOf(constraint).empty()) forms = {ConstraintForm::kGrammar};
    if (program_ == Program::kVllm && structured_outputs_) forms = {ConstraintForm::kStructuredOutputs};
    if (program_ == Program::kSglang && constraint.grammar.empty()) forms = {ConstraintForm::kRegex};
    forms.push_back(ConstraintForm::kWords);
    return forms;
  }
  if (!constraint.choices.empty()) {
    if (program_ == Program::kThrong) forms = {ConstraintForm::kGuidedChoice};
    if (program_ == Program::kVllm)
      forms = {structured_outputs_ ? ConstraintForm::kStructuredOutputs : ConstraintForm::kGuidedChoice};
    if (program_ == Program::kLlamaCpp) forms = {ConstraintForm::kGrammar};
    if (program_ == Program::kSglang) forms = {ConstraintForm::kRegex};
  } else if (program_ == Program::kLlamaCpp && !GrammarOf(constraint).empty()) {
    forms = {ConstraintForm::kGrammar};
  }
  forms.insert(forms.end(), {ConstraintForm::kResponseFormat, ConstraintForm::kWords});
  return forms;
}

std::string Dialect::GrammarOf(const Constraint& constraint) const {
  if (!constraint.grammar.empty()) return constraint.grammar;
  if (!constraint.choices.empty()) return ToGbnf(CompileGrammar(constraint));
  if (!constraint.regex.empty()) return ToGbnfIfPossible(constraint);
  const auto kept = grammars_.find(constraint.json_schema);
  if (kept != grammars_.end()) return kept->second;
  if (grammars_.size() >= kMostGrammars) grammars_.clear();
  return grammars_.emplace(constraint.json_schema, ToGbnfIfPossible(constraint)).first->second;
}

ConstraintForm Dialect::FormFor(const Constraint& constraint) const {
  const std::vector<ConstraintForm> forms = FormsFor(constraint);
  const auto refused = refused_forms_.find(KeyOf(constraint));
  return forms[refused == refused_forms_.end() ? 0 : std::min(refused->second, forms.size() - 1)];
}

std::vector<std::string> Dialect::LearnFrom(const ServerError& error, const Json& sent,
                                            const Constraint& constraint) {
  const std::string param = error.param.substr(0, error.param.find_first_of(".["));
  const auto named = [&](const std::string& name) {
    return sent.contains(name) && (param == name || (!sent.contains(param) && Names(error.text, name)));
  };
  std::vector<std::string> learnt;
  bool any = false;
  if (named(kMaxTokens)) {
    max_completion_tokens_ = true;
    any = true;
  }
  std::vector<std::string> optional(kOptional.begin(), kOptional.end());
  if (!PriorityName().empty()) optional.push_back(PriorityName());
  for (const std::string& name : optional) {
    if (!named(name)) continue;
    any = true;
    if (left_out_.insert(name).second) learnt.push_back(fmt::format("{} is left out ({})", name, error.text));
  }
  const bool form_named = std::any_of(kForms.begin(), kForms.end(), named);
  if (constraint.Empty() || (!form_named && (any || !HasAny(Lower(error.text), kSchemaWords)))) return learnt;
  // Only if the form refused is still the one in use: other requests may have taught the same.
  const ConstraintForm form = FormFor(constraint);
  const bool in_use = (form == ConstraintForm::kResponseFormat && sent.contains("response_format")) ||
                      (form == ConstraintForm::kGuidedChoice && sent.contains("guided_choice")) ||
                      (form == ConstraintForm::kStructuredOutputs && sent.contains("structured_outputs")) ||
                      (form == ConstraintForm::kGrammar && sent.contains("grammar")) ||
                      (form == ConstraintForm::kRegex && sent.contains("regex"));
  if (in_use) ++refused_forms_[KeyOf(constraint)];
  return learnt;
}

}  // namespace throng::llm
