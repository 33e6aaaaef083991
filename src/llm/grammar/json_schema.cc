#include "llm/grammar/json_schema.h"

#include <algorithm>
#include <bit>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "llm/grammar/json_scalar.h"
#include "llm/grammar/object_names.h"
#include "llm/grammar/schema_keywords.h"
#include "llm/grammar/schema_parts.h"
#include "llm/json_type.h"
#include "llm/regular/pattern.h"
#include "llm/regular/regular.h"

namespace throng::llm {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kMaxDepth = 128;          // schemas within schemas: the lowering recurses
constexpr size_t kMaxNodes = 1 << 20;   // of the grammar
constexpr size_t kMaxValues = 100'000;  // of an enum
constexpr size_t kMaxUnique = 8;        // different items of an array with uniqueItems: 2^n sets of them
constexpr int64_t kMaxPrefix = 10'000;  // items that are not all the same
constexpr int64_t kMaxCountedStates =
    4096;                           // members times their counts, with minProperties or maxProperties
constexpr size_t kMaxPatterns = 4;  // of an object: 2^n sets of them can match

class Lowering {
 public:
  Lowering(SchemaDocument& document, const JsonStyle& style, Grammar& grammar)
      : document_(document), style_(style), grammar_(grammar) {}

  // The values that all parts allow; a rule, if they recurse.
  Grammar::Node Values(const SchemaParts& parts) {
    std::vector<const Json*> key;
    for (const SchemaPart& part : parts) key.push_back(part.schema);
    std::sort(key.begin(), key.end());
    key.erase(std::unique(key.begin(), key.end()), key.end());
    if (const auto none = without_value_.find(key); none != without_value_.end()) throw NoValue{none->second};
    if (const auto found = rules_.find(key); found != rules_.end()) return found->second;
    const std::string path = parts.empty() ? "#" : parts[0].path;
    if (depth_ > kMaxDepth) throw WrongSchema(path, "is nested too deeply");
    CheckSize(path);
    const Grammar::Node rule = grammar_.DeclareRule(path);
    rules_[key] = rule;
    ++depth_;
    std::vector<Grammar::Node> choices;
    std::optional<Error> why_not;
    const std::vector<SchemaParts> alternatives = document_.Alternatives(parts);
    for (const SchemaParts& alternative : alternatives) {
      try {
        choices.push_back(Alternative(alternative));
      } catch (const NoValue& nothing) {
        why_not = nothing.why;
      }
    }
    --depth_;
    const bool has_value = !choices.empty();
    grammar_.Define(rule, Choice(std::move(choices)));
    if (has_value) return rule;
    throw NoValue{
        without_value_.emplace(key, why_not.value_or(WrongSchema(path, "allows no value"))).first->second};
  }

 private:
  void CheckSize(const std::string& path) const {
    if (grammar_.Size() > kMaxNodes)
      throw WrongSchema(path,
                        fmt::format("and what comes before it need more than {} grammar nodes", kMaxNodes));
  }

  // The values of parts, or nothing.
  std::optional<Grammar::Node> ValuesIfAny(const SchemaParts& parts) {
    try {
      return Values(parts);
    } catch (const NoValue&) {
      return std::nullopt;
    }
  }

  Grammar::Node Choice(std::vector<Grammar::Node> choices) {
    return choices.size() == 1 ? choices[0] : grammar_.Choice(std::move(choices));
  }

