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
  for (size_t i = 0; i < parts_.size(); ++i) {
    const SchemaPart& part = parts_[i];
    Add(i);
    names_any = names_any || !MapOf(part, "properties").empty() || !MapOf(part, "patternProperties").empty();
    allows_others = allows_others || Find(*part.schema, "additionalProperties") != nullptr;
    const Json* unevaluated = Find(*part.schema, "unevaluatedProperties");
    forbids_others = forbids_others || (unevaluated != nullptr && *unevaluated == Json(false));
  }
  has_others_ = allows_others || !(names_any || forbids_others);
}

void ObjectNames::Add(size_t index) {
  const SchemaPart& part = parts_[index];
  for (const auto& [name, schema] : MapOf(part, "properties").items()) {
    const auto [found, is_new] = members_.try_emplace(name);
    if (is_new) named_.push_back(name);
    found->second.properties.emplace_back(index, &schema);
  }
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
    const auto [found, is_new] = members_.try_emplace(text);
    if (is_new) named_.push_back(text);
    if (!found->second.is_required) required_.push_back(text);
    found->second.is_required = true;
  }
}

bool ObjectNames::IsRequired(const std::string& name) const {
  const auto found = members_.find(name);
  return found != members_.end() && found->second.is_required;
}

// Calls found(part, keyword, name or pattern, schema); additionalProperties has neither.
template <typename Found>
void ObjectNames::ForEachPartOf(const std::string& name, const Found& found) const {
  const auto member = members_.find(name);
  size_t next = 0;
  for (size_t i = 0; i < parts_.size(); ++i) {
    const SchemaPart& part = parts_[i];
    const Json* property = nullptr;
    if (member != members_.end() && next < member->second.properties.size() &&
        member->second.properties[next].first == i)
      property = member->second.properties[next++].second;
    if (property != nullptr) found(part, "properties", &name, *property);
    bool is_named = property != nullptr;
    for (const auto& [pattern, schema] : MapOf(part, "patternProperties").items()) {
      const auto index = std::find(patterns_.begin(), patterns_.end(), pattern) - patterns_.begin();
      if (!pattern_texts_[static_cast<size_t>(index)].Matches(name)) continue;
      found(part, "patternProperties", &pattern, schema);
      is_named = true;
    }
    if (is_named) continue;
    if (const Json* more = Find(*part.schema, "additionalProperties"))
      found(part, "additionalProperties", nullptr, *more);
  }
}

SchemaParts ObjectNames::PartsOf(const std::string& name) const {
  SchemaParts all;
  ForEachPartOf(name,
                [&](const SchemaPart& part, const char* keyword, const std::string* key, const Json& schema) {
                  all.push_back({&schema, fmt::format("{}/{}{}", part.path, keyword,
                                                      key == nullptr ? "" : "/" + EscapedForPointer(*key))});
                });
  return all;
}

bool ObjectNames::MayHave(const std::string& name) const {
  bool is_named = has_others_ || members_.contains(name), is_allowed = true;
  ForEachPartOf(name, [&](const SchemaPart&, const char*, const std::string*, const Json& schema) {
    is_named = true;
    is_allowed = is_allowed && schema != Json(false);
  });
  return is_named && is_allowed;
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
