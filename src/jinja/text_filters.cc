// Filters on strings and single values. Those on strings take any value, as text.

#include <algorithm>
#include <charconv>
#include <cmath>

#include "jinja/builtin.h"
#include "jinja/format.h"
#include "jinja/operators.h"
#include "jinja/string_ops.h"
#include "jinja/unicode.h"

namespace throng::jinja {
namespace {

using V = const Value&;
using B = const Bound&;

// Words begin after white space and some punctuation, not after every character that is no letter as in
// str.title.
Value Title(Runtime& runtime, V self, B) {
  const Text text = ToText(runtime, self);
  const std::string_view bytes = text.View();
  runtime.Touch(bytes.size());
  TextBuilder out;
  bool is_first = true;
  for (size_t pos = 0; pos < bytes.size();) {
    const CodePoint c = CodePointAt(bytes, pos);
    const bool separates =
        IsSpace(c.value) || std::u32string_view(U"-({[<").find(c.value) != std::u32string_view::npos;
    const std::u32string mapped = is_first ? ToUpper(c.value) : ToLower(c.value);
    std::string mapped_bytes;
    for (const char32_t letter : mapped) AppendCodePoint(letter, mapped_bytes);
    out.AppendFor(mapped_bytes, text, pos, pos + c.length);
    is_first = separates;
    pos += c.length;
  }
  return out.Take();
}

Value Trim(Runtime& runtime, V self, B arguments) {
  if (arguments[0].IsUndefined() || arguments[0].IsNone()) {
    return Stripped(runtime, ToText(runtime, self), nullptr, true, true);
  }
  const Text characters = arguments.String(0);
  return Stripped(runtime, ToText(runtime, self), &characters, true, true);
}

Value Replace(Runtime& runtime, V self, B arguments) {
  const int64_t limit = arguments[2].IsNone() ? -1 : arguments.Int(2, -1);
  return Replaced(runtime, ToText(runtime, self), ToText(runtime, arguments[0]),
                  ToText(runtime, arguments[1]), limit);
}

Value Center(Runtime& runtime, V self, B arguments) {
  return Justified(runtime, ToText(runtime, self), arguments.Int(0, 80), Text::Frame(" "), '^');
}

// For the filters that, unlike the others, do not take a value of another type as its text.
const Text& OnlyText(Runtime& runtime, V self) {
  if (const auto* undefined = self.If<Undefined>()) runtime.FailUndefined(*undefined);
  if (!self.Is<Text>()) runtime.Fail("found a value of type '{}' where a string is expected", TypeName(self));
  return self.As<Text>();
}

Value Indent(Runtime& runtime, V self, B arguments) {
  Text indent;
  if (arguments[0].Is<Text>()) {
    indent = arguments[0].As<Text>();
  } else {
    indent = Repeated(runtime, Text::Frame(" "), arguments.Int(0, 4));
  }
  const bool indents_first = arguments.Bool(1, false);
  const bool indents_blank = arguments.Bool(2, false);
  TextBuilder with_end;  // so that a line break at the end leaves an empty line
  with_end.Append(OnlyText(runtime, self));
  with_end.AppendFrame("\n");
  TextBuilder out;
  if (indents_first) out.Append(indent);
  bool is_first = true;
  for (const Text& line : SplitLines(runtime, with_end.Take(), /*keep_ends=*/false)) {
    runtime.Touch(indent.Size() + line.Size() + 1);
    if (!std::exchange(is_first, false)) {
      out.AppendFrame("\n");
      if (indents_blank || !line.Empty()) out.Append(indent);
    }
    out.Append(line);
  }
  return out.Take();
}

Value Truncate(Runtime& runtime, V self, B arguments) {
  const Text text = OnlyText(runtime, self);
  const int64_t length = arguments.Int(0, 255);
  const bool kill_words = arguments.Bool(1, false);
  const Text end = arguments.String(2, "...");
  const int64_t leeway = arguments[3].IsNone() ? 5 : arguments.Int(3, 5);
  const auto end_length = static_cast<int64_t>(CountCodePoints(end.View()));
  if (length < end_length || leeway < 0)
    runtime.Fail("truncate: the length must be at least that of the end");
  runtime.Touch(text.Size());
  const auto size = static_cast<int64_t>(CountCodePoints(text.View()));
  if (size <= leeway || size - leeway <= length) return text;
  size_t cut = ByteOfCodePoint(text.View(), static_cast<size_t>(length - end_length));
  if (!kill_words) {
    const size_t space = text.View().substr(0, cut).rfind(' ');
    if (space != std::string_view::npos) cut = space;
  }
  TextBuilder out;
  out.Append(text, 0, cut);
  out.Append(end);
  return out.Take();
}

Value WordCount(Runtime& runtime, V self, B) {
  const Text text = ToText(runtime, self);
  runtime.Touch(text.Size());
  int64_t count = 0;
  bool in_word = false;
  for (size_t pos = 0; pos < text.Size();) {
    const CodePoint c = CodePointAt(text.View(), pos);
    const bool is_part = IsAlpha(c.value) || IsDigit(c.value) || c.value == '_';
    count += is_part && !in_word ? 1 : 0;
    in_word = is_part;
    pos += c.length;
  }
  return count;
}

// Markup is escaped already.
Value Escape(Runtime& runtime, V self, B) {
  const Text text = ToText(runtime, self);
  return text.IsMarkup() ? text : Escaped(runtime, text).AsMarkup();
}

Value Safe(Runtime& runtime, V self, B) {
  const Text text = ToText(runtime, self);
  runtime.Touch(text.Size());
  return text.AsMarkup();
}

void AppendUrlQuoted(Runtime& runtime, const Text& text, bool in_query, TextBuilder& out) {
  for (size_t pos = 0; pos < text.Size(); ++pos) {
    const char c = text.View()[pos];
    runtime.Touch(3);
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                          c == '_' || c == '.' || c == '-' || c == '~' || (c == '/' && !in_query);
    if (is_plain) {
      out.Append(text, pos, pos + 1);
    } else if (c == ' ' && in_query) {
      out.AppendFor("+", text, pos, pos + 1);
    } else {
      out.AppendFor(fmt::format("%{:02X}", static_cast<unsigned char>(c)), text, pos, pos + 1);
    }
  }
}

// A string, or the pairs of a dict or list as the query of an address.
Value UrlEncode(Runtime& runtime, V self, B) {
  TextBuilder out;
  if (!self.Is<Dict*>() && !self.Is<List*>()) {
    AppendUrlQuoted(runtime, ToText(runtime, self), /*in_query=*/false, out);
    return out.Take();
  }
  Dict pairs;
  Arguments source;
  source.positional.push_back(self);
  FillDict(runtime, pairs, source);
  bool is_first = true;
  for (const auto& [key, value] : pairs.items) {
    if (!std::exchange(is_first, false)) out.AppendFrame("&");
    AppendUrlQuoted(runtime, ToText(runtime, key), /*in_query=*/true, out);
    out.AppendFrame("=");
    AppendUrlQuoted(runtime, ToText(runtime, value), /*in_query=*/true, out);
  }
  return out.Take();
}

Value Format(Runtime& runtime, V self, B arguments) {
  const Arguments& values = arguments.More();
  if (!values.positional.empty() && !values.named.empty()) {
    runtime.Fail("format: positional and named arguments cannot be mixed");
  }
  Value all;
  if (values.named.empty()) {
    all = runtime.NewList(values.positional, List::kTuple);
  } else {
    Dict* dict = runtime.NewDict();
    FillDict(runtime, *dict, values);
    all = dict;
  }
  return PercentFormat(runtime, ToText(runtime, self), all);
}

Value Default(Runtime&, V self, B arguments) {
  const bool is_missing = self.IsUndefined() || (arguments.Bool(1, false) && !IsTrue(self));
  if (!is_missing) return self;
  return arguments.Has(0) ? arguments[0] : Value(Text());
}

// A number as Python reads it: white space around it, underscores between digits.
std::string NumberText(std::string_view text) {
  text.remove_prefix(LeadingSpace(text));
  text.remove_suffix(TrailingSpace(text));
  std::string digits;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto is_digit = [&](size_t at) {
      return at < text.size() && IsDigit(static_cast<unsigned char>(text[at]));
    };
    if (text[i] == '_' && i > 0 && is_digit(i - 1) && is_digit(i + 1)) continue;
    if (i == 0 && text[i] == '+' && !text.substr(1).starts_with('-')) continue;
    digits += text[i];
  }
  return digits;
}

bool ParseReal(std::string_view text, double& value) {
  const std::string digits = NumberText(text);
  if (digits.find('(') != std::string::npos) return false;  // from_chars takes "nan(...)"
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return error == std::errc() && end == digits.data() + digits.size();
}

Value ToFloat(Runtime& runtime, V self, B arguments) {
  if (self.IsNumber()) return ToDouble(self);
  double value = 0;
  if (self.Is<Text>() && ParseReal(self.As<Text>().View(), value)) return value;
  if (const auto* undefined = self.If<Undefined>()) runtime.FailUndefined(*undefined);
  return arguments.Has(0) ? arguments[0] : Value(0.0);
}

Value ToInt(Runtime& runtime, V self, B arguments) {
  if (const auto* undefined = self.If<Undefined>()) runtime.FailUndefined(*undefined);
  const Value missing = arguments.Has(0) ? arguments[0] : Value(int64_t{0});
  if (self.Is<int64_t>()) return self;
  if (self.Is<bool>()) return static_cast<int64_t>(self.As<bool>());
  double real = 0;
  if (const auto* text = self.If<Text>()) {
    std::string digits = NumberText(text->View());
    const int64_t base = arguments.Int(1, 10);
    if (base < 2 || base > 36) runtime.Fail("int: found the base {}, allowed are 2 to 36", base);
    const std::string_view prefix = base == 16 ? "0x" : base == 8 ? "0o" : base == 2 ? "0b" : "";
    if (!prefix.empty() && (digits.starts_with(prefix) || digits.starts_with("-" + std::string(prefix)))) {
      digits.erase(digits.find('0'), 2);
    }
    int64_t whole = 0;
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), whole, static_cast<int>(base));
    if (error == std::errc() && end == digits.data() + digits.size()) return whole;
    if (!ParseReal(text->View(), real)) return missing;
  } else if (self.Is<double>()) {
    real = self.As<double>();
  } else {
    return missing;
  }
  if (std::isnan(real) || std::isinf(real)) return missing;
  if (std::abs(real) >= 9.2e18) runtime.Fail("a whole number is beyond 64 bits");
  return static_cast<int64_t>(real);
}

