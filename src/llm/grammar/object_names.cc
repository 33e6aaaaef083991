#include "llm/grammar/object_names.h"

#include <algorithm>

#include "llm/grammar/schema_keywords.h"
#include "llm/regular/pattern.h"

namespace throng::llm {
namespace {

using Json = nlohmann::ordered_json;

// A keyword whose value is an object, or an empty one.
const Json& MapOf(const SchemaPart& part, const char* keyword) {
  static const Json kNone = Json::object();
  const Json* map = Find(*part.schema, keyword);
  if (map == nullptr) return kNone;
  if (!map->is_object()) throw WrongSchema(fmt::format("{}/{}", part.path, keyword), "must be an object");
  return *map;
}

}  // namespace

ObjectNames::ObjectNames(const SchemaParts& parts) : parts_(parts) {
  bool names_any = false, allows_others = false, forbids_others = false;
  for (const SchemaPart& part : parts_) {
    Add(part);
    names_any = names_any || !MapOf(part, "properties").empty() || !MapOf(part, "patternProperties").empty();
    allows_others = allows_others || Find(*part.schema, "additionalProperties") != nullptr;
    const Json* unevaluated = Find(*part.schema, "unevaluatedProperties");
    forbids_others = forbids_others || (unevaluated != nullptr && *unevaluated == Json(false));
  }
  has_others_ = allows_others || !(names_any || forbids_others);
}

void ObjectNames::Add(const SchemaPart& part) {
  for (const auto& [name, schema] : MapOf(part, "properties").items())
    if (is_required_.try_emplace(name, false).second) named_.push_back(name);
  for (const auto& [pattern, schema] : MapOf(part, "patternProperties").items()) {
    if (std::find(patterns_.begin(), patterns_.end(), pattern) != patterns_.end()) continue;
    patterns_.push_back(pattern);
    pattern_texts_.push_back(PatternTexts(pattern, "JSON schema: " + part.path + "/patternProperties"));
  }
  const Json* required = Find(*part.schema, "required");
  if (required == nullptr || required->is_boolean())
    return;  // drafts up to 3: whether this member is required
  const std::string where = part.path + "/required";
  if (!required->is_array()) throw WrongSchema(where, "must be an array of strings");
  for (const Json& name : *required) {
    if (!name.is_string()) throw WrongSchema(where, "must be an array of strings");
    const std::string& text = name.get_ref<const std::string&>();
    const auto [found, is_new] = is_required_.try_emplace(text, false);
    if (is_new) named_.push_back(text);
    if (!found->second) required_.push_back(text);
    found->second = true;
  }
}

bool ObjectNames::IsRequired(const std::string& name) const {
  const auto found = is_required_.find(name);
  return found != is_required_.end() && found->second;
}

SchemaParts ObjectNames::PartsOf(const std::string& name) const {
  SchemaParts all;
  for (const SchemaPart& part : parts_) {
    bool is_named = false;
    const Json& properties = MapOf(part, "properties");
    if (const auto found = properties.find(name); found != properties.end()) {
      all.push_back({&*found, fmt::format("{}/properties/{}", part.path, EscapedForPointer(name))});
      is_named = true;
    }
    for (const auto& [pattern, schema] : MapOf(part, "patternProperties").items()) {
      const auto index = std::find(patterns_.begin(), patterns_.end(), pattern) - patterns_.begin();
      if (!pattern_texts_[static_cast<size_t>(index)].Matches(name)) continue;
      all.push_back({&schema, fmt::format("{}/patternProperties/{}", part.path, EscapedForPointer(pattern))});
      is_named = true;
    }
    const Json* more = Find(*part.schema, "additionalProperties");
    if (!is_named && more != nullptr) all.push_back({more, part.path + "/additionalProperties"});
  }
  return all;
}

bool ObjectNames::MayHave(const std::string& name) const {
  const SchemaParts parts = PartsOf(name);
  if (parts.empty() && !has_others_ && !is_required_.contains(name)) return false;
  return std::none_of(parts.begin(), parts.end(),
                      [](const SchemaPart& part) { return *part.schema == Json(false); });
}

SchemaParts ObjectNames::OthersWith(const std::vector<bool>& matched) const {
  SchemaParts all;
  for (const SchemaPart& part : parts_) {
    bool is_named = false;
    for (const auto& [pattern, schema] : MapOf(part, "patternProperties").items()) {
      const auto index = std::find(patterns_.begin(), patterns_.end(), pattern) - patterns_.begin();
      if (!matched[static_cast<size_t>(index)]) continue;
      all.push_back({&schema, fmt::format("{}/patternProperties/{}", part.path, EscapedForPointer(pattern))});
      is_named = true;
    }
    const Json* more = Find(*part.schema, "additionalProperties");
    if (!is_named && more != nullptr) all.push_back({more, part.path + "/additionalProperties"});
  }
  return all;
}

}  // namespace throng::llm
