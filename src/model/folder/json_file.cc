#include "model/folder/json_file.h"

#include <cmath>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/error.h"
#include "model/gguf/gguf_values.h"

namespace throng::model {

using nlohmann::json;

json ParseJson(std::string_view text, const std::string& name, int max_depth) {
  // The keys of each object that is open. A key twice would hide one of two values.
  std::vector<std::unordered_set<std::string>> keys;
  const auto check = [&](int depth, json::parse_event_t event, json& parsed) {
    using Event = json::parse_event_t;
    if (event == Event::object_start || event == Event::array_start) {
      if (depth >= max_depth) {
        throw MakeError(ErrorCode::kCorrupt, "{}: is nested deeper than {} objects and lists", name,
                        max_depth);
      }
      if (event == Event::object_start) keys.emplace_back();
    } else if (event == Event::object_end) {
      keys.pop_back();
    } else if (event == Event::key && !keys.back().insert(parsed.get<std::string>()).second) {
      throw MakeError(ErrorCode::kCorrupt, "{}: the key {} occurs twice in an object", name,
                      ShortJson(parsed));
    }
    return true;
  };
  json values;
  try {
    values = json::parse(text, check);
  } catch (const json::exception& error) {
    throw MakeError(ErrorCode::kCorrupt, "{}: is not JSON: {}", name,
                    std::string_view(error.what()).substr(0, 200));
  }
  if (!values.is_object()) throw MakeError(ErrorCode::kCorrupt, "{}: is no JSON object", name);
  return values;
}

std::string ShortJson(const json& value) {
  return Quoted(value.is_string() ? value.get_ref<const std::string&>()
                                  : value.dump(-1, ' ', true, json::error_handler_t::replace));
}

const json* JsonObject::Find(const char* key) const {
  const auto it = values_->find(key);
  return it == values_->end() || it->is_null() ? nullptr : &*it;
}

const json& JsonObject::Get(const char* key) const {
  const json* value = Find(key);
  if (value == nullptr) throw MakeError(ErrorCode::kCorrupt, "{}: lacks the key {}", name_, key);
  return *value;
}

void JsonObject::WrongKind(const char* key, const std::string& expected) const {
  throw MakeError(ErrorCode::kCorrupt, "{}: {} is {}; {} is expected", name_, key, ShortJson(Get(key)),
                  expected);
}

uint32_t JsonObject::Count(const char* key, uint32_t most) const {
  const json& value = Get(key);
  if (!value.is_number_unsigned() || value.get<uint64_t>() > most) {
    WrongKind(key, fmt::format("a whole number from 0 to {}", most));
  }
  return value.get<uint32_t>();
}

uint32_t JsonObject::CountOr(const char* key, uint32_t fallback, uint32_t most) const {
  return Has(key) ? Count(key, most) : fallback;
}

double JsonObject::Number(const char* key) const {
  const json& value = Get(key);
  if (!value.is_number() || !std::isfinite(value.get<double>())) WrongKind(key, "a number");
  return value.get<double>();
}

double JsonObject::NumberOr(const char* key, double fallback) const {
  return Has(key) ? Number(key) : fallback;
}

bool JsonObject::BoolOr(const char* key, bool fallback) const {
  const json* value = Find(key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) WrongKind(key, "true or false");
  return value->get<bool>();
}

std::string JsonObject::Text(const char* key) const {
  const json& value = Get(key);
  if (!value.is_string()) WrongKind(key, "a string");
  return value.get<std::string>();
}

std::string JsonObject::TextOr(const char* key, const std::string& fallback) const {
  return Has(key) ? Text(key) : fallback;
}

std::optional<JsonObject> JsonObject::Object(const char* key) const {
  const json* value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_object()) WrongKind(key, "an object");
  return JsonObject(fmt::format("{}: {}", name_, key), *value);
}

void JsonObject::Refuse(const char* key, std::string_view allowed) const {
  throw MakeError(ErrorCode::kUnsupported, "{}: {} is {}; this program computes {}", name_, key,
                  ShortJson(Get(key)), allowed);
}

}  // namespace throng::model
