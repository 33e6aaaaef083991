#include "llm/tools/answer_parser.h"

#include <utility>

namespace throng::llm {

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
  if (EndsBeforeAName()) {
    held_ = HeldText();
    space_.clear();
    state_ = State::kTop;
  }
  final_ = true;
  Push("", events);
  if (state_ == State::kThought) {
    EmitThought(Consume(held_.Text().size()));
  } else if (state_ == State::kCode) {
    Emit(AnswerEvent::Kind::kArguments, "\"}");
  }
  if (state_ == State::kTop) {
    EmitText(Consume(held_.Text().size()));
    if (!seen_call_ && (has_text_ || !seen_thought_) && !space_.empty())
      Emit(AnswerEvent::Kind::kText, std::exchange(space_, {}));
  }
}

// Whether the answer was cut short in what can only be a call or what marks a channel, and is no text.
bool AnswerParser::EndsBeforeAName() const {
  switch (state_) {
    case State::kTop:
      return !held_.Empty() &&
             (form_->calls == AnswerForm::Calls::kMust || seen_call_ || AnswerFormat::IsMark(held_.Front()));
    case State::kHead:
    case State::kTag:
    case State::kKeys:
    case State::kName:
    case State::kOtherValue:
    case State::kArguments:
      return !is_named_;
    default:
      return false;
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
    case State::kTag:
      return StepTag();
    case State::kOtherValue:
    case State::kArguments:
      if (body_ == CallBody::kBraces) return StepBraces();
      return body_ == CallBody::kPython ? StepPython() : StepValue();
    case State::kCode:
      return StepCode();
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
  if (reads_calls_ && !has_text_ && !seen_call_) literals.push_back(format_.tag);
  size_t at = 0;
  std::string_view literal;
  const bool is_whole = held_.FindFirst(literals, final_, at, literal);
  const bool is_call = is_whole && literal == trigger;
  const bool is_tag = is_whole && literal == format_.tag;
  const bool is_thought = is_whole && literal == format_.thought_begin;
  const std::string before = format_.Shown(std::string_view(held_.Text()).substr(0, at));
  const bool is_late = before.find_first_not_of(kSpaces) != std::string::npos;
  if (is_late && ((is_call && format_.at_start) || is_tag || (is_thought && format_.text_begin.empty()))) {
    EmitText(Consume(at + literal.size()));
    return true;
  }
  EmitText(Consume(at));
  if (!is_whole) return false;
  if (is_call) {
    BeginCalls();
    return true;
  }
  if (is_tag) {
    NextCall();
    state_ = State::kTag;
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