Value Round(Runtime& runtime, V self, B arguments) {
  if (!self.IsNumber())
    runtime.Fail("round: found a value of type '{}' where a number is expected", TypeName(self));
  const int64_t precision = std::clamp<int64_t>(arguments.Int(0, 0), -300, 300);
  const Text method = arguments.String(1, "common");
  const double value = ToDouble(self);
  if (method.View() == "ceil" || method.View() == "floor") {
    const double factor = std::pow(10.0, static_cast<double>(precision));
    return (method.View() == "ceil" ? std::ceil(value * factor) : std::floor(value * factor)) / factor;
  }
  if (method.View() != "common")
    runtime.Fail("round: found the method '{}', allowed are common, ceil and floor",
                 method.View().substr(0, 60));
  if (!self.Is<double>() && precision >= 0)
    return self.Is<bool>() ? Value(static_cast<int64_t>(self.As<bool>())) : self;
  double rounded = value;
  if (precision < 0) {
    const double unit = std::pow(10.0, static_cast<double>(-precision));
    rounded = std::nearbyint(value / unit) * unit;
  } else if (std::isfinite(value)) {
    const std::string digits = fmt::format("{:.{}f}", value, precision);  // exact, half to even
    std::from_chars(digits.data(), digits.data() + digits.size(), rounded);
  }
  if (!self.Is<double>()) return static_cast<int64_t>(rounded);
  return rounded;
}

