// The calls of tools in an answer.

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "base/text/trim.h"
#include "base/text/utf8.h"
#include "llm/grammar/schema_members.h"
#include "llm/tools/answer_parser.h"

namespace throng::llm {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxName = 256;

bool IsNameChar(char byte) {
  return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
         byte == '_' || byte == '-' || byte == '.';
}

// After the quote that closes the string that begins the text; npos if there is none.
size_t EndOfString(std::string_view text) {
  for (size_t i = 1; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      return i + 1;
    }
  }
  return std::string_view::npos;
}

// The string that the JSON text is, or nothing of one that is none.
std::string StringOf(std::string_view json) {
  const Json value = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  return value.is_string() ? value.get<std::string>() : "";
}

// The names of a tool's arguments: all, or those that are strings and nothing else.
std::vector<std::string> ParameterNames(const AnswerForm& form, std::string_view tool, bool only_texts) {
  const auto found = std::ranges::find(form.tools, tool, &Tool::name);
  if (found == form.tools.end()) return {};
  Grammar scratch;
  std::vector<std::string> names;
  try {
    const MemberStyle style = only_texts ? ParametersStyle(form.format) : MemberStyle();
    for (const SchemaMember& member : LowerMembers(found->parameters, style, scratch)) {
      if (member.is_text || !only_texts) names.push_back(member.name);
    }
  } catch (const Error&) {  // such a tool cannot be called
  }
  return names;
}

}  // namespace

bool AnswerParser::StepHead() {
  if (!expected_.empty()) {
    const Found found = Expect(expected_.back());
    if (found == Found::kMore && !final_) return false;
    if (found != Found::kYes) return Fail();
    expected_.pop_back();
    return true;
  }
  Consume(held_.LeadingSpace(0));
  if (body_ == CallBody::kObject) {
    state_ = State::kKeys;
    return true;
  }
  const auto end = std::ranges::find_if_not(held_.Text(), IsNameChar);
  const auto length = static_cast<size_t>(end - held_.Text().begin());
  if (end == held_.Text().end() && length <= kMaxName && !final_) return false;
  size_t literal = 0;
  const Found found =
      length > 0 && length <= kMaxName ? held_.Match(format_.name_end, length, literal) : Found::kNo;
  if (found == Found::kMore && !final_) return false;
  if (found != Found::kYes) return Fail();
  std::string name = Consume(length);
  Consume(literal);
  BeginCall(std::move(name));
  if (body_ == CallBody::kParameters) {
    text_parameters_ = ParameterNames(*form_, events_->back().text, /*only_texts=*/true);
    state_ = State::kParameters;
  } else {
    state_ = State::kArguments;
  }
  return true;
}

// A call in its usual form, NAME.call(...), or code.
bool AnswerParser::StepTag() {
  Consume(held_.LeadingSpace(0));
  if (held_.Empty()) return false;
  if (held_.Front() == format_.Trigger()[0]) {
    expected_ = {format_.CallHead()};
    state_ = State::kHead;
    return true;
  }
  constexpr std::string_view kCall = ".call";
  const std::string& text = held_.Text();
  const auto length = static_cast<size_t>(std::ranges::find_if_not(text, IsNameChar) - text.begin());
  if (length == text.size() && length <= kMaxName && !final_) return false;
  const std::string_view name = std::string_view(text).substr(0, length);
  const auto code =
      std::ranges::find_if(form_->tools, [](const Tool& tool) { return !CodeParameter(tool).empty(); });
  if (name.size() > kCall.size() && name.ends_with(kCall) && length < text.size() && text[length] == '(') {
    body_ = CallBody::kPython;
    std::string tool = Consume(length + 1).substr(0, length - kCall.size());
    BeginCall(std::move(tool));
    state_ = State::kArguments;
    return true;
  }
  if (code == form_->tools.end()) return Fail();
  BeginCall(code->name);
  Emit(AnswerEvent::Kind::kArguments, "{" + Json(CodeParameter(*code)).dump() + ":\"");
  has_arguments_ = true;
  state_ = State::kCode;
  return true;
}

bool AnswerParser::StepCode() {
  std::string json;
  for (const char byte : Consume(held_.Text().size())) {
    const auto value = static_cast<unsigned char>(byte);
    if (value < 0x80) {
      AppendStringChar(value, json);
    } else {
      json += byte;
    }
  }
  Emit(AnswerEvent::Kind::kArguments, std::move(json));
  return false;
}

