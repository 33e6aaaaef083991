#include "llm/tools/python_arguments.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/text/utf8.h"
#include "llm/grammar/grammar.h"
#include "llm/tools/answer_format.h"
#include "llm/tools/held_text.h"

namespace throng::llm {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kDelimiters = " \t\r\n,:()[]{}='\"";

std::string Quoted(std::string_view text) { return Json(ReplaceInvalidUtf8(text)).dump(); }

// Hexadecimal digits; -1 for what is none.
int64_t HexOf(std::string_view digits) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  return error == std::errc() && end == digits.data() + digits.size() ? value : -1;
}

// A name or a number.
std::string JsonOfWord(std::string_view word) {
  if (word == "True" || word == "true") return "true";
  if (word == "False" || word == "false") return "false";
  if (word == "None" || word == "null") return "null";
  std::string number(word);
  std::erase(number, '_');
  if (number.starts_with('+')) number.erase(0, 1);
  if (number.starts_with("0x")) {
    const int64_t value = HexOf(std::string_view(number).substr(2));
    return value >= 0 ? fmt::format("{}", value) : Quoted(word);
  }
  const size_t sign = number.starts_with('-') ? 1 : 0;
  if (number.substr(sign).starts_with('.')) number.insert(sign, 1, '0');
  if (number.ends_with('.')) number += '0';
  return Json::parse(number, nullptr, /*allow_exceptions=*/false).is_number() ? number : Quoted(word);
}

}  // namespace

size_t PythonArguments::Take(std::string_view text, bool is_final, std::string& json) {
  size_t taken = 0;
  while (taken < text.size() && !done_) {
    const std::string_view rest = text.substr(taken);
    size_t more = 1;
    if (AnswerFormat::IsMark(rest[0])) {
      done_ = true;
      break;
    }
    if (!quote_.empty()) {
      more = TakeString(rest, is_final, json);
    } else if (IsSpace(rest[0]) || rest[0] == '=') {
      // Between two of the others.
    } else if (levels_.empty()) {
      if (rest[0] == ')') {
        json += "{}";
        done_ = true;
      } else {
        json += '{';
        levels_.push_back({.closing = '}', .at_key = true});
        more = 0;
        continue;
      }
    } else if (rest[0] == ')' || rest[0] == ']' || rest[0] == '}') {
      Close(json);
    } else if (rest[0] == ',') {
      levels_.back().at_key = levels_.back().closing == '}';
    } else if (rest[0] == ':') {
      levels_.back().at_key = false;
    } else if (levels_.size() == 1 && levels_[0].at_key) {
      more = TakeName(rest, is_final, json);
      if (more == 0 && !levels_[0].at_key) continue;  // an argument without a name
    } else {
      more = TakeValue(rest, is_final, json);
    }
    if (more == 0) break;
    taken += more;
  }
  return taken;
}

size_t PythonArguments::TakeName(std::string_view text, bool is_final, std::string& json) {
  const size_t end = std::min(text.find_first_of(kDelimiters), text.size());
  const size_t next = std::min(text.find_first_not_of(kSpaces, end), text.size());
  if (next == text.size() && !is_final) return 0;
  const bool is_named = end > 0 && next < text.size() && text[next] == '=';
  BeginItem(json);
  if (is_named) {
    json += Quoted(text.substr(0, end)) + ":";
  } else {
    const size_t place = num_unnamed_++;
    json += Quoted(place < names_.size() ? names_[place] : fmt::format("{}", place)) + ":";
  }
  levels_[0].at_key = false;
  return is_named ? next + 1 : 0;
}

size_t PythonArguments::TakeValue(std::string_view text, bool is_final, std::string& json) {
  const char first = text[0];
  if (first == '"' || first == '\'') return BeginString(text, is_final, json);
  if (first != '[' && first != '(' && first != '{') return TakeWord(text, is_final, json);
  BeginItem(json);
  const bool is_object = first == '{';
  json += is_object ? '{' : '[';
  levels_.push_back({.closing = is_object ? '}' : ']', .at_key = is_object});
  return 1;
}

size_t PythonArguments::TakeWord(std::string_view text, bool is_final, std::string& json) {
  const size_t end = text.find_first_of(kDelimiters);
  if (end == std::string_view::npos && !is_final) return 0;
  const std::string_view word = text.substr(0, end);
  const bool is_key = levels_.back().at_key;
  BeginItem(json);
  json += is_key ? Quoted(word) + ":" : JsonOfWord(word);
  return word.size();
}

size_t PythonArguments::BeginString(std::string_view text, bool is_final, std::string& json) {
  if (text.size() < 3 && !is_final && (text.size() == 1 || text[1] == text[0])) return 0;
  const bool is_triple = text.size() >= 3 && text[1] == text[0] && text[2] == text[0];
  quote_ = std::string(is_triple ? 3 : 1, text[0]);
  BeginItem(json);
  json += '"';
  return quote_.size();
}

// One character, or the quote.
size_t PythonArguments::TakeString(std::string_view text, bool is_final, std::string& json) {
  if (text.starts_with(quote_)) {
    const size_t size = quote_.size();
    json += '"';
    if (levels_.back().at_key) json += ':';
    quote_.clear();
    return size;
  }
  if (quote_.starts_with(text) && !is_final) return 0;
  if (text[0] == '\\') return TakeEscape(text, is_final, json);
  const auto byte = static_cast<unsigned char>(text[0]);
  if (byte < 0x80) {
    AppendStringChar(byte, json);
  } else {
    json += text[0];
  }
  return 1;
}

size_t PythonArguments::TakeEscape(std::string_view text, bool is_final, std::string& json) {
  if (text.size() < 2) {
    if (is_final) AppendStringChar('\\', json);
    return is_final ? 1 : 0;
  }
  constexpr std::string_view kLetters = "ntrbfav0\\'\"", kMeanings("\n\t\r\b\f\a\v\0\\'\"", 11);
  const size_t simple = kLetters.find(text[1]);
  if (simple != std::string_view::npos) {
    AppendStringChar(static_cast<unsigned char>(kMeanings[simple]), json);
    return 2;
  }
  if (text[1] == '\n') return 2;  // a line that goes on
  const size_t digits = text[1] == 'x' ? 2 : text[1] == 'u' ? 4 : text[1] == 'U' ? 8 : 0;
  if (digits > 0 && text.size() < 2 + digits && !is_final) return 0;
  const int64_t code = digits == 0 || text.size() < 2 + digits ? -1 : HexOf(text.substr(2, digits));
  if (code < 0) {
    AppendStringChar('\\', json);
    return 1;
  }
  if (digits == 4 && code >= 0xd800 && code < 0xe000) {  // as JSON writes characters beyond 16 bits
    json += text.substr(0, 6);
  } else {
    AppendStringChar(static_cast<uint32_t>(code > 0x10ffff ? 0xfffd : code), json);
  }
  return 2 + digits;
}

void PythonArguments::BeginItem(std::string& json) {
  if (levels_.empty()) return;
  Level& level = levels_.back();
  if (level.closing == '}' && !level.at_key) return;  // the value of a key
  if (!std::exchange(level.is_empty, false)) json += ',';
}

void PythonArguments::Close(std::string& json) {
  json += levels_.back().closing;
  levels_.pop_back();
  done_ = levels_.empty();
}

}  // namespace throng::llm
