#include "llm/tools/answer_parser.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "base/text/trim.h"
#include "base/text/utf8.h"
#include "llm/grammar/schema_members.h"

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

// The names of arguments that are written as plain text.
std::vector<std::string> TextParameters(const AnswerForm& form, std::string_view tool) {
  const auto found = std::ranges::find(form.tools, tool, &Tool::name);
  if (found == form.tools.end()) return {};
  Grammar scratch;
  std::vector<std::string> names;
  try {
    for (const SchemaMember& member :
         LowerMembers(found->parameters, Trimmed(form.format.parameter_end), scratch)) {
      if (member.is_text) names.push_back(member.name);
    }
  } catch (const Error&) {  // such a tool cannot be called
  }
  return names;
}

}  // namespace

AnswerParser::AnswerParser(std::shared_ptr<const AnswerForm> form)
    : form_(std::move(form)),
      format_(form_->format),
      reads_calls_(form_->calls != AnswerForm::Calls::kNever),
      braces_(format_.quote) {
  if (format_.HasThoughts() && form_->thought == AnswerForm::Thought::kBegun) BeginThought();
}

void AnswerParser::Push(std::string_view text, std::vector<AnswerEvent>& events) {
  events_ = &events;
  held_.Add(text);
  while (Step()) {
  }
}

void AnswerParser::Finish(std::vector<AnswerEvent>& events) {
  final_ = true;
  Push("", events);
  if (state_ == State::kThought) {
    EmitThought(Consume(held_.Text().size()));
  } else if (state_ != State::kTop && !is_named_) {
    Fail();
  }
  if (state_ == State::kTop) {
    EmitText(Consume(held_.Text().size()));
    if (!seen_call_ && (has_text_ || !seen_thought_) && !space_.empty())
      Emit(AnswerEvent::Kind::kText, std::exchange(space_, {}));
  }
}

// Whether something was read, so that more may be.
bool AnswerParser::Step() {
  switch (state_) {
    case State::kTop:
      return StepTop();
    case State::kThought:
      return StepThought();
    case State::kHead:
      return StepHead();
    case State::kKeys:
      return StepKeys();
    case State::kName:
      return StepName();
    case State::kOtherValue:
    case State::kArguments:
      return format_.body == CallBody::kBraces ? StepBraces() : StepValue();
    case State::kParameters:
      return StepParameters();
    case State::kCallEnd:
      return StepCallEnd();
    case State::kBetween:
      return StepBetween();
  }
  return false;
}

bool AnswerParser::StepTop() {
  if (held_.Empty()) return false;
  const std::string trigger = reads_calls_ ? format_.Trigger() : "";
  std::vector<std::string_view> literals;
  // Thoughts come first, unless the format marks text.
  if (!format_.text_begin.empty() || (!has_text_ && !seen_call_)) literals.push_back(format_.thought_begin);
  literals.push_back(format_.text_begin);
  literals.push_back(format_.text_end);
  if (!format_.at_start || (!has_text_ && !seen_call_)) literals.push_back(trigger);
  size_t at = 0;
  std::string_view literal;
  const bool is_whole = held_.FindFirst(literals, final_, at, literal);
  const bool is_call = is_whole && literal == trigger;
  const bool is_thought = is_whole && literal == format_.thought_begin;
  const bool is_late = !Trimmed(std::string_view(held_.Text()).substr(0, at)).empty();
  if (is_late && ((is_call && format_.at_start) || (is_thought && format_.text_begin.empty()))) {
    EmitText(Consume(at + literal.size()));
    return true;
  }
  EmitText(Consume(at));
  if (!is_whole) return false;
  if (is_call) {
    BeginCalls();
    return true;
  }
  Consume(literal.size());
  if (is_thought) BeginThought();
  return true;
}

bool AnswerParser::StepThought() {
  size_t at = 0;
  std::string_view literal;
  const bool ends = held_.FindFirst({format_.thought_end}, final_, at, literal);
  EmitThought(Consume(at));
  if (!ends) return false;
  Consume(literal.size());
  thought_bytes_ = consumed_;
  space_.clear();
  state_ = State::kTop;
  return true;
}

