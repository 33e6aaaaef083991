#include "llm/answer/answer_checker.h"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/error.h"
#include "base/text/trim.h"
#include "base/text/utf8.h"
#include "llm/grammar/grammar.h"

namespace throng::llm {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxChecks = 256;
constexpr int kMaxJsonDepth = 128;      // deeper answers are no answers
constexpr size_t kMaxValues = 64;       // JSON values looked at in one text
constexpr size_t kMaxAnswer = 1 << 20;  // bytes; longer answers are not searched
constexpr std::string_view kSpaces = " \t\r\n";
constexpr std::string_view kMarks = " \t\r\n\"'`*_.,:;!?()[]{}<>";

// The text after the thoughts of a reasoning model; nothing if there are only thoughts.
std::optional<std::string_view> WithoutThoughts(std::string_view text) {
  for (const std::string_view tag : {"think", "thinking"}) {
    const std::string begin = fmt::format("<{}>", tag);
    const std::string end = fmt::format("</{}>", tag);
    const bool begins = Trimmed(text).starts_with(begin);
    const size_t first_end = text.find(end);
    // Templates may write the opening tag themselves, so that the answer has only the closing one.
    if (first_end != text.npos && (begins || text.find(begin) > first_end)) {
      text.remove_prefix(text.rfind(end) + end.size());
      text.remove_prefix(std::min(text.find_first_not_of(kSpaces), text.size()));
      return text;
    }
    if (begins) return std::nullopt;
  }
  return text;
}

// What stands between pairs of ``` lines.
std::vector<std::string_view> Fenced(std::string_view text) {
  constexpr std::string_view kFence = "```";
  std::vector<std::string_view> parts;
  for (size_t at = text.find(kFence); at != text.npos;) {
    const size_t open = at + kFence.size();
    const size_t close = text.find(kFence, open);
    if (close == text.npos) break;
    std::string_view inside = text.substr(open, close - open);
    const size_t line = inside.find('\n');
    if (line != inside.npos) {  // the rest of the first line names a language
      inside.remove_prefix(line);
    }
    parts.push_back(Trimmed(inside));
    at = text.find(kFence, close + kFence.size());
  }
  return parts;
}

// Discarded if it is no JSON, or too deep.
Json Parse(std::string_view text) {
  bool too_deep = false;
  const auto depth_is_fine = [&](int depth, Json::parse_event_t, Json&) {
    too_deep = too_deep || depth > kMaxJsonDepth;
    return !too_deep;
  };
  Json json = Json::parse(text, depth_is_fine, /*allow_exceptions=*/false);
  return too_deep ? Json(Json::value_t::discarded) : json;
}

// The end of the object or array that begins at `at`; npos if it has none.
size_t EndOfValue(std::string_view text, size_t at) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = at; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if ((c == '}' || c == ']') && --depth == 0) {
      return i + 1;
    }
  }
  return text.npos;
}

// The outermost objects and arrays in a text, up to one that does not end: what is in it is a part of an
// answer.
std::vector<Json> ValuesWithin(std::string_view text) {
  std::vector<Json> values;
  size_t at = text.find_first_of("{[");
  size_t looked_at = 0;  // bytes: brackets that are none of JSON are tried in vain
  for (size_t tried = 0; at != text.npos && tried < kMaxValues && looked_at <= 4 * text.size(); ++tried) {
    const size_t end = EndOfValue(text, at);
    if (end == text.npos) break;
    looked_at += end - at;
    Json json = Parse(text.substr(at, end - at));
    const bool good = !json.is_discarded();
    if (good) values.push_back(std::move(json));
    at = text.find_first_of("{[", good ? end : at + 1);
  }
  return values;
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return lower;
}

bool IsWordByte(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || static_cast<uint8_t>(c) >= 0x80;
}

bool HasWord(std::string_view text, std::string_view word) {
  if (word.empty()) return false;
  for (size_t at = text.find(word); at != text.npos; at = text.find(word, at + 1)) {
    const size_t end = at + word.size();
    if ((at == 0 || !IsWordByte(text[at - 1])) && (end == text.size() || !IsWordByte(text[end]))) return true;
  }
  return false;
}

// A choice that was found (its index), or none, or that several could be meant.
struct Found {
  int index = -1;
  bool several = false;
};

// The choice that reads the same as the text by `form`.
template <typename Form>
Found Match(const std::vector<std::string>& choices, std::string_view text, const Form& form) {
  Found found;
  const std::string wanted = form(text);
  for (size_t i = 0; i < choices.size(); ++i) {
    if (form(choices[i]) != wanted) continue;
    if (found.index >= 0 && choices[i] != choices[static_cast<size_t>(found.index)]) return {-1, true};
    if (found.index < 0) found.index = static_cast<int>(i);
  }
  return found;
}

