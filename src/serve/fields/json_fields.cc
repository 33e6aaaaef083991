#include "serve/fields/json_fields.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

namespace throng::serve {
namespace {

constexpr int kMaxDepth = 64;

// No field is at fault.
template <typename... Args>
RequestError BadBody(fmt::format_string<Args...> format, Args&&... args) {
  return {400, "", "invalid_json", "body: " + fmt::format(format, std::forward<Args>(args)...)};
}

// What is wrong with a number that is not from min to max, as OpenAI's codes have it.
const char* WrongNumber(bool is_one, bool is_below, bool is_whole) {
  if (!is_one) return "invalid_type";
  if (is_whole) return is_below ? "integer_below_min_value" : "integer_above_max_value";
  return is_below ? "decimal_below_min_value" : "decimal_above_max_value";
}

// The value of \u12ab where the text begins with it.
std::optional<unsigned> Utf16Escape(std::string_view text) {
  if (text.size() < 6 || !text.starts_with("\\u")) return std::nullopt;
  unsigned value = 0;
  const auto [last, error] = std::from_chars(text.data() + 2, text.data() + 6, value, 16);
  if (error != std::errc() || last != text.data() + 6) return std::nullopt;
  return value;
}

// Puts U+FFFD for escapes of half a character, which clients send that cut texts by UTF-16. JSON allows them,
// but no text has them. All bytes keep their places.
std::string ReplaceLoneSurrogates(std::string_view json) {
  std::string text(json);
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') continue;
    const std::optional<unsigned> first = Utf16Escape(json.substr(i));
    const bool is_half = first && *first >= 0xd800 && *first < 0xe000;
    if (!is_half) {
      ++i;  // what it escapes is no backslash
      continue;
    }
    const std::optional<unsigned> second = Utf16Escape(json.substr(i + 6));
    const bool is_pair = *first < 0xdc00 && second && *second >= 0xdc00 && *second < 0xe000;
    if (!is_pair) text.replace(i, 6, "\\ufffd");
    i += is_pair ? 11 : 5;
  }
  return text;
}

Json Parse(std::string_view body, const Json::parser_callback_t& check) {
  try {
    return Json::parse(body, check);
  } catch (const Json::parse_error&) {
    const std::string replaced = ReplaceLoneSurrogates(body);
    if (replaced == body) throw;
    return Json::parse(replaced, check);
  }
}

}  // namespace

Json ParseBody(std::string_view body) {
  const auto check_depth = [](int depth, Json::parse_event_t, Json&) {
    if (depth > kMaxDepth) throw BadBody("JSON is nested deeper than {} levels", kMaxDepth);
    return true;
  };
  Json json;
  try {
    json = Parse(body, check_depth);
  } catch (const Json::parse_error& error) {
    throw BadBody("not JSON at byte {}", error.byte);
  } catch (const Json::exception&) {
    throw BadBody("a number is larger than any that is computed with, such as 1e999");
  }
  if (!json.is_object()) {
    throw BadBody("found JSON of type {}, allowed: object", json.type_name());
  }
  return json;
}

std::optional<int64_t> WholeNumber(const Json& value) {
  if (value.is_number_unsigned() && value.get<uint64_t>() > std::numeric_limits<int64_t>::max())
    return std::nullopt;
  if (value.is_number_integer()) return value.get<int64_t>();
  if (!value.is_number()) return std::nullopt;
  const double number = value.get<double>();
  constexpr double kExact = 9007199254740992.0;  // 2^53: from there on, doubles skip whole numbers
  if (number != std::floor(number) || std::abs(number) > kExact) return std::nullopt;
  return static_cast<int64_t>(number);
}

void FailField(const std::string& path, const Json& found, const std::string& allowed, const char* code) {
  std::string text = found.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > 60) text = found.type_name();
  throw BadField(path, code, "found {}, allowed: {}", text, allowed);
}

std::vector<int32_t> ParseTokens(const std::string& path, const Json& list, const std::string& allowed) {
  std::vector<int32_t> tokens;
  for (const Json& entry : list) {
    const std::optional<int64_t> token = WholeNumber(entry);
    if (!token || *token < 0 || *token > std::numeric_limits<int32_t>::max()) FailField(path, entry, allowed);
    tokens.push_back(static_cast<int32_t>(*token));
  }
  return tokens;
}

