#include <algorithm>

#include "llm/grammar/json_scalar.h"
#include "llm/grammar/schema_keywords.h"
#include "llm/grammar/schema_lowering.h"
#include "llm/regular/kinds.h"
#include "llm/regular/pattern.h"
#include "llm/regular/regular.h"

namespace throng::llm {
namespace {

using Json = nlohmann::ordered_json;

// Members times their counts, with minProperties or maxProperties.
constexpr int64_t kMaxCountedStates = 4096;
constexpr size_t kMaxKinds = 64;  // of names, by the patterns that they match
constexpr const char* kBareName = "^[A-Za-z0-9_$-]+$";

bool IsAllowedName(const std::vector<SchemaDocument::Check>& checks, const std::string& name) {
  return checks.empty() || std::any_of(checks.begin(), checks.end(),
                                       [&](const auto& check) { return check.Allows(Json(name)); });
}

void CheckBareName(const std::string& name, const std::string& path) {
  static const Regular kNames = RegexTexts(kBareName, "names");
  if (kNames.Matches(name)) return;
  throw UnsupportedSchema(
      path, fmt::format("has the name {:?}, which the model's form of calls cannot write", name));
}

}  // namespace

Grammar::Node SchemaLowering::Object(const SchemaParts& parts) {
  const std::string path = parts.empty() ? "#" : parts[0].path;
  for (const SchemaPart& part : parts) {
    for (const char* keyword : {"unevaluatedProperties", "unevaluatedItems"}) {
      const Json* value = Find(*part.schema, keyword);
      if (value != nullptr && !value->is_boolean())
        throw UnsupportedSchema(fmt::format("{}/{}", part.path, keyword), "is supported as a boolean only");
    }
  }
  ObjectNames names(parts);
  const std::vector<SchemaParts> allowed = AllowedNames(parts);
  Members members;
  members.min = CountOf(parts, "minProperties", 0);
  members.max = CountOf(parts, "maxProperties", Grammar::kUnbounded);
  if (members.max != Grammar::kUnbounded && members.max < members.min)
    throw NoValue{WrongSchema(path, "has a minProperties above its maxProperties")};

  std::vector<SchemaDocument::Check> checks;
  for (const SchemaParts& one : allowed) checks.push_back(document_.CheckOf(one));
  std::vector<std::string> named = names.Named();
  bool has_others = true;
  if (!parts.empty()) has_others = AddListedNames(names, allowed, named);
  for (const std::string& name : named) {
    const bool is_required = names.IsRequired(name);
    std::optional<Grammar::Node> value;
    if (IsAllowedName(checks, name) && names.MayHave(name)) value = ValuesIfAny(names.PartsOf(name));
    if (!value && is_required)
      throw NoValue{WrongSchema(
          path, fmt::format("requires the member {}, which it does not allow", Json(name).dump()))};
    if (!value) continue;
    if (!style_.IsJson()) CheckBareName(name, path);
    members.named.push_back({grammar_.Bytes(style_.Key(name) + ":"), *value, is_required});
  }
  if (has_others) members.other = Others(names, allowed, named, path);
  return grammar_.Sequence({grammar_.Bytes("{"), Tail(members, path)});
}

// The schemas of propertyNames, one alternative of each; none if there are no such schemas.
std::vector<SchemaParts> SchemaLowering::AllowedNames(const SchemaParts& parts) {
  SchemaParts all;
  for (const SchemaPart& part : parts) {
    if (const Json* schema = Find(*part.schema, "propertyNames"))
      all.push_back({schema, part.path + "/propertyNames"});
  }
  if (all.empty()) return {};
  std::vector<SchemaParts> allowed = document_.Alternatives(all);
  std::erase_if(allowed, [](const SchemaParts& one) { return (TypesOf(one) & kString) == 0; });
  if (allowed.empty()) allowed.push_back({{document_.Make({{"enum", Json::array()}}), all[0].path}});
  return allowed;
}

// Names that propertyNames lists are as good as properties. Returns whether it allows others.
bool SchemaLowering::AddListedNames(const ObjectNames& names, const std::vector<SchemaParts>& allowed,
                                    std::vector<std::string>& named) {
  bool all_are_listed = !allowed.empty();
  for (const SchemaParts& one : allowed) {
    std::vector<Json> values;
    const Json* list = nullptr;
    Json single;
    for (const SchemaPart& part : one) {
      if (const Json* some = Find(*part.schema, "enum")) list = some;
      if (const Json* value = Find(*part.schema, "const")) single = Json::array({*value}), list = &single;
    }
    if (list == nullptr || !list->is_array()) {
      all_are_listed = false;
      continue;
    }
    for (const Json& name : *list) {
      if (!name.is_string() || !names.MayHave(name)) continue;
      if (std::find(named.begin(), named.end(), name.get<std::string>()) == named.end())
        named.push_back(name);
    }
  }
  return !all_are_listed;
}

// A member whose name is none of the named ones: a kind for each set of patterns that names can match.
std::optional<Grammar::Node> SchemaLowering::Others(const ObjectNames& names,
                                                    const std::vector<SchemaParts>& allowed,
                                                    const std::vector<std::string>& named,
                                                    const std::string& path) {
  const std::vector<std::string>& patterns = names.Patterns();
  if (!style_.IsJson()) {
    if (patterns.empty() && allowed.empty()) return BareOthers(names, named, path);
    throw UnsupportedSchema(path, "has patterns of names, which the model's form of calls does not support");
  }
  std::vector<SchemaParts> unlisted = allowed;
  std::erase_if(unlisted, [](const SchemaParts& one) {
    return std::any_of(one.begin(), one.end(), [](const SchemaPart& part) {
      return Find(*part.schema, "enum") != nullptr || Find(*part.schema, "const") != nullptr;
    });
  });
  const auto member = [&](Grammar::Node name, Grammar::Node value) {
    return grammar_.Sequence({name, grammar_.Bytes(":"), value});
  };
  if (patterns.empty() && unlisted.empty()) {
    if (!names.HasOthers()) return std::nullopt;
    const std::optional<Grammar::Node> value = ValuesIfAny(names.OthersWith({}));
    if (!value) return std::nullopt;
    return member(NameExcept(named), *value);
  }
  std::vector<Regular> languages;
  for (size_t i = 0; i < patterns.size(); ++i) languages.push_back(names.TextsOf(i));
  std::vector<Grammar::Node> kinds;
  for (KindOfText& kind :
       KindsOf(NameTexts(unlisted, named, path), languages, 4 * kMaxKinds, "JSON schema: " + path)) {
    const bool matches_none = std::find(kind.in.begin(), kind.in.end(), true) == kind.in.end();
    if (matches_none && !names.HasOthers()) continue;
    if (kinds.size() >= kMaxKinds)
      throw UnsupportedSchema(path + "/patternProperties",
                              fmt::format("has more than {} kinds of names", kMaxKinds));
    const std::optional<Grammar::Node> value = ValuesIfAny(names.OthersWith(kind.in));
    if (value) kinds.push_back(member(LowerName(std::move(kind.texts), grammar_), *value));
  }
  if (kinds.empty()) return std::nullopt;
  return Choice(std::move(kinds));
}

// Objects that extend one another have the same long lists.
Grammar::Node SchemaLowering::NameExcept(const std::vector<std::string>& named) {
  std::string key = "name";
  for (const std::string& name : named) key += fmt::format(",{}:{}", name.size(), name);
  const auto [found, is_new] = scalars_.try_emplace(std::move(key));
  if (is_new) found->second = LowerNameExcept(named, grammar_);
  return found->second;
}

// The same for keys without quotes.
std::optional<Grammar::Node> SchemaLowering::BareOthers(const ObjectNames& names,
                                                        const std::vector<std::string>& named,
                                                        const std::string& path) {
  if (!names.HasOthers()) return std::nullopt;
  const std::optional<Grammar::Node> value = ValuesIfAny(names.OthersWith({}));
  if (!value) return std::nullopt;
  Regular texts = RegexTexts(kBareName, path);
  for (const std::string& name : named) texts = Intersection(texts, Complement(Literal(name), path), path);
  return grammar_.Sequence({grammar_.Texts(Reduced(texts)), grammar_.Bytes(":"), *value});
}

// What follows the brace: named members in their order, then others. A node for each number of named
// members that are behind, and each count of members that are there as far as it matters.
Grammar::Node SchemaLowering::Tail(const Members& members, const std::string& path) {
  const auto size = static_cast<int64_t>(members.named.size());
  const bool has_max = members.max != Grammar::kUnbounded && (members.other || members.max < size);
  const auto required = std::count_if(members.named.begin(), members.named.end(),
                                      [](const Member& member) { return member.is_required; });
  const int64_t min = members.min > required ? members.min : 0;
  if (min > 1 && members.other)
    throw UnsupportedSchema(
        path + "/minProperties",
        "is above 1 and above the number of required members, while others may have the same name");
  const int64_t counts =
      std::max<int64_t>({1, min, has_max ? members.max : 0});  // from here on, all are the same
  if ((size + 1) * counts > std::max(kMaxCountedStates, 2 * size + 2)) {
    throw UnsupportedSchema(
        path, fmt::format("has {} members and a minProperties or maxProperties of {}: too many states", size,
                          counts));
  }
  const Grammar::Node end = grammar_.Bytes("}");
  const auto index = [&](int64_t count) { return static_cast<size_t>(std::min(count, counts)); };
  std::vector<std::optional<Grammar::Node>> rest(static_cast<size_t>(counts) +
                                                 1);  // by count; empty: no way on
  for (int64_t count = 0; count <= counts; ++count) {
    std::optional<Grammar::Node>& node = rest[index(count)];
    const int64_t least = std::max<int64_t>(min - count, 0);
    const int64_t most = has_max ? std::max<int64_t>(members.max - count, 0) : Grammar::kUnbounded;
    if (!members.other || most == 0) {
      if (least == 0) node = end;
      continue;
    }
    if (count > 0) {
      node = grammar_.Sequence({grammar_.Repeat(Comma(*members.other), least, most), end});
      continue;
    }
    const Grammar::Node some = grammar_.Sequence(
        {*members.other, grammar_.Repeat(Comma(*members.other), std::max<int64_t>(least - 1, 0),
                                         most == Grammar::kUnbounded ? most : most - 1)});
    node = grammar_.Sequence({least == 0 ? grammar_.Optional(some) : some, end});
  }
  const Grammar::Node comma = grammar_.Bytes(",");
  for (int64_t i = size; i-- > 0;) {
    CheckSize(path);
    const Member& member = members.named[static_cast<size_t>(i)];
    // A member and what follows it, the same for a first member and one after a comma.
    std::vector<std::optional<Grammar::Node>> with(rest.size());
    for (int64_t count = 1; count <= std::min(i + 1, counts); ++count) {
      const std::optional<Grammar::Node>& after = rest[index(count)];
      if (after) with[index(count)] = grammar_.Sequence({member.key, member.value, *after});
    }
    std::vector<std::optional<Grammar::Node>> before(rest.size());
    for (int64_t count = 0; count <= std::min(i, counts); ++count) {
      std::vector<Grammar::Node> choices;
      const std::optional<Grammar::Node>& after = with[index(count + 1)];
      if (after && (!has_max || count < members.max))
        choices.push_back(count == 0 ? *after : grammar_.Sequence({comma, *after}));
      if (!member.is_required && rest[index(count)]) choices.push_back(*rest[index(count)]);
      if (!choices.empty()) before[index(count)] = Choice(std::move(choices));
    }
    rest = std::move(before);
  }
  if (!rest[0])
    throw NoValue{WrongSchema(path,
                              "allows no object: its required members are more than maxProperties, or all "
                              "fewer than minProperties")};
  return *rest[0];
}

}  // namespace throng::llm
