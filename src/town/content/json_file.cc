#include "town/content/json_file.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/mapped_file.h"

namespace throng::town {
namespace {

constexpr size_t kMaxFileBytes = 16 << 20;
constexpr int kMaxDepth = 32;

std::string Shorten(const Json& value) {
  std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

}  // namespace

std::string ReadText(const std::string& path) {
  std::string text = ReadFile(path);
  if (text.size() > kMaxFileBytes) {
    throw MakeError(ErrorCode::kInvalid, "{}: found {} bytes, allowed: at most {}", path, text.size(),
                    kMaxFileBytes);
  }
  return text;
}

Json ParseJson(const std::string& path, const std::string& text) {
  const auto check_depth = [&](int depth, Json::parse_event_t, Json&) {
    if (depth > kMaxDepth) {
      throw MakeError(ErrorCode::kInvalid, "{}: values are nested too deeply, allowed: {} levels", path,
                      kMaxDepth);
    }
    return true;
  };
  try {
    return Json::parse(text, check_depth);
  } catch (const Json::parse_error& error) {
    const auto end = text.begin() + static_cast<std::ptrdiff_t>(std::min(error.byte, text.size()));
    const auto line = 1 + std::count(text.begin(), end, '\n');
    throw MakeError(ErrorCode::kInvalid,
                    "{}:{}: this is not JSON from here on, allowed: JSON without comments", path, line);
  }
}

void JsonView::Fail(std::string_view allowed) const {
  throw MakeError(ErrorCode::kInvalid, "{}: found {}, allowed: {}", where_, Shorten(*value_), allowed);
}

void JsonView::MustBeObject() const {
  if (!value_->is_object()) Fail("an object in braces");
}

void JsonView::OnlyKeys(std::initializer_list<std::string_view> keys) const {
  MustBeObject();
  for (const auto& [key, value] : value_->items()) {
    if (std::find(keys.begin(), keys.end(), key) != keys.end()) continue;
    throw MakeError(ErrorCode::kInvalid, "{}: found the key \"{}\", allowed: {}", where_, key,
                    fmt::join(keys, ", "));
  }
}

JsonView JsonView::At(std::string_view key) const {
  if (std::optional<JsonView> found = Find(key)) return *found;
  throw MakeError(ErrorCode::kInvalid, "{}: the key \"{}\" is missing", where_, key);
}

std::optional<JsonView> JsonView::Find(std::string_view key) const {
  MustBeObject();
  const auto found = value_->find(std::string(key));
  if (found == value_->end()) return std::nullopt;
  const char* separator = where_.ends_with(".json") ? ": " : ".";
  return JsonView(*found, fmt::format("{}{}{}", where_, separator, key));
}

std::vector<JsonView> JsonView::Items(size_t min, size_t max) const {
  if (!value_->is_array() || value_->size() < min || value_->size() > max) {
    Fail(fmt::format("a list of {} to {} values", min, max));
  }
  const char* separator = where_.ends_with(".json") ? ": " : "";
  std::vector<JsonView> items;
  for (size_t i = 0; i < value_->size(); ++i) {
    items.emplace_back((*value_)[i], fmt::format("{}{}[{}]", where_, separator, i));
  }
  return items;
}

std::string JsonView::Text(size_t min_bytes, size_t max_bytes) const {
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20; };
  if (value_->is_string()) {
    const std::string& text = value_->get_ref<const std::string&>();
    if (text.size() >= min_bytes && text.size() <= max_bytes &&
        std::none_of(text.begin(), text.end(), is_control)) {
      return text;
    }
  }
  Fail(fmt::format("a text of {} to {} bytes in one line", min_bytes, max_bytes));
}

int64_t JsonView::Int(int64_t min, int64_t max) const {
  if (value_->is_number_integer()) {
    const bool huge = value_->is_number_unsigned() && value_->get<uint64_t>() > uint64_t{INT64_MAX};
    if (!huge && value_->get<int64_t>() >= min && value_->get<int64_t>() <= max)
      return value_->get<int64_t>();
  }
  Fail(fmt::format("a whole number from {} to {}", min, max));
}

double JsonView::Number(double min, double max) const {
  if (value_->is_number()) {
    const double number = value_->get<double>();
    if (number >= min && number <= max) return number;
  }
  Fail(fmt::format("a number from {} to {}", min, max));
}

bool JsonView::Bool() const {
  if (!value_->is_boolean()) Fail("true or false");
  return value_->get<bool>();
}

int JsonView::ClockMinutes() const {
  if (value_->is_string()) {
    if (const std::optional<int> minutes = ParseClock(value_->get_ref<const std::string&>())) return *minutes;
  }
  Fail("a time of day such as \"07:30\"");
}

std::optional<int> ParseClock(std::string_view text) {
  const auto digit = [&](size_t i) { return text[i] >= '0' && text[i] <= '9'; };
  if (text.size() != 5 || text[2] != ':' || !digit(0) || !digit(1) || !digit(3) || !digit(4))
    return std::nullopt;
  const int hours = (text[0] - '0') * 10 + (text[1] - '0');
  const int minutes = (text[3] - '0') * 10 + (text[4] - '0');
  if (hours > 23 || minutes > 59) return std::nullopt;
  return hours * 60 + minutes;
}

}  // namespace throng::town