  Grammar::Node Alternative(const SchemaParts& parts) {
    for (const SchemaPart& part : parts) CheckKeywords(*part.schema, part.path);
    const uint32_t types = TypesOf(parts);
    const std::string path = parts.empty() ? "#" : parts[0].path;
    for (const SchemaPart& part : parts) {
      if (Find(*part.schema, "enum") != nullptr || Find(*part.schema, "const") != nullptr)
        return Listed(part, parts, types);
    }
    std::vector<Grammar::Node> choices;
    std::optional<Error> why_not;
    const auto add = [&](uint32_t type, const auto& lower) {
      if ((types & type) == 0) return;
      try {
        choices.push_back(lower());
      } catch (const NoValue& nothing) {
        why_not = nothing.why;
      }
    };
    const std::vector<Json> except = ExceptOf(parts);
    const auto literal = [&](const Json& value) {
      const bool is_allowed = std::find(except.begin(), except.end(), value) == except.end();
      if (is_allowed) choices.push_back(grammar_.Bytes(style_.Write(value)));
    };
    if ((types & kNull) != 0) literal(nullptr);
    if ((types & kBoolean) != 0) literal(false), literal(true);
    if ((types & (kInteger | kFraction)) == kFraction)
      throw UnsupportedSchema(path, "excludes whole numbers alone by a not, a oneOf or an if");
    add(kInteger | kFraction, [&] { return Number(parts, (types & kFraction) == 0); });
    add(kString, [&] { return String(parts); });
    for (const Json& value : except) {
      if (value.is_structured() && (types & TypeOf(value)) != 0)
        throw UnsupportedSchema(path, "excludes an array or an object by a not, a oneOf or an if");
    }
    add(kArray, [&] { return Array(parts); });
    add(kObject, [&] { return Object(parts); });
    if (choices.empty()) throw NoValue{why_not.value_or(WrongSchema(path, "allows no value"))};
    return Choice(std::move(choices));
  }

  // The values of an enum that all parts allow.
  Grammar::Node Listed(const SchemaPart& list, const SchemaParts& parts, uint32_t types) {
    const Json* constant = Find(*list.schema, "const");
    const Json single = constant == nullptr ? Json() : Json::array({*constant});
    const Json& values = constant == nullptr ? *Find(*list.schema, "enum") : single;
    if (!values.is_array()) throw WrongSchema(list.path + "/enum", "must be an array");
    if (values.size() > kMaxValues)
      throw WrongSchema(list.path + "/enum", fmt::format("has more than {} values", kMaxValues));
    int lists = 0;
    bool has_more = false;
    for (const SchemaPart& part : parts) {
      for (const auto& [keyword, value] : part.schema->items()) {
        const bool is_list = keyword == "enum" || keyword == "const";
        lists += is_list;
        has_more =
            has_more || !(is_list || keyword == "type" || IsAnnotation(keyword) || IsCombination(keyword));
      }
    }
    has_more = has_more || lists > 1 || HasAny(parts, {kExcept});
    const std::unique_ptr<SchemaCheck> check = has_more ? document_.CheckOf(parts) : nullptr;
    std::vector<Grammar::Node> choices;
    for (const Json& value : values) {
      if ((types & TypeOf(value)) == 0 || (check && !check->WhatIsWrong(value).empty())) continue;
      const bool has_quote = !style_.IsJson() && value.dump().find(style_.quote) != std::string::npos;
      if (has_quote) continue;
      choices.push_back(grammar_.Bytes(style_.Write(value)));
    }
    if (choices.empty()) throw NoValue{WrongSchema(list.path, "allows no value")};
    return Choice(std::move(choices));
  }

  static bool HasAny(const SchemaParts& parts, std::initializer_list<const char*> keywords) {
    return std::any_of(parts.begin(), parts.end(), [&](const SchemaPart& part) {
      return std::any_of(keywords.begin(), keywords.end(),
                         [&](const char* keyword) { return Find(*part.schema, keyword) != nullptr; });
    });
  }

  // Strings and numbers without limits are the same everywhere.
  Grammar::Node String(const SchemaParts& parts) {
    if (!style_.IsJson()) {
      const Grammar::Node quote = grammar_.Bytes(style_.quote);
      return grammar_.Sequence({quote, LowerPlainString(parts, style_.quote, grammar_), quote});
    }
    if (HasAny(parts, {"minLength", "maxLength", "pattern", "format", kExcept}))
      return LowerString(parts, grammar_);
    if (!string_) string_ = LowerString({}, grammar_);
    return *string_;
  }

