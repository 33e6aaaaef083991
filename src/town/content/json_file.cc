#include "town/content/json_file.h"

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/mapped_file.h"
#include "base/text/utf8.h"

namespace throng::town {
namespace {

constexpr size_t kMaxFileBytes = 16 << 20;
constexpr int kMaxDepth = 32;

std::string Shorten(const Json& value) {
  std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

int LineAt(std::string_view text, size_t byte) {
  const auto end = text.begin() + static_cast<std::ptrdiff_t>(std::min(byte, text.size()));
  return 1 + static_cast<int>(std::count(text.begin(), end, '\n'));
}

// The name of the encoding of a text that is not UTF-8, and where that shows; empty if it is UTF-8.
std::string OtherEncoding(std::string_view text) {
  using namespace std::string_view_literals;
  if (text.starts_with("\xFF\xFE\0\0"sv) || text.starts_with("\0\0\xFE\xFF"sv)) return "UTF-32";
  if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF")) return "UTF-16";
  // Without a mark: in JSON and in most prompts, every second byte of the beginning is 0.
  const std::string_view begin = text.substr(0, 64);
  const auto zeros = static_cast<size_t>(std::count(begin.begin(), begin.end(), '\0'));
  if (begin.size() >= 4 && zeros * 4 >= begin.size()) return "UTF-16 without a byte order mark";
  const size_t zero = text.find('\0');
  if (zero != text.npos) return fmt::format("a byte 0 in line {}", LineAt(text, zero));
  const size_t valid = ValidUtf8Prefix(text);
  if (valid == text.size()) return "";
  return fmt::format("the byte 0x{:02X} in line {}, as in Latin-1 or Windows-1252",
                     static_cast<unsigned char>(text[valid]), LineAt(text, valid));
}

}  // namespace

std::optional<std::string> ReadText(const std::string& path, Problems& problems) {
  const auto fail = [&](std::string what) {
    problems.Add({path, 0, "", std::move(what)});
    return std::nullopt;
  };
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return fail("there is no such file");
  if (std::filesystem::is_directory(path, ignored)) return fail("found a folder, allowed: a file");
  std::string text;
  try {
    text = ReadFile(path);
  } catch (const Error& error) {
    return fail(error.what());
  }
  if (text.size() > kMaxFileBytes) {
    return fail(fmt::format("found {} bytes, allowed: at most {}", text.size(), kMaxFileBytes));
  }
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
  const std::string encoding = OtherEncoding(text);
  if (!encoding.empty()) return fail(fmt::format("found {}, allowed: UTF-8", encoding));
  return text;
}

std::optional<Json> ParseJson(const std::string& path, const std::string& text, Problems& problems) {
  int line = 0;
  std::string what;
  bool too_deep = false;
  const auto check_depth = [&](int depth, Json::parse_event_t, Json&) {
    too_deep = too_deep || depth > kMaxDepth;
    return !too_deep;
  };
  try {
    Json json = Json::parse(text, check_depth);
    if (!too_deep) return json;
  } catch (const Json::parse_error& error) {
    line = LineAt(text, error.byte);
    what = "this is not JSON from here on, allowed: JSON without comments";
  } catch (const Json::out_of_range&) {  // a number such as 1e999
    what = "found a number that is too large, allowed: up to 1e308";
  }
  if (too_deep) {
    line = 0;
    what = fmt::format("values are nested too deeply, allowed: {} levels", kMaxDepth);
  }
  problems.Add({path, line, "", what});
  return std::nullopt;
}

std::optional<Json> ReadJson(const std::string& path, Problems& problems) {
  const std::optional<std::string> text = ReadText(path, problems);
  if (!text) return std::nullopt;
  return ParseJson(path, *text, problems);
}

void JsonView::Fail(std::string_view allowed) const {
  Note(fmt::format("found {}, allowed: {}", Shorten(Raw()), allowed));
}

void JsonView::Note(std::string what) const {
  if (!Missing()) problems_->Add({file_, 0, at_, std::move(what)});
}

const Json& JsonView::Raw() const {
  static const Json kNull;
  return Missing() ? kNull : *value_;
}

bool JsonView::IsObject() const {
  if (!Raw().is_object()) Fail("an object in braces");
  return Raw().is_object();
}

void JsonView::OnlyKeys(std::initializer_list<std::string_view> keys) const {
  if (!IsObject()) return;
  std::vector<std::string> others;
  for (const auto& [key, value] : value_->items()) {
    if (std::find(keys.begin(), keys.end(), key) == keys.end()) others.push_back(fmt::format("\"{}\"", key));
  }
  if (others.empty()) return;
  Note(fmt::format("found the key{} {}, allowed: {}", others.size() == 1 ? "" : "s", fmt::join(others, ", "),
                   fmt::join(keys, ", ")));
}

JsonView JsonView::At(std::string_view key) const {
  if (std::optional<JsonView> found = Find(key)) return *found;
  const JsonView missing(nullptr, *this, at_.empty() ? std::string(key) : fmt::format("{}.{}", at_, key));
  if (Raw().is_object()) {
    problems_->Add({file_, 0, missing.at_, "this key is missing"});
  }
  return missing;
}

std::optional<JsonView> JsonView::Find(std::string_view key) const {
  if (!IsObject()) return std::nullopt;
  const auto found = value_->find(std::string(key));
  if (found == value_->end()) return std::nullopt;
  return JsonView(&*found, *this, at_.empty() ? std::string(key) : fmt::format("{}.{}", at_, key));
}

std::vector<JsonView> JsonView::Items(size_t min, size_t max) const {
  if (!Raw().is_array() || value_->size() < min || value_->size() > max) {
    Fail(fmt::format("a list of {} to {} values", min, max));
    return {};
  }
  std::vector<JsonView> items;
  for (size_t i = 0; i < value_->size(); ++i) {
    items.push_back(JsonView(&(*value_)[i], *this, fmt::format("{}[{}]", at_, i)));
  }
  return items;
}

std::string JsonView::Text(size_t min_bytes, size_t max_bytes) const {
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20; };
  if (Raw().is_string()) {
    const std::string& text = value_->get_ref<const std::string&>();
    if (text.size() >= min_bytes && text.size() <= max_bytes &&
        std::none_of(text.begin(), text.end(), is_control)) {
      return text;
    }
  }
  Fail(fmt::format("a text of {} to {} bytes in one line", min_bytes, max_bytes));
  return "";
}

std::string JsonView::Lines() const {
  if (Raw().is_string()) return value_->get<std::string>();
  Fail("a text");
  return "";
}

int64_t JsonView::Int(int64_t min, int64_t max) const {
  if (Raw().is_number_integer()) {
    const bool huge = value_->is_number_unsigned() && value_->get<uint64_t>() > uint64_t{INT64_MAX};
    if (!huge && value_->get<int64_t>() >= min && value_->get<int64_t>() <= max)
      return value_->get<int64_t>();
  }
  Fail(fmt::format("a whole number from {} to {}", min, max));
  return min;
}

double JsonView::Number(double min, double max) const {
  if (Raw().is_number()) {
    const double number = value_->get<double>();
    if (number >= min && number <= max) return number;
  }
  Fail(fmt::format("a number from {} to {}", min, max));
  return min;
}

bool JsonView::Bool() const {
  if (Raw().is_boolean()) return value_->get<bool>();
  Fail("true or false");
  return false;
}

int JsonView::ClockMinutes() const {
  if (Raw().is_string()) {
    if (const std::optional<int> minutes = ParseClock(value_->get_ref<const std::string&>())) return *minutes;
  }
  Fail("a time of day such as \"07:30\"");
  return 0;
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