// A choice as the head of a line or sentence, "yes) because it is late", if the rest mentions no other.
Found MatchHead(const std::vector<std::string>& choices, std::string_view text) {
  const std::string lower = Lower(text);
  const size_t begin = lower.find_first_not_of(kMarks);
  if (begin == lower.npos) return {};
  const std::string_view said = std::string_view(lower).substr(begin);
  Found found;
  std::string_view rest;
  for (size_t i = 0; i < choices.size(); ++i) {
    const std::string choice = Lower(Trimmed(choices[i], kMarks));
    if (choice.empty() || !said.starts_with(choice)) continue;
    std::string_view after = said.substr(choice.size());
    while (!after.empty() && std::string_view("\"'`*_").find(after.front()) != after.npos)
      after.remove_prefix(1);
    const auto ends_a_word = [&](size_t at) {
      return at >= after.size() || kSpaces.find(after[at]) != kSpaces.npos;
    };
    const bool ends =
        after.starts_with(')') || after.starts_with(']') || after.starts_with('\n') ||
        (!after.empty() && std::string_view(".:;!").find(after[0]) != after.npos && ends_a_word(1)) ||
        after.starts_with(" - ") || after.starts_with(" \u2013 ") || after.starts_with(" \u2014 ");
    if (!ends) continue;
    if (found.index >= 0) return {-1, true};
    found.index = static_cast<int>(i);
    rest = after;
  }
  if (found.index < 0) return found;
  const std::string chosen = Lower(Trimmed(choices[static_cast<size_t>(found.index)], kMarks));
  for (const std::string& other : choices) {
    const std::string word = Lower(Trimmed(other, kMarks));
    if (word != chosen && HasWord(rest, word)) return {-1, true};
  }
  return found;
}

// First as it is written, then with less and less of its form.
Found MatchChoice(const std::vector<std::string>& choices, std::string_view text) {
  const auto as_written = [](std::string_view one) { return std::string(one); };
  const auto without_spaces = [](std::string_view one) { return std::string(Trimmed(one)); };
  const auto without_marks = [](std::string_view one) { return std::string(Trimmed(one, kMarks)); };
  const auto without_case = [](std::string_view one) { return Lower(Trimmed(one, kMarks)); };
  Found found = Match(choices, text, as_written);
  if (found.index >= 0) return found;
  for (const auto& form : {+without_spaces, +without_marks, +without_case}) {
    if (Trimmed(text, kMarks).empty() && form != +without_spaces) return {};
    found = Match(choices, text, form);
    if (found.index >= 0 || found.several) return found;
  }
  return MatchHead(choices, text);
}

// The text in {"answer": text}, the form that servers without choices are asked for.
std::optional<std::string> Unwrapped(const Json& json) {
  if (json.is_string()) return json.get<std::string>();
  if (!json.is_object() || !json.contains("answer") || !json["answer"].is_string()) return std::nullopt;
  return json["answer"].get<std::string>();
}

std::optional<std::string> FitChoice(const Constraint& constraint, std::string_view raw,
                                     std::string_view text, std::string& why) {
  const std::vector<std::string>& choices = constraint.choices;
  for (const std::string_view exact : {raw, text}) {
    if (std::find(choices.begin(), choices.end(), exact) != choices.end()) return std::string(exact);
  }
  // What could be the answer: the text, the value in it, the only code block.
  std::vector<std::string> candidates;
  candidates.emplace_back(text);
  if (auto inside = Unwrapped(Parse(text))) candidates.push_back(*std::move(inside));
  const std::vector<std::string_view> fenced = Fenced(text);
  if (fenced.size() == 1) {
    const auto inside = Unwrapped(Parse(fenced[0]));
    candidates.push_back(inside ? *inside : std::string(fenced[0]));
  }
  if (const std::vector<Json> values = ValuesWithin(text); values.size() == 1) {
    if (auto inside = Unwrapped(values[0])) candidates.push_back(*std::move(inside));
  }
  for (const std::string& candidate : candidates) {
    const Found found = MatchChoice(choices, candidate);
    if (found.index >= 0) return choices[static_cast<size_t>(found.index)];
    if (found.several) {
      why = "it could mean more than one of: " + OneLine(fmt::format("{}", fmt::join(choices, ", ")), 400);
      return std::nullopt;
    }
  }
  why = "it is not " + OneLine(DescribeConstraint(constraint), 400);
  return std::nullopt;
}

}  // namespace