JsonFields::JsonFields(Endpoint endpoint, const Json& object, std::string path, std::string table_path)
    : endpoint_(endpoint), object_(&object), path_(std::move(path)), table_path_(std::move(table_path)) {
  if (!object.is_object()) FailField(path_.substr(0, path_.size() - 1), object, "an object");
  for (const auto& [name, value] : object.items()) {
    if (!value.is_null()) CheckKnown(name, value);
  }
}

void JsonFields::CheckKnown(const std::string& name, const Json& value) const {
  const Field* field = FindField(endpoint_, table_path_ + name);
  const std::string path = path_ + name.substr(0, 60);
  if (field == nullptr) {
    throw BadField(
        path, "unknown_parameter",
        "there is no such field, and it is not ignored, since it may be meant to change the answer");
  }
  if (field->use != Use::kRefused) return;
  if (*field->neutral != '\0') {
    for (const Json& neutral : Json::parse(field->neutral)) {
      if (value == neutral) return;
    }
  }
  throw BadField(path, "unsupported_parameter", "this server does not support it{}{}",
                 *field->note == '\0' ? "" : ": ", field->note);
}

JsonFields JsonFields::Object(const char* name, const Json& value) const {
  return {endpoint_, value, path_ + name + ".", table_path_ + name + "."};
}

JsonFields JsonFields::Entry(const char* name, size_t index, const Json& value) const {
  return {endpoint_, value, fmt::format("{}{}[{}].", path_, name, index), table_path_ + name + "[]."};
}

const Json* JsonFields::Find(const char* name) const {
  const auto found = object_->find(name);
  return found == object_->end() || found->is_null() ? nullptr : &*found;
}

const Json& JsonFields::Get(const char* name) const {
  const Json* value = Find(name);
  if (value == nullptr) throw BadField(Path(name), "missing_required_parameter", "it is missing");
  return *value;
}

bool JsonFields::Bool(const char* name, bool fallback) const {
  const Json* value = Find(name);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) FailField(Path(name), *value, "true or false", "invalid_type");
  return value->get<bool>();
}

float JsonFields::Number(const char* name, double fallback, double min, double max) const {
  const Json* value = Find(name);
  if (value == nullptr) return static_cast<float>(fallback);
  const double number = value->is_number() ? value->get<double>() : std::nan("");
  if (!(number >= min && number <= max)) {
    FailField(Path(name), *value, fmt::format("a number from {} to {}", min, max),
              WrongNumber(value->is_number(), number < min, /*is_whole=*/false));
  }
  return value->get<float>();
}

int JsonFields::Integer(const char* name, int fallback, int min, int max) const {
  const Json* value = Find(name);
  if (value == nullptr) return fallback;
  const std::optional<int64_t> number = WholeNumber(*value);
  if (!number || *number < min || *number > max) {
    FailField(Path(name), *value, fmt::format("a whole number from {} to {}", min, max),
              WrongNumber(number.has_value(), number < min, /*is_whole=*/true));
  }
  return static_cast<int>(*number);
}

std::string JsonFields::Text(const char* name, const std::string& fallback) const {
  const Json* value = Find(name);
  if (value == nullptr) return fallback;
  if (!value->is_string()) FailField(Path(name), *value, "a text", "invalid_type");
  return value->get<std::string>();
}

std::vector<std::string> JsonFields::Texts(const char* name, size_t most) const {
  const Json* value = Find(name);
  if (value == nullptr) return {};
  const std::string allowed = fmt::format("1 to {} texts that are not empty", most);
  if (!value->is_array() || value->empty() || value->size() > most) FailField(Path(name), *value, allowed);
  std::vector<std::string> texts;
  for (const Json& text : *value) {
    if (!text.is_string() || text.get_ref<const std::string&>().empty()) FailField(Path(name), text, allowed);
    texts.push_back(text);
  }
  return texts;
}

std::vector<int32_t> JsonFields::Tokens(const char* name, size_t most) const {
  const Json* value = Find(name);
  if (value == nullptr) return {};
  const std::string allowed = fmt::format("a list of up to {} token ids", most);
  if (!value->is_array() || value->size() > most) FailField(Path(name), *value, allowed);
  return ParseTokens(Path(name), *value, allowed);
}

std::string JsonFields::Schema(const char* name) const {
  const Json& schema = Get(name);
  if (!schema.is_object()) FailField(Path(name), schema, "a JSON schema");
  return schema.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace throng::serve
