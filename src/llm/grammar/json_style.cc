#include "llm/grammar/json_style.h"

namespace throng::llm {

using Json = nlohmann::ordered_json;

std::string JsonStyle::Key(const std::string& name) const { return IsJson() ? Json(name).dump() : name; }

std::string JsonStyle::Write(const Json& value) const {
  if (python_words && value.is_null()) return "None";
  if (python_words && value.is_boolean()) return value.get<bool>() ? "True" : "False";
  if ((IsJson() && !python_words) || value.is_primitive()) {
    return !IsJson() && value.is_string() ? quote + value.get<std::string>() + quote : value.dump();
  }
  std::string text;
  for (const auto& [name, member] : value.items()) {
    if (!text.empty()) text += ',';
    if (value.is_object()) text += Key(name) + ":";
    text += Write(member);
  }
  return value.is_object() ? "{" + text + "}" : "[" + text + "]";
}

}  // namespace throng::llm
