#include "kv/codec_parameters.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/error.h"

namespace throng::kv {
namespace {

constexpr size_t kMostDigits = 1024;

}  // namespace

CodecParameters::CodecParameters(std::string_view codec, std::string_view text) : codec_(codec) {
  while (!text.empty()) {
    const size_t comma = text.find(',');
    const std::string_view item = text.substr(0, comma);
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
    const size_t equals = item.find('=');
    if (equals == std::string_view::npos || equals == 0 || equals + 1 == item.size()) {
      throw MakeError(ErrorCode::kInvalid, "codec {}: found parameter \"{}\", but the form is key=value",
                      codec_, item);
    }
    const std::string key(item.substr(0, equals));
    if (!values_.emplace(key, Value{std::string(item.substr(equals + 1))}).second) {
      throw MakeError(ErrorCode::kInvalid, "codec {}: parameter {} is given twice", codec_, key);
    }
  }
}

const std::string* CodecParameters::Find(const std::string& key) {
  known_ += (known_.empty() ? "" : ", ") + key;
  const auto it = values_.find(key);
  if (it == values_.end()) return nullptr;
  it->second.used = true;
  return &it->second.text;
}

int CodecParameters::Int(const std::string& key, int missing, int lowest, int highest) {
  const std::string* text = Find(key);
  if (text == nullptr) return missing;
  int value = 0;
  const char* end = text->data() + text->size();
  const auto result = std::from_chars(text->data(), end, value);
  if (result.ec != std::errc() || result.ptr != end || value < lowest || value > highest) {
    throw MakeError(ErrorCode::kInvalid, "codec {}: {}={} must be a whole number from {} to {}", codec_, key,
                    *text, lowest, highest);
  }
  return value;
}

double CodecParameters::Fraction(const std::string& key, double missing, double lowest, double highest) {
  const std::string* text = Find(key);
  if (text == nullptr) return missing;
  const bool percent = text->back() == '%';
  double value = 0.0;
  const char* end = text->data() + text->size() - (percent ? 1 : 0);
  const auto result = std::from_chars(text->data(), end, value);
  if (percent) value /= 100.0;
  // The negated comparison also refuses NaN.
  if (result.ec != std::errc() || result.ptr != end || !(value >= lowest && value <= highest)) {
    throw MakeError(ErrorCode::kInvalid, "codec {}: {}={} must be a number from {} to {}, or a percentage",
                    codec_, key, *text, lowest, highest);
  }
  return value;
}

int CodecParameters::Choice(const std::string& key, std::initializer_list<std::string_view> allowed) {
  const std::string* text = Find(key);
  if (text == nullptr) return 0;
  const auto it = std::find(allowed.begin(), allowed.end(), *text);
  if (it == allowed.end()) {
    throw MakeError(ErrorCode::kInvalid, "codec {}: {}={} must be one of {}", codec_, key, *text,
                    fmt::join(allowed, ", "));
  }
  return static_cast<int>(it - allowed.begin());
}

std::string CodecParameters::Digits(const std::string& key, std::string_view allowed) {
  const std::string* text = Find(key);
  if (text == nullptr) return "";
  if (text->size() > kMostDigits || text->find_first_not_of(allowed) != std::string::npos) {
    throw MakeError(ErrorCode::kInvalid, "codec {}: {}={} must be 1 to {} digits of \"{}\"", codec_, key,
                    *text, kMostDigits, allowed);
  }
  return *text;
}

void CodecParameters::CheckAllUsed() const {
  for (const auto& [key, value] : values_) {
    if (value.used) continue;
    throw MakeError(ErrorCode::kInvalid, "codec {}: unknown parameter {} (allowed: {})", codec_, key,
                    known_.empty() ? "none" : known_);
  }
}

}  // namespace throng::kv