std::string DescribeConstraint(const Constraint& constraint) {
  if (!constraint.json_schema.empty()) return "JSON of the schema " + constraint.json_schema;
  if (!constraint.grammar.empty()) return "a text of the grammar " + constraint.grammar;
  if (!constraint.regex.empty()) return "a text of the regular expression " + constraint.regex;
  return fmt::format("one of: {}", fmt::join(constraint.choices, ", "));
}

std::string OneLine(std::string_view text, size_t max_bytes) {
  std::string line(text);
  std::replace_if(
      line.begin(), line.end(), [](char c) { return static_cast<uint8_t>(c) < 0x20 || c == 0x7f; }, ' ');
  line = Trimmed(line);
  if (line.size() > max_bytes) line = std::string(CutUtf8(line, max_bytes)) + "...";
  return line.empty() ? "(no text)" : line;
}

void AnswerChecker::Prepare(const Constraint& constraint) {
  if (!constraint.grammar.empty() || !constraint.regex.empty()) AutomatonOf(constraint);
  if (constraint.json_schema.empty()) return;
  if (!constraint.choices.empty()) {
    throw MakeError(
        ErrorCode::kInvalid,
        "a request has both choices and a JSON schema, but only one of them can constrain its answer");
  }
  CheckOf(constraint.json_schema);
}

const SchemaCheck& AnswerChecker::CheckOf(const std::string& schema) {
  const auto found = checks_.find(schema);
  if (found != checks_.end()) return *found->second;
  if (checks_.size() >= kMaxChecks) checks_.clear();
  return *checks_.emplace(schema, std::make_unique<SchemaCheck>(schema)).first->second;
}

Automaton& AnswerChecker::AutomatonOf(const Constraint& constraint) {
  const std::string key = constraint.grammar + constraint.regex;  // only one is given
  const auto found = automata_.find(key);
  if (found != automata_.end()) return *found->second;
  if (automata_.size() >= kMaxChecks) automata_.clear();
  return *automata_.emplace(key, std::make_unique<Automaton>(CompileGrammar(constraint))).first->second;
}

std::optional<std::string> AnswerChecker::FitTexts(const Constraint& constraint, std::string_view raw,
                                                   std::string_view text, std::string& why) {
  Automaton& automaton = AutomatonOf(constraint);
  for (const std::string_view exact : {raw, text, Trimmed(text)})
    if (automaton.Matches(exact)) return std::string(exact);
  why = "it is not " + OneLine(DescribeConstraint(constraint), 400);
  return std::nullopt;
}

std::optional<std::string> AnswerChecker::FitSchema(const std::string& schema, std::string_view text,
                                                    std::string& why) {
  const SchemaCheck& check = CheckOf(schema);
  const auto written = [&](const Json& json) {
    return check.InForm(json).dump(-1, ' ', false, Json::error_handler_t::replace);
  };
  const Json whole = Parse(text);
  if (!whole.is_discarded()) {
    why = check.WhatIsWrong(whole);
    return why.empty() ? std::optional(written(whole)) : std::nullopt;
  }
  why = text.empty() ? "it has no text" : "it is not JSON";
  if (text.size() > kMaxAnswer) return std::nullopt;
  std::vector<Json> fenced;
  for (const std::string_view part : Fenced(text)) {
    if (Json json = Parse(part); !json.is_discarded()) fenced.push_back(std::move(json));
  }
  // Several that are allowed are certain only if they are the same.
  for (const std::vector<Json>& values : {fenced, ValuesWithin(text)}) {
    std::optional<std::string> answer;
    for (const Json& value : values) {
      if (std::string wrong = check.WhatIsWrong(value); !wrong.empty()) {
        why = std::move(wrong);
        continue;
      }
      std::string one = written(value);
      if (answer && *answer != one) {
        why = "it has several answers";
        return std::nullopt;
      }
      answer = std::move(one);
    }
    if (answer) return answer;
  }
  return std::nullopt;
}

std::optional<std::string> AnswerChecker::Fit(const Constraint& constraint, std::string_view answer,
                                              std::string* why) {
  std::string reason;
  std::optional<std::string> fitting;
  const std::optional<std::string_view> text = WithoutThoughts(answer);
  if (constraint.Empty()) {
    if (text) fitting = std::string(*text);
  } else if (!constraint.choices.empty()) {
    fitting = FitChoice(constraint, answer, text.value_or(""), reason);
  } else if (constraint.json_schema.empty()) {
    fitting = FitTexts(constraint, answer, text.value_or(""), reason);
  } else if (text) {
    fitting = FitSchema(constraint.json_schema, Trimmed(*text), reason);
  }
  if (!fitting && !text) reason = "it has thoughts, but no answer";
  if (why != nullptr) *why = std::move(reason);
  return fitting;
}

}  // namespace throng::llm
