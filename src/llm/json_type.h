// The types of JSON values as JSON Schema names them.
#pragma once

#include <cmath>
#include <nlohmann/json.hpp>
#include <string_view>

namespace throng::llm {

// 5.0 is whole.
inline bool IsWhole(const nlohmann::ordered_json& value) {
  return value.is_number_integer() ||
         (value.is_number_float() && value.get<double>() == std::floor(value.get<double>()));
}

// type: object, array, string, number, boolean, null or integer.
inline bool HasType(const nlohmann::ordered_json& value, std::string_view type) {
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "string") return value.is_string();
  if (type == "number") return value.is_number();
  if (type == "boolean") return value.is_boolean();
  if (type == "null") return value.is_null();
  return IsWhole(value);
}

}  // namespace throng::llm