  Grammar::Node Number(const SchemaParts& parts, bool whole) {
    if (HasAny(parts, {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", kExcept}))
      return LowerNumber(parts, whole, grammar_);
    std::optional<Grammar::Node>& number = whole ? integer_ : number_;
    if (!number) number = LowerNumber({}, whole, grammar_);
    return *number;
  }

  Grammar::Node Comma(Grammar::Node node) { return grammar_.Sequence({grammar_.Bytes(","), node}); }

  Grammar::Node Array(const SchemaParts& parts) {
    const std::string path = parts.empty() ? "#" : parts[0].path;
    int64_t min = CountOf(parts, "minItems", 0);
    int64_t max = CountOf(parts, "maxItems", Grammar::kUnbounded);
    if (max != Grammar::kUnbounded && max < min)
      throw NoValue{WrongSchema(path, "has a minItems above its maxItems")};
    int64_t prefix = 0;
    bool is_open = true, says_more = false;
    for (const SchemaPart& part : parts) {
      const auto [items, more] = ItemsOf(part);
      if (items != nullptr) prefix = std::max(prefix, static_cast<int64_t>(items->size()));
      is_open = is_open && (items == nullptr || more != nullptr);
      says_more = says_more || more != nullptr;
    }
    if (prefix > kMaxPrefix)
      throw WrongSchema(path, fmt::format("has more than {} different items", kMaxPrefix));
    // A tuple has no more items than are listed, unless it says of what kind they are.
    if (!is_open && !says_more) max = max == Grammar::kUnbounded ? prefix : std::min(max, prefix);
    if (max != Grammar::kUnbounded && max < min)
      throw NoValue{WrongSchema(path, "has a minItems above its number of items")};
    for (const SchemaPart& part : parts) {
      const Json* unique = Find(*part.schema, "uniqueItems");
      if (unique != nullptr && *unique == Json(true) && max != 0 && max != 1)
        return Unique(parts, prefix, min, max);
    }

    std::vector<Grammar::Node> items;  // those before the repeated ones
    while (static_cast<int64_t>(items.size()) < prefix &&
           (max == Grammar::kUnbounded || static_cast<int64_t>(items.size()) < max)) {
      const std::optional<Grammar::Node> item = ValuesIfAny(PartsOfItem(parts, items.size()));
      if (!item) {
        max = static_cast<int64_t>(items.size());
        break;
      }
      items.push_back(*item);
    }
    const auto listed = static_cast<int64_t>(items.size());
    std::optional<Grammar::Node> more;
    if (max == Grammar::kUnbounded || max > listed) {
      more = ValuesIfAny(PartsOfItem(parts, static_cast<size_t>(prefix)));
      if (!more) max = listed;
    }
    if (max != Grammar::kUnbounded && max < min)
      throw NoValue{WrongSchema(path, fmt::format("asks for {} items, but allows {}", min, max))};
    // From the last item to the first: what follows item i.
    const Grammar::Node end = grammar_.Bytes("]");
    Grammar::Node rest = end;
    if (more) {
      const int64_t least = std::max<int64_t>(min - listed, 0);
      const int64_t most = max == Grammar::kUnbounded ? max : max - listed;
      if (listed > 0) {
        rest = grammar_.Sequence({grammar_.Repeat(Comma(*more), least, most), end});
      } else {
        const Grammar::Node first =
            grammar_.Sequence({*more, grammar_.Repeat(Comma(*more), std::max<int64_t>(least - 1, 0),
                                                      most == Grammar::kUnbounded ? most : most - 1)});
        rest = grammar_.Sequence({min == 0 ? grammar_.Optional(first) : first, end});
      }
    }
    for (int64_t i = listed; i-- > 0;) {
      CheckSize(path);
      const Grammar::Node item = items[static_cast<size_t>(i)];
      rest = grammar_.Sequence({i == 0 ? item : Comma(item), rest});
      if (i >= min) rest = grammar_.Choice({rest, end});
    }
    return grammar_.Sequence({grammar_.Bytes("["), rest});
  }

  // Items by their place (prefixItems, or items as older drafts write it), and those after them.
  static std::pair<const Json*, const Json*> ItemsOf(const SchemaPart& part) {
    const Json* items = Find(*part.schema, "items");
    const Json* prefix = Find(*part.schema, "prefixItems");
    if (prefix != nullptr && !prefix->is_array())
      throw WrongSchema(part.path + "/prefixItems", "must be an array");
    if (prefix == nullptr && items != nullptr && items->is_array())
      return {items, Find(*part.schema, "additionalItems")};
    return {prefix, items};
  }

  static SchemaParts PartsOfItem(const SchemaParts& parts, size_t index) {
    SchemaParts all;
    for (const SchemaPart& part : parts) {
      const auto [items, more] = ItemsOf(part);
      if (items != nullptr && index < items->size()) {
        const bool is_old = items == Find(*part.schema, "items");
        all.push_back(
            {&(*items)[index], fmt::format("{}/{}/{}", part.path, is_old ? "items" : "prefixItems", index)});
      } else if (more != nullptr) {
        const bool is_old = items != nullptr && items == Find(*part.schema, "items");
        all.push_back({more, part.path + (is_old ? "/additionalItems" : "/items")});
      }
    }
    return all;
  }

  // Arrays of different items out of a few: a rule for each set of items that are left.
  Grammar::Node Unique(const SchemaParts& parts, int64_t prefix, int64_t min, int64_t max) {
    const std::string path = parts[0].path + "/uniqueItems";
    std::vector<Json> values;
    const bool is_list = prefix == 0 && ListOf(PartsOfItem(parts, 0), values);
    if (!is_list || values.size() > kMaxUnique)
      throw UnsupportedSchema(path,
                              fmt::format("is supported for items of at most {} listed values", kMaxUnique));
    const auto all = static_cast<uint32_t>(values.size());
    if (max == Grammar::kUnbounded || max > all) max = all;
    if (max < min)
      throw NoValue{WrongSchema(path, fmt::format("allows {} items at most, fewer than minItems", all))};
    std::vector<Grammar::Node> after(size_t{1} << all);  // by set of the items that are there
    const Grammar::Node end = grammar_.Bytes("]");
    for (size_t there = after.size(); there-- > 0;) {
      const int64_t count = std::popcount(there);
      std::vector<Grammar::Node> choices;
      if (count >= min) choices.push_back(end);
      for (uint32_t i = 0; i < all && count < max; ++i) {
        if ((there >> i & 1) != 0) continue;
        const std::string text = (count == 0 ? "" : ",") + style_.Write(values[i]);
        choices.push_back(grammar_.Sequence({grammar_.Bytes(text), after[there | size_t{1} << i]}));
      }
      after[there] = choices.empty() ? end : Choice(std::move(choices));
    }
    return grammar_.Sequence({grammar_.Bytes("["), after[0]});
  }

  // Whether parts allow a few listed values, and which.
  bool ListOf(const SchemaParts& parts, std::vector<Json>& values) {
    for (const SchemaParts& alternative : document_.Alternatives(parts)) {
      const uint32_t types = TypesOf(alternative);
      const Json* list = nullptr;
      const Json booleans = {false, true};
      Json single;
      for (const SchemaPart& part : alternative) {
        if (const Json* value = Find(*part.schema, "const")) single = Json::array({*value}), list = &single;
        if (const Json* some = Find(*part.schema, "enum")) list = some;
      }
      if (list == nullptr && types == kBoolean) list = &booleans;
      if (list == nullptr || !list->is_array() || list->size() > kMaxValues) return false;
      const std::unique_ptr<SchemaCheck> check = document_.CheckOf(alternative);
      for (const Json& value : *list) {
        if ((types & TypeOf(value)) == 0 || !check->WhatIsWrong(value).empty()) continue;
        if (std::find(values.begin(), values.end(), value) == values.end()) values.push_back(value);
        if (values.size() > kMaxUnique) return false;
      }
    }
    return true;
  }

  struct Member {
    Grammar::Node first;  // key and value
    Grammar::Node next;   // the same after a comma
    bool is_required = false;
  };
  // The members of an object that is being lowered, and how many of them it may have.
  struct Members {
    std::vector<Member> named;
    std::optional<Grammar::Node> other;  // a member of another name
    int64_t min = 0;
    int64_t max = Grammar::kUnbounded;
  };

  Grammar::Node Object(const SchemaParts& parts) {
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

    std::vector<std::unique_ptr<SchemaCheck>> checks;
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
      const std::string key = style_.Key(name) + ":";
      members.named.push_back({grammar_.Sequence({grammar_.Bytes(key), *value}),
                               grammar_.Sequence({grammar_.Bytes("," + key), *value}), is_required});
    }
    if (has_others) members.other = Others(names, allowed, named, path);
    return grammar_.Sequence({grammar_.Bytes("{"), Tail(members, path)});
  }

  // The schemas of propertyNames, one alternative of each; none if there are no such schemas.
  std::vector<SchemaParts> AllowedNames(const SchemaParts& parts) {
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

  static bool IsAllowedName(const std::vector<std::unique_ptr<SchemaCheck>>& checks,
                            const std::string& name) {
    return checks.empty() || std::any_of(checks.begin(), checks.end(), [&](const auto& check) {
             return check->WhatIsWrong(Json(name)).empty();
           });
  }

  // Names that propertyNames lists are as good as properties. Returns whether it allows others.
  bool AddListedNames(const ObjectNames& names, const std::vector<SchemaParts>& allowed,
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
  std::optional<Grammar::Node> Others(const ObjectNames& names, const std::vector<SchemaParts>& allowed,
                                      const std::vector<std::string>& named, const std::string& path) {
    const std::vector<std::string>& patterns = names.Patterns();
    if (!style_.IsJson()) {
      if (patterns.empty() && allowed.empty()) return BareOthers(names, named, path);
      throw UnsupportedSchema(path,
                              "has patterns of names, which the model's form of calls does not support");
    }
    if (patterns.size() > kMaxPatterns)
      throw UnsupportedSchema(path + "/patternProperties",
                              fmt::format("has more than {} patterns", kMaxPatterns));
    std::vector<SchemaParts> unlisted = allowed;
    std::erase_if(unlisted, [](const SchemaParts& one) {
      return std::any_of(one.begin(), one.end(), [](const SchemaPart& part) {
        return Find(*part.schema, "enum") != nullptr || Find(*part.schema, "const") != nullptr;
      });
    });
    std::vector<Grammar::Node> kinds;
    for (size_t set = 0; set < size_t{1} << patterns.size(); ++set) {
      if (set == 0 && !names.HasOthers()) continue;
      NameRules rules = {
          .allowed = unlisted, .matching = {}, .not_matching = {}, .except = named, .path = path};
      std::vector<bool> matched;
      for (size_t i = 0; i < patterns.size(); ++i) {
        matched.push_back((set >> i & 1) != 0);
        (matched.back() ? rules.matching : rules.not_matching).push_back(patterns[i]);
      }
      const std::optional<Grammar::Node> value = ValuesIfAny(names.OthersWith(matched));
      if (!value) continue;
      const std::optional<Grammar::Node> name = LowerName(rules, grammar_);
      if (name) kinds.push_back(grammar_.Sequence({*name, grammar_.Bytes(":"), *value}));
    }
    if (kinds.empty()) return std::nullopt;
    return Choice(std::move(kinds));
  }

  static constexpr const char* kBareName = "^[A-Za-z0-9_$-]+$";

  static void CheckBareName(const std::string& name, const std::string& path) {
    static const Regular kNames = RegexTexts(kBareName, "names");
    if (kNames.Matches(name)) return;
    throw UnsupportedSchema(
        path, fmt::format("has the name {:?}, which the model's form of calls cannot write", name));
  }

  // The same for keys without quotes.
  std::optional<Grammar::Node> BareOthers(const ObjectNames& names, const std::vector<std::string>& named,
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
  Grammar::Node Tail(const Members& members, const std::string& path) {
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
          path, fmt::format("has {} members and a minProperties or maxProperties of {}: too many states",
                            size, counts));
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
    for (int64_t i = size; i-- > 0;) {
      CheckSize(path);
      const Member& member = members.named[static_cast<size_t>(i)];
      std::vector<std::optional<Grammar::Node>> before(rest.size());
      for (int64_t count = 0; count <= std::min(i, counts); ++count) {
        std::vector<Grammar::Node> choices;
        const std::optional<Grammar::Node>& after = rest[index(count + 1)];
        if (after && (!has_max || count < members.max))
          choices.push_back(grammar_.Sequence({count == 0 ? member.first : member.next, *after}));
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

  SchemaDocument& document_;
  const JsonStyle& style_;
  Grammar& grammar_;
  std::map<std::vector<const Json*>, Grammar::Node> rules_;  // by the schemas that hold together
  std::map<std::vector<const Json*>, Error> without_value_;
  std::optional<Grammar::Node> string_, integer_, number_;  // without limits
  int depth_ = 0;
};

}  // namespace

Grammar::Node LowerJsonSchema(std::string_view schema, Grammar& grammar, const JsonStyle& style) {
  SchemaDocument document(schema);
  try {
    return Lowering(document, style, grammar).Values({document.Root()});
  } catch (const NoValue& nothing) {
    throw nothing.why;
  }
}

Grammar::Node LowerParts(SchemaDocument& document, const SchemaParts& parts, Grammar& grammar,
                         const JsonStyle& style) {
  return Lowering(document, style, grammar).Values(parts);
}

}  // namespace throng::llm
