#include "llm/grammar/json_scalar.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "llm/grammar/schema_keywords.h"
#include "llm/regular/decimal.h"
#include "llm/regular/format.h"
#include "llm/regular/literals.h"
#include "llm/regular/number.h"
#include "llm/regular/pattern.h"

namespace throng::llm {
namespace {

using Json = nlohmann::ordered_json;

const CodePoints kAnyChar = Normalised({{0, 0x10ffff}});

std::string Where(const std::string& path) { return "JSON schema: " + path; }

Regular AnyString(const std::string& where) { return Chars(kAnyChar, 0, Grammar::kUnbounded, where); }

bool IsPlain(uint32_t c) { return c >= 0x20 && c < 0x80 && c != '"' && c != '\\'; }

// All strings but the names, without their quotes: a trie of the names, which other characters leave.
Grammar::Node AnyExcept(const std::vector<std::string>& names, Grammar& grammar) {
  std::vector<std::map<uint32_t, uint32_t>> next(1);
  std::vector<bool> is_name(1);
  for (const std::string& name : names) {
    uint32_t state = 0;
    for (const uint32_t c : DecodeUtf8(name)) {
      const auto [found, is_new] = next[state].try_emplace(c, static_cast<uint32_t>(next.size()));
      state = found->second;
      if (!is_new) continue;
      next.emplace_back();
      is_name.push_back(false);
    }
    is_name[state] = true;
  }
  const Grammar::Node any =
      grammar.Sequence({grammar.Repeat(grammar.StringChar(kAnyChar), 0, Grammar::kUnbounded)});
  const CodePoints plain = {{0x20, '"' - 1}, {'"' + 1, '\\' - 1}, {'\\' + 1, 0x7f}};
  // Most names have plain characters alone; what all others lead to is then the same.
  const Grammar::Node others = grammar.Sequence({grammar.StringChar(Complement(plain)), any});
  std::vector<Grammar::Node> nodes(next.size());
  for (size_t state = next.size(); state-- > 0;) {
    std::vector<Grammar::Node> choices;
    CodePoints left;
    bool all_are_plain = true;
    for (const auto& [c, to] : next[state]) {
      choices.push_back(grammar.Sequence({grammar.StringChar({{c, c}}), nodes[to]}));
      left.emplace_back(c, c);
      all_are_plain = all_are_plain && IsPlain(c);
    }
    CodePoints rest = Complement(Normalised(left));
    if (all_are_plain) {
      choices.push_back(others);
      CodePoints used = Complement(plain);
      used.insert(used.end(), left.begin(), left.end());
      rest = Complement(Normalised(used));
    }
    if (!rest.empty()) choices.push_back(grammar.Sequence({grammar.StringChar(rest), any}));
    if (!is_name[state]) choices.push_back(grammar.Bytes(""));
    nodes[state] = grammar.Choice(std::move(choices));
  }
  return nodes[0];
}

// A trie of the texts.
Regular OneOf(const std::vector<std::string>& texts) {
  std::map<uint32_t, uint32_t> classes;
  std::vector<std::map<uint32_t, uint32_t>> next(1);
  std::vector<bool> accepts(1);
  for (const std::string& text : texts) {
    uint32_t state = 0;
    for (const uint32_t c : DecodeUtf8(text)) {
      const uint32_t set = classes.try_emplace(c, static_cast<uint32_t>(classes.size())).first->second;
      const auto [found, is_new] = next[state].try_emplace(set, static_cast<uint32_t>(next.size()));
      state = found->second;
      if (!is_new) continue;
      next.emplace_back();
      accepts.push_back(false);
    }
    accepts[state] = true;
  }
  std::vector<CodePoints> sets(classes.size());
  for (const auto& [c, set] : classes) sets[set] = {{c, c}};
  std::vector<Regular::State> states(next.size());
  for (size_t i = 0; i < next.size(); ++i) {
    states[i].accepts = accepts[i];
    for (const auto& [set, to] : next[i]) states[i].edges.push_back({set, to});
  }
  return Regular(std::move(sets), std::move(states));
}

// What patterns and formats allow; empty if there are none.
std::optional<Regular> TextsOf(const SchemaParts& parts) {
  std::optional<Regular> texts;
  const auto add = [&](Regular more, const std::string& where) {
    texts = texts ? Reduced(Intersection(*texts, more, where)) : std::move(more);
  };
  for (const auto& [schema, path] : parts) {
    if (const Json* pattern = Find(*schema, "pattern")) {
      if (!pattern->is_string()) throw WrongSchema(path + "/pattern", "must be a string");
      const std::string where = Where(path + "/pattern");
      add(PatternTexts(pattern->get_ref<const std::string&>(), where), where);
    }
    if (const Json* pattern = Find(*schema, kNotPattern)) {
      if (!pattern->is_string()) throw WrongSchema(path, "must be a string");
      const std::string where = Where(path);
      add(Complement(PatternTexts(pattern->get_ref<const std::string&>(), where), where), where);
    }
    const Json* format = Find(*schema, "format");
    if (format == nullptr || !format->is_string()) continue;
    if (std::optional<Regular> known = FormatTexts(format->get_ref<const std::string&>()))
      add(*std::move(known), Where(path + "/format"));
  }
  return texts;
}

// A bound as it is written; older drafts have a boolean where it is exclusive.
void AddBound(const SchemaPart& part, const char* keyword, bool is_low, std::string& tightest) {
  const Json* value = Find(*part.schema, keyword);
  if (value == nullptr || value->is_boolean()) return;
  const std::string path = fmt::format("{}/{}", part.path, keyword);
  if (!value->is_number()) throw WrongSchema(path, "must be a number");
  const std::string text = value->dump();
  if (!tightest.empty()) {
    const auto order = ParseDecimal(text, Where(path)) <=> ParseDecimal(tightest, Where(path));
    if (is_low ? order <= 0 : order >= 0) return;
  }
  tightest = text;
}

// What all parts ask of strings.
struct StringRules {
  std::string path;
  int64_t min;
  int64_t max;                   // or Grammar::kUnbounded
  std::optional<Regular> texts;  // of any length; empty: all
};

StringRules RulesOf(const SchemaParts& parts) {
  StringRules rules = {.path = parts.empty() ? "#" : parts[0].path,
                       .min = CountOf(parts, "minLength", 0),
                       .max = CountOf(parts, "maxLength", Grammar::kUnbounded),
                       .texts = TextsOf(parts)};
  if (rules.max != Grammar::kUnbounded && rules.max < rules.min)
    throw NoValue{WrongSchema(rules.path, "has a minLength above its maxLength")};
  std::vector<std::string> except;
  for (const Json& value : ExceptOf(parts))
    if (value.is_string()) except.push_back(value);
  if (!except.empty()) {
    const Regular others = Complement(OneOf(except), Where(rules.path));
    rules.texts = rules.texts ? Intersection(*rules.texts, others, Where(rules.path)) : others;
  }
  return rules;
}

Regular WithinLength(Regular texts, const StringRules& rules) {
  texts = WithLength(texts, rules.min, rules.max, Where(rules.path));
  if (texts.Empty()) {
    throw NoValue{
        WrongSchema(rules.path, "allows no string: its pattern, format and lengths exclude each other")};
  }
  return texts;
}

}  // namespace

std::vector<Json> ExceptOf(const SchemaParts& parts) {
  std::vector<Json> values;
  for (const SchemaPart& part : parts) {
    if (const Json* except = Find(*part.schema, kExcept))
      values.insert(values.end(), except->begin(), except->end());
  }
  return values;
}

int64_t CountOf(const SchemaParts& parts, const char* keyword, int64_t otherwise) {
  const bool is_max = std::string_view(keyword).starts_with("max");
  std::optional<int64_t> count;
  for (const SchemaPart& part : parts) {
    const Json* value = Find(*part.schema, keyword);
    if (value == nullptr) continue;
    const double number = value->is_number() ? value->get<double>() : -1;
    if (number < 0 || number != std::floor(number)) {
      throw WrongSchema(fmt::format("{}/{}", part.path, keyword), "must be a whole number, 0 or more");
    }
    const bool is_large = number > static_cast<double>(Grammar::kMaxRepeat);
    if (is_large && is_max) continue;  // as good as none: answers are shorter
    if (is_large) {
      throw UnsupportedSchema(fmt::format("{}/{}", part.path, keyword),
                              fmt::format("is above {}", Grammar::kMaxRepeat));
    }
    const auto one = static_cast<int64_t>(number);
    count = !count ? one : is_max ? std::min(*count, one) : std::max(*count, one);
  }
  return count.value_or(otherwise);
}

Grammar::Node LowerString(const SchemaParts& parts, Grammar& grammar) {
  StringRules rules = RulesOf(parts);
  Grammar::Node body;
  if (rules.texts) {
    body = grammar.StringTexts(WithinLength(*std::move(rules.texts), rules));
  } else {
    body = grammar.Repeat(grammar.StringChar(kAnyChar), rules.min, rules.max);
  }
  return grammar.Sequence({grammar.Bytes("\""), body, grammar.Bytes("\"")});
}

Grammar::Node LowerPlainString(const SchemaParts& parts, std::string_view without, Grammar& grammar) {
  const StringRules rules = RulesOf(parts);
  Regular texts = TextsWithout({std::string(without)});
  if (rules.texts) texts = Intersection(texts, *rules.texts, Where(rules.path));
  return grammar.Texts(WithinLength(std::move(texts), rules));
}

Regular StringsOf(const SchemaPart& part) {
  const std::string where = Where(part.path);
  const Json* values = Find(*part.schema, "enum");
  const Json* constant = Find(*part.schema, "const");
  std::optional<Regular> texts = TextsOf({part});
  if (!texts) texts = AnyString(where);
  for (const Json& some :
       {values == nullptr ? Json() : *values, constant == nullptr ? Json() : Json::array({*constant})}) {
    if (!some.is_array()) continue;
    std::vector<std::string> strings;
    for (const Json& value : some)
      if (value.is_string()) strings.push_back(value);
    texts = Intersection(*texts, OneOf(strings), where);
  }
  return WithLength(*texts, CountOf({part}, "minLength", 0),
                    CountOf({part}, "maxLength", Grammar::kUnbounded), where);
}

Grammar::Node LowerNumber(const SchemaParts& parts, bool whole, Grammar& grammar) {
  const std::string path = parts.empty() ? "#" : parts[0].path;
  NumberBounds bounds;
  for (const SchemaPart& part : parts) {
    const auto is_exclusive = [&](const char* keyword) {
      const Json* value = Find(*part.schema, keyword);
      return value != nullptr && *value == Json(true);
    };
    AddBound(part, "minimum", true,
             is_exclusive("exclusiveMinimum") ? bounds.exclusive_minimum : bounds.minimum);
    AddBound(part, "maximum", false,
             is_exclusive("exclusiveMaximum") ? bounds.exclusive_maximum : bounds.maximum);
    AddBound(part, "exclusiveMinimum", true, bounds.exclusive_minimum);
    AddBound(part, "exclusiveMaximum", false, bounds.exclusive_maximum);
    if (const Json* multiple = Find(*part.schema, "multipleOf")) {
      const std::string text = multiple->dump();
      if (!bounds.multiple_of.empty() && bounds.multiple_of != text)
        throw UnsupportedSchema(part.path + "/multipleOf", "is not the only multipleOf that holds here");
      bounds.multiple_of = text;
    }
  }
  Regular texts = whole ? IntegerTexts(bounds, Where(path)) : NumberTexts(bounds, Where(path));
  std::vector<std::string> except;
  for (const Json& value : ExceptOf(parts)) {
    if (!value.is_number()) continue;
    const std::string text = value.dump();
    if (whole && value.is_number_integer()) {
      except.push_back(text);
      continue;
    }
    // A number has many texts: below it or above it.
    NumberBounds below, above;
    below.exclusive_maximum = above.exclusive_minimum = text;
    const auto numbers = [&](const NumberBounds& some) {
      return whole ? IntegerTexts(some, Where(path)) : NumberTexts(some, Where(path));
    };
    texts = Intersection(texts, Union(numbers(below), numbers(above), Where(path)), Where(path));
  }
  if (!except.empty()) texts = Intersection(texts, Complement(OneOf(except), Where(path)), Where(path));
  if (texts.Empty()) throw NoValue{WrongSchema(path, "allows no number: its bounds exclude each other")};
  return grammar.Texts(std::move(texts));
}

Grammar::Node LowerNameExcept(const std::vector<std::string>& except, Grammar& grammar) {
  return grammar.Sequence({grammar.Bytes("\""), AnyExcept(except, grammar), grammar.Bytes("\"")});
}

Grammar::Node LowerName(Regular names, Grammar& grammar) {
  return grammar.Sequence({grammar.Bytes("\""), grammar.StringTexts(std::move(names)), grammar.Bytes("\"")});
}

Regular NameTexts(const std::vector<SchemaParts>& allowed, const std::vector<std::string>& except,
                  const std::string& path) {
  const std::string where = Where(path);
  Regular names = AnyString(where);
  if (!allowed.empty()) {
    Regular any;
    for (const SchemaParts& one : allowed) {
      const int64_t min = CountOf(one, "minLength", 0);
      const int64_t max = CountOf(one, "maxLength", Grammar::kUnbounded);
      const std::optional<Regular> texts = TextsOf(one);
      any = Union(any, texts ? WithLength(*texts, min, max, where) : Chars(kAnyChar, min, max, where), where);
    }
    names = Reduced(any);
  }
  if (!except.empty()) names = Intersection(names, Complement(OneOf(except), where), where);
  return names;
}

}  // namespace throng::llm
