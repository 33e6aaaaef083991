#include "llm/grammar/json_schema.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <string>

#include "llm/grammar/pattern.h"
#include "llm/json_type.h"

namespace throng::llm {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxSchemaBytes = 1 << 20;
constexpr int kMaxDepth = 64;           // the lowering recurses
constexpr size_t kMaxProperties = 256;  // an object's grammar is quadratic in its optional ones
constexpr int64_t kMaxInteger = 999'999'999'999'999'999;  // 18 digits: an int64_t and its neighbours
constexpr int64_t kMaxWhole = 999'999'999'999'999;        // 15 digits: exact in a double
constexpr int64_t kMaxFraction = 15;

const std::initializer_list<std::string_view> kAnnotations = {"title",   "description", "default", "examples",
                                                              "$schema", "$id",         "$comment"};

bool Contains(std::initializer_list<std::string_view> list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

std::initializer_list<std::string_view> KeywordsOf(std::string_view type) {
  static const std::initializer_list<std::string_view> object = {"properties", "required",
                                                                 "additionalProperties"};
  static const std::initializer_list<std::string_view> array = {"items", "minItems", "maxItems"};
  static const std::initializer_list<std::string_view> string = {"minLength", "maxLength", "pattern"};
  static const std::initializer_list<std::string_view> number = {"minimum", "maximum", "exclusiveMinimum",
                                                                 "exclusiveMaximum"};
  if (type == "object") return object;
  if (type == "array") return array;
  if (type == "string") return string;
  if (type == "integer" || type == "number") return number;
  return {};
}

class Lowering {
 public:
  explicit Lowering(Grammar& grammar) : grammar_(grammar) {}

  Grammar::Node Schema(const Json& schema, const std::string& path) {
    if (std::count(path.begin(), path.end(), '/') > 2 * kMaxDepth) throw Wrong(path, "is nested too deeply");
    if (!schema.is_object()) throw Wrong(path, "must be an object");
    if (schema.contains("const")) {
      AllowOnly(schema, {"const", "type"}, path);
      return Values(Json::array({schema["const"]}), schema, path);
    }
    if (schema.contains("enum")) {
      AllowOnly(schema, {"enum", "type"}, path);
      if (!schema["enum"].is_array()) throw Wrong(path + "/enum", "must be an array");
      return Values(schema["enum"], schema, path);
    }
    if (schema.contains("anyOf")) return AnyOf(schema, path);
    return Typed(schema, path);
  }

 private:
  static Error Wrong(const std::string& path, std::string_view what) {
    return MakeError(ErrorCode::kInvalid, "JSON schema: {} {}", path, what);
  }

  static void AllowOnly(const Json& schema, std::initializer_list<std::string_view> known,
                        const std::string& path) {
    for (const auto& [keyword, value] : schema.items()) {
      if (Contains(known, keyword) || Contains(kAnnotations, keyword)) continue;
      throw MakeError(ErrorCode::kUnsupported, "JSON schema: the keyword {} at {} is not supported{}",
                      keyword, path,
                      known.size() == 0 ? "" : fmt::format(" here, where {} are", fmt::join(known, ", ")));
    }
  }

  static std::vector<std::string> Types(const Json& schema, const std::string& path) {
    std::vector<std::string> types;
    const Json& type = schema["type"];
    for (const Json& name : type.is_array() ? type : Json::array({type})) {
      if (!name.is_string() ||
          !Contains({"object", "array", "string", "integer", "number", "boolean", "null"},
                    name.get_ref<const std::string&>())) {
        throw Wrong(path + "/type",
                    "must be object, array, string, integer, number, boolean, null or an array of these");
      }
      types.push_back(name);
    }
    if (types.empty()) throw Wrong(path + "/type", "must name a type");
    return types;
  }

  Grammar::Node Values(const Json& values, const Json& schema, const std::string& path) {
    std::vector<std::string> types;
    if (schema.contains("type")) types = Types(schema, path);
    std::vector<Grammar::Node> choices;
    for (const Json& value : values) {
      const bool fits =
          types.empty() || std::any_of(types.begin(), types.end(),
                                       [&](const std::string& type) { return HasType(value, type); });
      if (fits) choices.push_back(grammar_.Bytes(value.dump()));
    }
    if (choices.empty()) throw Wrong(path, "allows no value");
    return grammar_.Choice(std::move(choices));
  }

  Grammar::Node AnyOf(const Json& schema, const std::string& path) {
    AllowOnly(schema, {"anyOf"}, path);
    const Json& parts = schema["anyOf"];
    if (!parts.is_array() || parts.empty())
      throw Wrong(path + "/anyOf", "must be an array that is not empty");
    std::vector<Grammar::Node> choices;
    for (size_t i = 0; i < parts.size(); ++i)
      choices.push_back(Schema(parts[i], fmt::format("{}/anyOf/{}", path, i)));
    return grammar_.Choice(std::move(choices));
  }

  Grammar::Node Typed(const Json& schema, const std::string& path) {
    if (!schema.contains("type")) {
      AllowOnly(schema, {}, path);
      throw MakeError(ErrorCode::kUnsupported,
                      "JSON schema: {} has none of type, enum, const and anyOf, so it allows any value",
                      path);
    }
    const std::vector<std::string> types = Types(schema, path);
    for (const auto& [keyword, value] : schema.items()) {
      const std::string_view word = keyword;
      const bool known = word == "type" || Contains(kAnnotations, word) ||
                         std::any_of(types.begin(), types.end(), [&](const std::string& type) {
                           return Contains(KeywordsOf(type), word);
                         });
      if (!known) {
        throw MakeError(ErrorCode::kUnsupported,
                        "JSON schema: the keyword {} at {} is not supported for the type {}", keyword, path,
                        fmt::join(types, ", "));
      }
    }
    std::vector<Grammar::Node> choices;
    for (const std::string& type : types) choices.push_back(OfType(type, schema, path));
    return choices.size() == 1 ? choices[0] : grammar_.Choice(std::move(choices));
  }

  Grammar::Node OfType(std::string_view type, const Json& schema, const std::string& path) {
    if (type == "object") return Object(schema, path);
    if (type == "array") return Array(schema, path);
    if (type == "string") return String(schema, path);
    if (type == "integer") return Integer(schema, path);
    if (type == "number") return Number(schema, path);
    if (type == "null") return grammar_.Bytes("null");
    return grammar_.Choice({grammar_.Bytes("false"), grammar_.Bytes("true")});
  }

  // minItems and its like: a count, or `otherwise` if absent.
  static int64_t Count(const Json& schema, const char* keyword, int64_t otherwise, const std::string& path) {
    if (!schema.contains(keyword)) return otherwise;
    const Json& value = schema[keyword];
    const double number = value.is_number() ? value.get<double>() : -1;
    if (number < 0 || number > static_cast<double>(Grammar::kMaxRepeat) || number != std::floor(number)) {
      throw Wrong(fmt::format("{}/{}", path, keyword),
                  fmt::format("must be a whole number from 0 to {}", Grammar::kMaxRepeat));
    }
    return static_cast<int64_t>(number);
  }

  static void CheckOrder(int64_t min, int64_t max, const char* what, const std::string& path) {
    if (max != Grammar::kUnbounded && max < min)
      throw Wrong(path, fmt::format("has a {} above its maximum", what));
  }

  Grammar::Node Object(const Json& schema, const std::string& path) {
    const Json& properties = schema.contains("properties") ? schema["properties"] : Json::object();
    if (!properties.is_object()) throw Wrong(path + "/properties", "must be an object");
    if (properties.size() > kMaxProperties)
      throw Wrong(path + "/properties", fmt::format("has more than {} members", kMaxProperties));
    if (schema.contains("additionalProperties") && !schema["additionalProperties"].is_boolean()) {
      throw MakeError(ErrorCode::kUnsupported, "JSON schema: additionalProperties at {} can only be false",
                      path);
    }
    if (properties.empty() && schema.value("additionalProperties", true)) {
      throw MakeError(ErrorCode::kUnsupported,
                      "JSON schema: the object at {} has no properties, so it allows any object", path);
    }
    const std::vector<bool> required = Required(schema, properties, path);

    std::vector<Grammar::Node> members;
    std::vector<Grammar::Node> more;  // the member after another one
    for (const auto& [name, value] : properties.items()) {
      const std::string key = Json(name).dump();
      const Grammar::Node body = Schema(value, fmt::format("{}/properties/{}", path, name));
      members.push_back(grammar_.Sequence({grammar_.Bytes(key + ":"), body}));
      const Grammar::Node next = grammar_.Sequence({grammar_.Bytes("," + key + ":"), body});
      more.push_back(required[more.size()] ? next : grammar_.Optional(next));
    }
    std::vector<Grammar::Node> firsts;  // one for each member that can be the first
    bool may_be_empty = true;
    for (size_t i = 0; i < members.size() && may_be_empty; ++i) {
      std::vector<Grammar::Node> sequence = {members[i]};
      sequence.insert(sequence.end(), more.begin() + static_cast<std::ptrdiff_t>(i) + 1, more.end());
      firsts.push_back(grammar_.Sequence(std::move(sequence)));
      may_be_empty = !required[i];
    }
    if (may_be_empty) firsts.push_back(grammar_.Bytes(""));
    return grammar_.Sequence({grammar_.Bytes("{"), grammar_.Choice(std::move(firsts)), grammar_.Bytes("}")});
  }

  static std::vector<bool> Required(const Json& schema, const Json& properties, const std::string& path) {
    std::vector<bool> required(properties.size());
    if (!schema.contains("required")) return required;
    if (!schema["required"].is_array()) throw Wrong(path + "/required", "must be an array of strings");
    for (const Json& name : schema["required"]) {
      if (!name.is_string()) throw Wrong(path + "/required", "must be an array of strings");
      const auto found = properties.find(name.get_ref<const std::string&>());
      if (found == properties.end()) {
        throw Wrong(path + "/required",
                    fmt::format("names {}, which is not among the properties", name.dump()));
      }
      required[static_cast<size_t>(std::distance(properties.begin(), found))] = true;
    }
    return required;
  }

  Grammar::Node Array(const Json& schema, const std::string& path) {
    if (!schema.contains("items"))
      throw MakeError(ErrorCode::kUnsupported, "JSON schema: the array at {} has no items", path);
    const int64_t min = Count(schema, "minItems", 0, path);
    const int64_t max = Count(schema, "maxItems", Grammar::kUnbounded, path);
    CheckOrder(min, max, "minItems", path);
    const Grammar::Node item = Schema(schema["items"], path + "/items");
    if (max == 0) return grammar_.Bytes("[]");
    const Grammar::Node more = grammar_.Sequence({grammar_.Bytes(","), item});
    const Grammar::Node items =
        grammar_.Sequence({item, grammar_.Repeat(more, std::max<int64_t>(min - 1, 0),
                                                 max == Grammar::kUnbounded ? max : max - 1)});
    return grammar_.Sequence(
        {grammar_.Bytes("["), min == 0 ? grammar_.Optional(items) : items, grammar_.Bytes("]")});
  }

  Grammar::Node String(const Json& schema, const std::string& path) {
    const int64_t min = Count(schema, "minLength", 0, path);
    const int64_t max = Count(schema, "maxLength", Grammar::kUnbounded, path);
    CheckOrder(min, max, "minLength", path);
    Grammar::Node body;
    if (schema.contains("pattern")) {
      body = Pattern(schema["pattern"], min, max, path);
    } else {
      body = grammar_.Repeat(grammar_.StringChar(Normalised({{0, 0x10ffff}})), min, max);
    }
    return grammar_.Sequence({grammar_.Bytes("\""), body, grammar_.Bytes("\"")});
  }

  Grammar::Node Pattern(const Json& pattern, int64_t min, int64_t max, const std::string& path) {
    const std::string where = fmt::format("JSON schema: {}/pattern", path);
    if (!pattern.is_string()) throw Wrong(path + "/pattern", "must be a string");
    const Grammar::Node node = LowerPattern(pattern.get_ref<const std::string&>(), where, grammar_);
    const auto [shortest, longest] = grammar_.CharCount(node);
    const bool too_long = max != Grammar::kUnbounded && (longest == Grammar::kUnbounded || longest > max);
    if (shortest >= min && !too_long) return node;
    const Grammar::Item item = grammar_[node];
    const bool simple =
        item.kind == Grammar::Kind::kRepeat && grammar_[item.children[0]].kind == Grammar::Kind::kStringChar;
    if (!simple) {
      throw MakeError(ErrorCode::kUnsupported,
                      "JSON schema: {} has a pattern that allows other lengths than its minLength and "
                      "maxLength: write them into the pattern",
                      path);
    }
    const int64_t low = std::max(min, item.min);
    const int64_t high =
        item.max == Grammar::kUnbounded || (max != Grammar::kUnbounded && max < item.max) ? max : item.max;
    if (high != Grammar::kUnbounded && high < low) throw Wrong(path, "allows no string");
    return grammar_.Repeat(item.children[0], low, high);
  }

  // The inclusive bounds of a number; absent ones become -limit and limit.
  static std::pair<int64_t, int64_t> Bounds(const Json& schema, int64_t limit, bool whole,
                                            const std::string& path) {
    int64_t low = -limit;
    int64_t high = limit;
    for (const char* keyword : {"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"}) {
      if (!schema.contains(keyword)) continue;
      const std::string_view word = keyword;
      const bool exclusive = word.substr(0, 9) == "exclusive";
      const bool is_low = word.ends_with("inimum");
      const Json& value = schema[keyword];
      if (!value.is_number()) throw Wrong(fmt::format("{}/{}", path, keyword), "must be a number");
      const double number = value.get<double>();
      const bool integral = number == std::floor(number);
      if (!whole && (exclusive || !integral)) {
        throw MakeError(
            ErrorCode::kUnsupported,
            "JSON schema: {}/{} is not supported: for the type number, only whole inclusive bounds are", path,
            keyword);
      }
      const auto out = static_cast<double>(limit);
      int64_t bound = is_low ? -limit : limit;
      if (std::abs(number) < out) {
        bound = value.is_number_integer()
                    ? value.get<int64_t>()
                    : static_cast<int64_t>(is_low ? std::ceil(number) : std::floor(number));
        if (exclusive && integral) bound += is_low ? 1 : -1;
      } else if ((number > 0) == is_low) {
        throw MakeError(ErrorCode::kUnsupported, "JSON schema: {}/{} is beyond the largest number of {}",
                        path, keyword, limit);
      }
      if (is_low) {
        low = std::max(low, bound);
      } else {
        high = std::min(high, bound);
      }
    }
    if (low > high) throw Wrong(path, "allows no number: its minimum is above its maximum");
    return {low, high};
  }

  Grammar::Node Digits(char low, char high) {
    return grammar_.StringChar({{static_cast<uint32_t>(low), static_cast<uint32_t>(high)}});
  }

  // Digit strings between two of the same length.
  Grammar::Node SameLength(std::string_view low, std::string_view high) {
    if (low.find_first_not_of('0') == low.npos && high.find_first_not_of('9') == high.npos) {
      return grammar_.Repeat(Digits('0', '9'), static_cast<int64_t>(low.size()),
                             static_cast<int64_t>(low.size()));
    }
    if (low[0] == high[0]) {
      return grammar_.Sequence({Digits(low[0], low[0]), SameLength(low.substr(1), high.substr(1))});
    }
    const auto rest = static_cast<int64_t>(low.size()) - 1;
    const std::string nines(low.size() - 1, '9');
    const std::string zeros(low.size() - 1, '0');
    std::vector<Grammar::Node> choices = {
        grammar_.Sequence({Digits(low[0], low[0]), SameLength(low.substr(1), nines)})};
    if (low[0] + 1 < high[0]) {
      const Grammar::Node middle = Digits(static_cast<char>(low[0] + 1), static_cast<char>(high[0] - 1));
      choices.push_back(grammar_.Sequence({middle, grammar_.Repeat(Digits('0', '9'), rest, rest)}));
    }
    choices.push_back(grammar_.Sequence({Digits(high[0], high[0]), SameLength(zeros, high.substr(1))}));
    return grammar_.Choice(std::move(choices));
  }

  // Decimals of 0 <= low..high, without leading zeros.
  Grammar::Node Range(int64_t low, int64_t high) {
    const std::string last = std::to_string(high);
    std::vector<Grammar::Node> choices;
    std::string first = std::to_string(low);
    while (first.size() < last.size()) {
      choices.push_back(SameLength(first, std::string(first.size(), '9')));
      first = "1" + std::string(first.size(), '0');
    }
    choices.push_back(SameLength(first, last));
    return grammar_.Choice(std::move(choices));
  }

  Grammar::Node Integer(const Json& schema, const std::string& path) {
    const auto [low, high] = Bounds(schema, kMaxInteger, true, path);
    std::vector<Grammar::Node> choices;
    if (high >= 0) choices.push_back(Range(std::max<int64_t>(low, 0), high));
    if (low < 0)
      choices.push_back(grammar_.Sequence({grammar_.Bytes("-"), Range(std::max<int64_t>(-high, 1), -low)}));
    return grammar_.Choice(std::move(choices));
  }

  // Decimals with a fraction, of 0 <= low..high.
  Grammar::Node Decimal(int64_t low, int64_t high) {
    const Grammar::Node digits = grammar_.Repeat(Digits('0', '9'), 1, kMaxFraction);
    const Grammar::Node fraction = grammar_.Optional(grammar_.Sequence({grammar_.Bytes("."), digits}));
    std::vector<Grammar::Node> choices = {Range(high, high)};
    if (low < high) choices.push_back(grammar_.Sequence({Range(low, high - 1), fraction}));
    const Grammar::Node zeros = grammar_.Repeat(Digits('0', '0'), 1, kMaxFraction);
    choices.push_back(grammar_.Sequence({Range(high, high), grammar_.Bytes("."), zeros}));
    return grammar_.Choice(std::move(choices));
  }

  Grammar::Node Number(const Json& schema, const std::string& path) {
    const auto [low, high] = Bounds(schema, kMaxWhole, false, path);
    std::vector<Grammar::Node> choices;
    if (high >= 0) choices.push_back(Decimal(std::max<int64_t>(low, 0), high));
    if (low < 0)
      choices.push_back(grammar_.Sequence({grammar_.Bytes("-"), Decimal(std::max<int64_t>(-high, 0), -low)}));
    const Grammar::Node value = grammar_.Choice(std::move(choices));
    if (low != -kMaxWhole || high != kMaxWhole) return value;
    const Grammar::Node sign = grammar_.Optional(grammar_.StringChar({{'+', '+'}, {'-', '-'}}));
    const Grammar::Node exponent = grammar_.Sequence(
        {grammar_.StringChar({{'E', 'E'}, {'e', 'e'}}), sign, grammar_.Repeat(Digits('0', '9'), 1, 2)});
    return grammar_.Sequence({value, grammar_.Optional(exponent)});
  }

  Grammar& grammar_;
};

}  // namespace

Grammar::Node LowerJsonSchema(std::string_view schema, Grammar& grammar) {
  if (schema.size() > kMaxSchemaBytes) {
    throw MakeError(ErrorCode::kInvalid, "JSON schema: it has {} bytes, more than {}", schema.size(),
                    kMaxSchemaBytes);
  }
  const Json parsed = Json::parse(schema, nullptr, /*allow_exceptions=*/false);
  if (parsed.is_discarded()) throw MakeError(ErrorCode::kInvalid, "JSON schema: it is not JSON");
  return Lowering(grammar).Schema(parsed, "#");
}

}  // namespace throng::llm
