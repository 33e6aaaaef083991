#include "base/text/key_values.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "base/error.h"

namespace throng {
namespace {

constexpr size_t kMostDigits = 1024;

template <typename T>
bool Parse(std::string_view text, T& value) {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && stop == end;
}

}  // namespace

NamedValues SplitName(std::string_view text) {
  const size_t colon = std::min(text.find(':'), text.size());
  return {text.substr(0, colon), text.substr(std::min(colon + 1, text.size()))};
}

KeyValues::KeyValues(std::string_view owner, std::string_view text, char separator) : owner_(owner) {
  while (!text.empty()) {
    const size_t end = std::min(text.find(separator), text.size());
    const std::string_view item = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const size_t equals = item.find('=');
    if (equals == std::string_view::npos || equals == 0 || equals + 1 == item.size()) {
      throw MakeError(ErrorCode::kInvalid, "{}: found parameter \"{}\", but the form is key=value", owner_,
                      item);
    }
    const std::string key(item.substr(0, equals));
    if (!values_.emplace(key, Value{std::string(item.substr(equals + 1))}).second) {
      throw MakeError(ErrorCode::kInvalid, "{}: parameter {} is given twice", owner_, key);
    }
  }
}

const std::string* KeyValues::Find(const std::string& key) {
  known_ += (known_.empty() ? "" : ", ") + key;
  const auto it = values_.find(key);
  if (it == values_.end()) return nullptr;
  it->second.used = true;
  return &it->second.text;
}

template <typename T>
T KeyValues::Within(const std::string& key, T missing, T lowest, T highest, const char* what) {
  const std::string* text = Find(key);
  if (text == nullptr) return missing;
  T value{};
  // The negated comparison also refuses NaN.
  if (!Parse(*text, value) || !(value >= lowest && value <= highest)) {
    throw MakeError(ErrorCode::kInvalid, "{}: {}={} must be a {} from {} to {}", owner_, key, *text, what,
                    lowest, highest);
  }
  return value;
}

int KeyValues::Int(const std::string& key, int missing, int lowest, int highest) {
  return Within(key, missing, lowest, highest, "whole number");
}

int64_t KeyValues::Int64(const std::string& key, int64_t missing, int64_t lowest, int64_t highest) {
  return Within(key, missing, lowest, highest, "whole number");
}

uint64_t KeyValues::Uint64(const std::string& key, uint64_t missing) {
  return Within(key, missing, uint64_t{0}, std::numeric_limits<uint64_t>::max(), "whole number");
}

double KeyValues::Number(const std::string& key, double missing, double lowest, double highest) {
  return Within(key, missing, lowest, highest, "number");
}

double KeyValues::Fraction(const std::string& key, double missing, double lowest, double highest) {
  const std::string* text = Find(key);
  if (text == nullptr) return missing;
  std::string_view number = *text;
  const bool percent = number.ends_with('%');
  if (percent) number.remove_suffix(1);
  double value = 0.0;
  const bool parsed = Parse(number, value);
  if (percent) value /= 100.0;
  if (!parsed || !(value >= lowest && value <= highest)) {
    throw MakeError(ErrorCode::kInvalid, "{}: {}={} must be a number from {} to {}, or a percentage", owner_,
                    key, *text, lowest, highest);
  }
  return value;
}

bool KeyValues::Flag(const std::string& key, bool missing) { return Int(key, missing ? 1 : 0, 0, 1) == 1; }

std::string KeyValues::Text(const std::string& key, const std::string& missing) {
  const std::string* text = Find(key);
  return text == nullptr ? missing : *text;
}

int KeyValues::Choice(const std::string& key, std::initializer_list<std::string_view> allowed) {
  const std::string* text = Find(key);
  if (text == nullptr) return 0;
  const auto it = std::find(allowed.begin(), allowed.end(), *text);
  if (it == allowed.end()) {
    throw MakeError(ErrorCode::kInvalid, "{}: {}={} must be one of {}", owner_, key, *text,
                    fmt::join(allowed, ", "));
  }
  return static_cast<int>(it - allowed.begin());
}

std::string KeyValues::Digits(const std::string& key, std::string_view allowed) {
  const std::string* text = Find(key);
  if (text == nullptr) return "";
  if (text->size() > kMostDigits || text->find_first_not_of(allowed) != std::string::npos) {
    throw MakeError(ErrorCode::kInvalid, "{}: {}={} must be 1 to {} digits of \"{}\"", owner_, key, *text,
                    kMostDigits, allowed);
  }
  return *text;
}

void KeyValues::CheckAllUsed() const {
  for (const auto& [key, value] : values_) {
    if (value.used) continue;
    throw MakeError(ErrorCode::kInvalid, "{}: unknown parameter {} (allowed: {})", owner_, key,
                    known_.empty() ? "none" : known_);
  }
}

}  // namespace throng