bool AnswerParser::StepKeys() {
  while (!held_.Empty() && (IsSpace(held_.Front()) || held_.Front() == ',')) Consume(1);
  if (held_.Empty()) return false;
  if (held_.Front() == '}') {
    if (!is_named_) return Fail();
    Consume(1);
    EndArguments();
    return true;
  }
  const size_t end = held_.Front() == '"' ? EndOfString(held_.Text()) : 0;
  const size_t colon = end == std::string::npos ? end : held_.Text().find_first_not_of(kSpaces, end);
  if (end != 0 && colon == std::string::npos) return false;
  if (end == 0 || held_.Text()[colon] != ':') {
    if (!is_named_) return Fail();
    EndArguments();
    return true;
  }
  const std::string key = StringOf(std::string_view(held_.Text()).substr(0, end));
  Consume(colon + 1);
  scan_ = JsonValueScan();
  if (key == format_.name_key && !is_named_) {
    state_ = State::kName;
  } else {
    state_ = key == format_.arguments_key && !has_arguments_ ? State::kArguments : State::kOtherValue;
  }
  return true;
}

bool AnswerParser::StepName() {
  Consume(held_.LeadingSpace(0));
  if (held_.Empty()) return false;
  const size_t end = held_.Front() == '"' ? EndOfString(held_.Text()) : 0;
  if (end == std::string::npos && held_.Text().size() <= kMaxName) return false;
  std::string name = end == std::string::npos ? "" : StringOf(std::string_view(held_.Text()).substr(0, end));
  if (name.empty()) return Fail();
  Consume(end);
  BeginCall(std::move(name));
  state_ = State::kKeys;
  return true;
}

bool AnswerParser::StepValue() {
  if (!scan_.HasBegun()) Consume(held_.LeadingSpace(0));
  const size_t taken = scan_.Take(held_.Text());
  std::string text = Consume(taken);
  if (state_ == State::kArguments && !text.empty()) {
    has_arguments_ = true;
    if (is_named_) {
      Emit(AnswerEvent::Kind::kArguments, std::move(text));
    } else {
      early_arguments_ += text;
    }
  }
  if (!scan_.Done()) return false;
  if (body_ == CallBody::kObject) {
    state_ = State::kKeys;
  } else {
    EndArguments();
  }
  return true;
}

bool AnswerParser::StepBraces() {
  std::string json;
  Consume(braces_.Take(held_.Text(), json));
  has_arguments_ = has_arguments_ || !json.empty();
  Emit(AnswerEvent::Kind::kArguments, std::move(json));
  if (!braces_.Done()) return false;
  EndArguments();
  return true;
}

bool AnswerParser::StepPython() {
  std::string json;
  Consume(python_.Take(held_.Text(), final_, json));
  has_arguments_ = has_arguments_ || !json.empty();
  Emit(AnswerEvent::Kind::kArguments, std::move(json));
  if (!python_.Done()) return false;
  EndArguments();
  return true;
}

bool AnswerParser::StepParameters() {
  Consume(held_.LeadingSpace(0));
  size_t begin = 0;
  const Found found = held_.Match(format_.parameter_begin, 0, begin);
  if (found == Found::kYes) {
    size_t name_end = 0, text_name_end = 0, end = 0;
    size_t name_at = held_.Find(format_.parameter_name_end, begin, name_end);
    const size_t text_name_at = format_.text_name_end.empty()
                                    ? std::string::npos
                                    : held_.Find(format_.text_name_end, begin, text_name_end);
    const bool says_text = text_name_at < name_at;
    if (says_text) name_at = text_name_at, name_end = text_name_end;
    const size_t value_at = name_at + name_end;
    const std::string_view closing = Trimmed(format_.parameter_end);
    const size_t end_at = name_at == std::string::npos ? name_at : held_.Find(closing, value_at, end);
    if (end_at == std::string::npos) return false;
    const std::string name(Trimmed(std::string_view(held_.Text()).substr(begin, name_at - begin)));
    const std::string value = held_.Text().substr(value_at, end_at - value_at);
    const bool is_text = format_.text_name_end.empty()
                             ? std::ranges::find(text_parameters_, name) != text_parameters_.end()
                             : says_text;
    const Json parsed = is_text ? Json() : Json::parse(value, nullptr, /*allow_exceptions=*/false);
    const std::string text = is_text || parsed.is_discarded() ? Argument(value) : parsed.dump();
    Emit(AnswerEvent::Kind::kArguments,
         (has_arguments_ ? "," : "{") + Json(ReplaceInvalidUtf8(name)).dump() + ":" + text);
    has_arguments_ = true;
    Consume(end_at + end);
    return true;
  }
  size_t length = 0;
  const Found ends = held_.Match(format_.call_end, 0, length);
  if (ends != Found::kYes && (found == Found::kMore || ends == Found::kMore)) return false;
  Emit(AnswerEvent::Kind::kArguments, has_arguments_ ? "}" : "{}");
  has_arguments_ = true;
  EndArguments();
  return true;
}