Value Absolute(Runtime& runtime, V self, B) {
  if (const auto* real = self.If<double>()) return std::abs(*real);
  if (const auto* undefined = self.If<Undefined>()) runtime.FailUndefined(*undefined);
  if (!self.IsNumber())
    runtime.Fail("abs: found a value of type '{}' where a number is expected", TypeName(self));
  const Value negated = Negated(runtime, self);
  return ToDouble(negated) < 0 ? Negated(runtime, negated) : negated;
}

// tojson as transformers has it: no escapes for HTML, and characters stay as they are.
Value JsonFilter(Runtime& runtime, V self, B arguments) {
  JsonStyle style;
  style.ensure_ascii = arguments.Bool(0, false);
  const Value& indent = arguments[1];
  if (indent.Is<Text>()) {
    style.has_indent = true;
    style.indent = indent.As<Text>().View();
  } else if (!indent.IsUndefined() && !indent.IsNone()) {
    const int64_t width = arguments.Int(1, 0);
    style.has_indent = true;
    style.indent.assign(static_cast<size_t>(std::clamp<int64_t>(width, 0, 1000)), ' ');
  }
  if (style.has_indent) style.item_separator = ",";
  if (arguments.Has(2) && !arguments[2].IsNone()) {
    const std::vector<Value> separators = Iterate(runtime, arguments[2]);
    if (separators.size() != 2 || !separators[0].Is<Text>() || !separators[1].Is<Text>()) {
      runtime.Fail("tojson: separators are two strings");
    }
    style.item_separator = separators[0].As<Text>().View();
    style.key_separator = separators[1].As<Text>().View();
  }
  style.sort_keys = arguments.Bool(3, false);
  return ToJson(runtime, self, style);
}

