#include "llm/backends/options.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/error.h"

namespace throng::llm {
namespace {

template <typename T>
bool ParseNumber(const std::string& text, T& value) {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && stop == end;
}

template <typename T>
bool ParseWithin(const std::string& text, T& field, T min, T max) {
  T value{};
  if (!ParseNumber(text, value) || !(value >= min && value <= max)) return false;
  field = value;
  return true;
}

}  // namespace

Options& Options::Bind(const char* key, double& field, double min, double max) {
  bindings_.push_back(
      {key, fmt::format("a number from {} to {}", min, max),
       [&field, min, max](const std::string& text) { return ParseWithin(text, field, min, max); }});
  return *this;
}

Options& Options::Bind(const char* key, int& field, int min, int max) {
  bindings_.push_back(
      {key, fmt::format("a whole number from {} to {}", min, max),
       [&field, min, max](const std::string& text) { return ParseWithin(text, field, min, max); }});
  return *this;
}

Options& Options::Bind(const char* key, int64_t& field, int64_t min, int64_t max) {
  bindings_.push_back(
      {key, fmt::format("a whole number from {} to {}", min, max),
       [&field, min, max](const std::string& text) { return ParseWithin(text, field, min, max); }});
  return *this;
}

Options& Options::Bind(const char* key, uint64_t& field) {
  bindings_.push_back(
      {key, "a whole number", [&field](const std::string& text) { return ParseNumber(text, field); }});
  return *this;
}

Options& Options::Bind(const char* key, bool& field) {
  bindings_.push_back({key, "0 or 1", [&field](const std::string& text) {
                         field = text == "1";
                         return text == "0" || text == "1";
                       }});
  return *this;
}

Options& Options::Bind(const char* key, std::string& field) {
  bindings_.push_back({key, "a text that is not empty", [&field](const std::string& text) {
                         field = text;
                         return !text.empty();
                       }});
  return *this;
}

void Options::Parse(std::string_view text, char separator) const {
  while (!text.empty()) {
    const size_t end = std::min(text.find(separator), text.size());
    const std::string_view item = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const size_t equals = std::min(item.find('='), item.size());
    const std::string_view key = item.substr(0, equals);
    const std::string value(item.substr(std::min(equals + 1, item.size())));
    const auto binding =
        std::find_if(bindings_.begin(), bindings_.end(), [&](const Binding& b) { return key == b.key; });
    if (binding == bindings_.end()) {
      std::string known;
      for (const Binding& b : bindings_) known += (known.empty() ? "" : ", ") + std::string(b.key);
      throw MakeError(ErrorCode::kInvalid, "{}: the option {:?} is not known; the options are {}", where_,
                      key, known);
    }
    if (!binding->set(value)) {
      throw MakeError(ErrorCode::kInvalid, "{}: {} is {:?} but must be {}", where_, key, value,
                      binding->allowed);
    }
  }
}

}  // namespace throng::llm