// A value that is plain text, as JSON. Line breaks of the form around it do not belong to it.
std::string AnswerParser::Argument(std::string_view raw) {
  if (format_.parameter_name_end.ends_with('\n') && raw.starts_with('\n')) raw.remove_prefix(1);
  if (format_.parameter_end.starts_with('\n') && raw.ends_with('\n')) raw.remove_suffix(1);
  return Json(ReplaceInvalidUtf8(format_.Shown(raw))).dump();
}

bool AnswerParser::StepCallEnd() {
  const Found found = Expect(format_.call_end);
  if (found == Found::kMore) return DropAtEnd();
  state_ = State::kBetween;
  return true;
}

bool AnswerParser::StepBetween() {
  if (format_.calls_begin.empty()) {
    state_ = State::kTop;
    return true;
  }
  Consume(held_.LeadingSpace(0));
  if (held_.Empty()) return false;
  const std::string_view separator = Trimmed(format_.call_separator);
  size_t length = 0;
  const Found found = format_.call_begin.empty() ? Found::kNo : held_.Match(format_.call_begin, 0, length);
  if (found == Found::kYes) {
    NextCall();
    return true;
  }
  const Found ends = Expect(format_.calls_end);
  if (ends == Found::kYes) {
    state_ = State::kTop;
    return true;
  }
  const Found separates = separator.empty() ? Found::kNo : Expect(separator);
  if (separates == Found::kYes) {
    NextCall();
    return true;
  }
  if (found == Found::kMore || ends == Found::kMore || separates == Found::kMore) return DropAtEnd();
  if (separator.empty() && format_.call_begin.empty()) {
    NextCall();
    return true;
  }
  state_ = State::kTop;
  return true;
}

// What is left may be a part of a literal: it waits, or belongs to nothing once the answer has ended.
bool AnswerParser::DropAtEnd() {
  if (final_) Consume(held_.Text().size());
  return false;
}

void AnswerParser::BeginCalls() {
  NextCall();
  if (!format_.calls_begin.empty()) expected_.push_back(format_.calls_begin);
}

void AnswerParser::NextCall() {
  expected_ = {format_.CallHead()};
  raw_.clear();
  early_arguments_.clear();
  is_named_ = has_arguments_ = false;
  body_ = format_.body;
  state_ = State::kHead;
}

void AnswerParser::BeginCall(std::string name) {
  space_.clear();
  raw_.clear();
  is_named_ = seen_call_ = true;
  scan_ = JsonValueScan();
  braces_ = BracesValue(format_.quote);
  python_ = PythonArguments(body_ == CallBody::kPython ? ParameterNames(*form_, name, /*only_texts=*/false)
                                                       : std::vector<std::string>());
  Emit(AnswerEvent::Kind::kCall, std::move(name));
  if (!early_arguments_.empty()) Emit(AnswerEvent::Kind::kArguments, std::exchange(early_arguments_, {}));
}

void AnswerParser::EndArguments() {
  if (!has_arguments_) Emit(AnswerEvent::Kind::kArguments, "{}");
  state_ = State::kCallEnd;
}

// What was read of the call is text, at least what seemed to begin it.
bool AnswerParser::Fail() {
  state_ = State::kTop;
  const std::string trigger = format_.Trigger();
  if (raw_.empty() && held_.Text().starts_with(trigger)) raw_ = Consume(trigger.size());
  expected_.clear();
  early_arguments_.clear();
  EmitText(std::exchange(raw_, {}));
  return true;
}

}  // namespace throng::llm