Value ToString(Runtime& runtime, V self, B) { return ToText(runtime, self); }

constexpr Builtin kFilters[] = {
    {"upper", "", [](Runtime& rt, V x, B) -> Value { return MapCharacters(rt, ToText(rt, x), ToUpper); }},
    {"lower", "", [](Runtime& rt, V x, B) -> Value { return MapCharacters(rt, ToText(rt, x), ToLower); }},
    {"capitalize", "", [](Runtime& rt, V x, B) -> Value { return Capitalized(rt, ToText(rt, x)); }},
    {"title", "", Title},
    {"trim", "chars?", Trim},
    {"replace", "old new count?", Replace},
    {"center", "width?", Center},
    {"indent", "width? first? blank?", Indent},
    {"truncate", "length? killwords? end? leeway?", Truncate},
    {"wordcount", "", WordCount},
    {"string", "", ToString},
    {"safe", "", Safe},
    {"escape", "", Escape},
    {"e", "", Escape},
    {"forceescape", "", [](Runtime& rt, V x, B) -> Value { return Escaped(rt, ToText(rt, x)).AsMarkup(); }},
    {"urlencode", "", UrlEncode},
    {"format", "...", Format},
    {"default", "default_value? boolean?", Default},
    {"d", "default_value? boolean?", Default},
    {"float", "default?", ToFloat},
    {"int", "default? base?", ToInt},
    {"round", "precision? method?", Round},
    {"abs", "", Absolute},
    {"tojson", "ensure_ascii? indent? separators? sort_keys?", JsonFilter},
};

}  // namespace

std::span<const Builtin> TextFilters() { return kFilters; }

}  // namespace throng::jinja