bool AnswerParser::StepHead() {
  if (!expected_.empty()) {
    const Found found = Expect(expected_.back());
    if (found == Found::kMore && !final_) return false;
    if (found != Found::kYes) return Fail();
    expected_.pop_back();
    return true;
  }
  Consume(held_.LeadingSpace(0));
  if (format_.body == CallBody::kObject) {
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
  if (format_.body == CallBody::kParameters) {
    text_parameters_ = TextParameters(*form_, events_->back().text);
    state_ = State::kParameters;
  } else {
    state_ = State::kArguments;
  }
  return true;
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
  if (format_.body == CallBody::kObject) {
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

bool AnswerParser::StepParameters() {
  Consume(held_.LeadingSpace(0));
  size_t begin = 0;
  const Found found = held_.Match(format_.parameter_begin, 0, begin);
  if (found == Found::kYes) {
    size_t name_end = 0, end = 0;
    const size_t name_at = held_.Find(format_.parameter_name_end, begin, name_end);
    const size_t value_at = name_at + name_end;
    const std::string_view closing = Trimmed(format_.parameter_end);
    const size_t end_at = name_at == std::string::npos ? name_at : held_.Find(closing, value_at, end);
    if (end_at == std::string::npos) return false;
    const std::string name(Trimmed(std::string_view(held_.Text()).substr(begin, name_at - begin)));
    const std::string value = held_.Text().substr(value_at, end_at - value_at);
    const bool is_text = std::ranges::find(text_parameters_, name) != text_parameters_.end();
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
  state_ = State::kTop;
  return true;
}

// What is left may be a part of a literal: it waits, or belongs to nothing once the answer has ended.
bool AnswerParser::DropAtEnd() {
  if (final_) Consume(held_.Text().size());
  return false;
}

// Consumes the literal if it is there.
HeldText::Found AnswerParser::Expect(std::string_view literal) {
  size_t length = 0;
  const Found found = held_.Match(literal, 0, length);
  if (found == Found::kYes) Consume(length);
  return found;
}

std::string AnswerParser::Consume(size_t bytes) {
  std::string text = held_.Take(bytes);
  consumed_ += text.size();
  if (state_ != State::kTop && state_ != State::kThought && !is_named_) raw_ += text;
  return text;
}

void AnswerParser::BeginThought() {
  seen_thought_ = true;
  space_.clear();
  state_ = State::kThought;
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
  state_ = State::kHead;
}

void AnswerParser::BeginCall(std::string name) {
  space_.clear();
  raw_.clear();
  is_named_ = seen_call_ = true;
  scan_ = JsonValueScan();
  braces_ = BracesValue(format_.quote);
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

void AnswerParser::Emit(AnswerEvent::Kind kind, std::string text) {
  if (kind != AnswerEvent::Kind::kCall) text = format_.Shown(text);
  if (text.empty()) return;
  const bool goes_on = !events_->empty() && events_->back().kind == kind && kind != AnswerEvent::Kind::kCall;
  if (goes_on) {
    events_->back().text += text;
  } else {
    events_->push_back({kind, std::move(text)});
  }
}

// White space waits for what follows it.
void AnswerParser::EmitText(std::string_view text) {
  const std::string shown = format_.Shown(text);
  if (!reads_calls_ && !format_.HasThoughts()) return Emit(AnswerEvent::Kind::kText, shown);
  const size_t end = shown.find_last_not_of(kSpaces);
  if (end == std::string::npos) {
    space_ += shown;
    return;
  }
  const bool drops = !has_text_ && (seen_thought_ || seen_call_);
  std::string whole = space_ + shown.substr(0, end + 1);
  if (drops) whole.erase(0, whole.find_first_not_of(kSpaces));
  space_ = shown.substr(end + 1);
  has_text_ = true;
  Emit(AnswerEvent::Kind::kText, std::move(whole));
}

void AnswerParser::EmitThought(std::string_view text) {
  const std::string shown = format_.Shown(text);
  const size_t end = shown.find_last_not_of(kSpaces);
  if (end == std::string::npos) {
    space_ += shown;
    return;
  }
  std::string whole = space_ + shown.substr(0, end + 1);
  if (!has_thought_) whole.erase(0, whole.find_first_not_of(kSpaces));
  space_ = shown.substr(end + 1);
  has_thought_ = true;
  Emit(AnswerEvent::Kind::kThought, std::move(whole));
}

}  // namespace throng::llm
