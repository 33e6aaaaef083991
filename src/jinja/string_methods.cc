// The methods of strings.

#include <algorithm>
#include <limits>

#include "jinja/builtin.h"
#include "jinja/format.h"
#include "jinja/operators.h"
#include "jinja/string_ops.h"
#include "jinja/unicode.h"

namespace throng::jinja {
namespace {

using V = const Value&;
using B = const Bound&;

const Text& T(V self) { return self.As<Text>(); }

// The part of a string that find(needle, start, end) looks at, in bytes.
struct Window {
  size_t begin;
  size_t end;
};

Window WindowOf(Runtime& runtime, const Text& text, B arguments, size_t start) {
  runtime.Touch(text.Size());
  const std::string_view bytes = text.View();
  const auto resolve = [&](size_t i, size_t missing) {
    if (arguments[i].IsUndefined() || arguments[i].IsNone()) return missing;
    int64_t at = arguments.Int(i, 0);
    if (at < 0) at = std::max<int64_t>(at + static_cast<int64_t>(CountCodePoints(bytes)), 0);
    return ByteOfCodePoint(bytes, static_cast<size_t>(at));
  };
  return {resolve(start, 0), resolve(start + 1, bytes.size())};
}

// The index of the character at which `needle` begins in the window; -1 if nowhere.
int64_t FindText(Runtime& runtime, const Text& text, B arguments, bool from_right) {
  const Text needle = arguments.String(0);
  const Window window = WindowOf(runtime, text, arguments, 1);
  if (window.begin > window.end) return -1;
  const std::string_view part = text.View().substr(window.begin, window.end - window.begin);
  size_t found = FindBytes(part, needle.View());
  if (from_right) {
    for (size_t next = found; next != std::string_view::npos && !needle.Empty();) {
      found = next;
      runtime.Touch(needle.Size());  // each search prepares for it
      next = FindBytes(part, needle.View(), found + 1);
    }
    if (needle.Empty()) found = part.size();
  }
  if (found == std::string_view::npos) return -1;
  return static_cast<int64_t>(CountCodePoints(text.View().substr(0, window.begin + found)));
}

int64_t IndexText(Runtime& runtime, const Text& text, B arguments, bool from_right) {
  const int64_t found = FindText(runtime, text, arguments, from_right);
  if (found < 0) runtime.Fail("the substring is not in the string");
  return found;
}

// startswith and endswith: of one string, or any of a tuple.
template <typename Has>
bool HasAny(Runtime& runtime, const Text& text, B arguments, Has&& has) {
  const Window window = WindowOf(runtime, text, arguments, 1);
  if (window.begin > window.end) return false;
  const std::string_view part = text.View().substr(window.begin, window.end - window.begin);
  const auto* list = arguments[0].If<List*>();
  if (list == nullptr || (*list)->kind != List::kTuple) return has(part, arguments.String(0).View());
  return std::ranges::any_of((*list)->items,
                             [&](const Value& item) { return has(part, ToText(runtime, item).View()); });
}

template <bool (*kHolds)(char32_t)>
Value AllAre(Runtime& runtime, V self, B) {
  const std::string_view bytes = T(self).View();
  runtime.Touch(bytes.size());
  for (size_t pos = 0; pos < bytes.size();) {
    const CodePoint c = CodePointAt(bytes, pos);
    if (!kHolds(c.value)) return false;
    pos += c.length;
  }
  return !bytes.empty();
}

bool IsAlnum(char32_t c) { return IsAlpha(c) || IsDigit(c); }

template <bool (*kWanted)(char32_t), bool (*kOther)(char32_t)>
Value AllCased(Runtime& runtime, V self, B) {
  const std::string_view bytes = T(self).View();
  runtime.Touch(bytes.size());
  bool found = false;
  for (size_t pos = 0; pos < bytes.size();) {
    const CodePoint c = CodePointAt(bytes, pos);
    if (kOther(c.value)) return false;
    found |= kWanted(c.value);
    pos += c.length;
  }
  return found;
}

// Upper case begins words, and nothing else has it.
Value IsTitle(Runtime& runtime, V self, B) {
  const std::string_view bytes = T(self).View();
  runtime.Touch(bytes.size());
  bool in_word = false, found = false;
  for (size_t pos = 0; pos < bytes.size();) {
    const CodePoint c = CodePointAt(bytes, pos);
    const bool begins = ToTitle(c.value)[0] == c.value && ToLower(c.value)[0] != c.value;
    const bool goes_on = !begins && IsLower(c.value);
    if (begins ? in_word : goes_on && !in_word) return false;
    in_word = begins || goes_on;
    found |= in_word;
    pos += c.length;
  }
  return found;
}

std::u32string SwapCase(char32_t c) { return IsUpper(c) ? ToLower(c) : ToUpper(c); }

Value Strip(Runtime& runtime, V self, B arguments, bool left, bool right) {
  const bool by_space = arguments[0].IsUndefined() || arguments[0].IsNone();
  return Stripped(runtime, T(self), by_space ? nullptr : &arguments[0].As<Text>(), left, right);
}

template <bool kLeft, bool kRight>
Value StripMethod(Runtime& runtime, V self, B arguments) {
  if (!arguments[0].IsNone()) arguments.String(0);  // fails for other types
  return Strip(runtime, self, arguments, kLeft, kRight);
}

Value ToList(Runtime& runtime, const std::vector<Text>& texts, List::Kind kind = List::kList) {
  return runtime.NewList(std::vector<Value>(texts.begin(), texts.end()), kind);
}

template <bool kFromRight>
Value SplitMethod(Runtime& runtime, V self, B arguments) {
  const int64_t limit = arguments.Int(1, -1);
  const auto most = limit < 0 ? std::numeric_limits<size_t>::max() : static_cast<size_t>(limit);
  if (arguments[0].IsUndefined() || arguments[0].IsNone()) {
    return ToList(runtime, SplitSpace(runtime, T(self), most, kFromRight));
  }
  const Text separator = arguments.String(0);
  if (separator.Empty()) runtime.Fail("split: the separator is empty");
  return ToList(runtime, Split(runtime, T(self), separator.View(), most, kFromRight));
}

template <bool kFromRight>
Value PartitionMethod(Runtime& runtime, V self, B arguments) {
  const Text separator = arguments.String(0);
  if (separator.Empty()) runtime.Fail("partition: the separator is empty");
  std::vector<Text> parts = Split(runtime, T(self), separator.View(), 1, kFromRight);
  if (parts.size() == 2) return ToList(runtime, {parts[0], separator, parts[1]}, List::kTuple);
  if (kFromRight) return ToList(runtime, {Text(), Text(), T(self)}, List::kTuple);
  return ToList(runtime, {T(self), Text(), Text()}, List::kTuple);
}

Value SplitLinesMethod(Runtime& runtime, V self, B arguments) {
  return ToList(runtime, SplitLines(runtime, T(self), arguments.Bool(0, false)));
}

template <char kAlign>
Value JustifyMethod(Runtime& runtime, V self, B arguments) {
  const Text fill = arguments.String(1, " ");
  if (CountCodePoints(fill.View()) != 1) runtime.Fail("the fill must be one character");
  return Justified(runtime, T(self), arguments.Int(0, 0), fill, kAlign);
}

Value ZeroFill(Runtime& runtime, V self, B arguments) {
  const Text& text = T(self);
  const bool has_sign = text.View().starts_with('-') || text.View().starts_with('+');
  TextBuilder builder;
  builder.Append(text, 0, has_sign ? 1 : 0);
  const Text digits = text.Slice(has_sign ? 1 : 0, text.Size());
  builder.Append(Justified(runtime, digits, arguments.Int(0, 0) - (has_sign ? 1 : 0), Text::Frame("0"), '>'));
  return builder.Take();
}

Value ExpandTabs(Runtime& runtime, V self, B arguments) {
  const Text& text = T(self);
  const int64_t width = std::clamp<int64_t>(arguments.Int(0, 8), 0, 1000);
  TextBuilder builder;
  int64_t column = 0;
  for (size_t pos = 0; pos < text.Size();) {
    const CodePoint c = CodePointAt(text.View(), pos);
    if (c.value == '\t') {
      const int64_t spaces = width == 0 ? 0 : width - column % width;
      runtime.Touch(static_cast<uint64_t>(spaces));
      builder.AppendFor(std::string(static_cast<size_t>(spaces), ' '), text, pos, pos + 1);
      column += spaces;
    } else {
      builder.Append(text, pos, pos + c.length);
      column = c.value == '\n' || c.value == '\r' ? 0 : column + 1;
    }
    runtime.Touch(c.length);
    pos += c.length;
  }
  return builder.Take();
}

Value CountMethod(Runtime& runtime, V self, B arguments) {
  const Text needle = arguments.String(0);
  const Window window = WindowOf(runtime, T(self), arguments, 1);
  if (window.begin > window.end) return int64_t{0};
  const std::string_view part = T(self).View().substr(window.begin, window.end - window.begin);
  if (needle.Empty()) return static_cast<int64_t>(CountCodePoints(part)) + 1;
  int64_t count = 0;
  for (size_t pos = 0; (pos = FindBytes(part, needle.View(), pos)) != std::string_view::npos;
       pos += needle.Size())
    ++count;
  return count;
}

Value ReplaceMethod(Runtime& runtime, V self, B arguments) {
  return Replaced(runtime, T(self), arguments.String(0), arguments.String(1), arguments.Int(2, -1));
}

Value RemovePrefix(Runtime&, V self, B arguments) {
  const Text prefix = arguments.String(0);
  const bool has = T(self).View().starts_with(prefix.View());
  return T(self).Slice(has ? prefix.Size() : 0, T(self).Size());
}

Value RemoveSuffix(Runtime&, V self, B arguments) {
  const Text suffix = arguments.String(0);
  const bool has = T(self).View().ends_with(suffix.View());
  return T(self).Slice(0, T(self).Size() - (has ? suffix.Size() : 0));
}

Value JoinMethod(Runtime& runtime, V self, B arguments) {
  TextBuilder builder;
  bool is_first = true;
  for (const Value& item : Iterate(runtime, arguments[0])) {
    if (!item.Is<Text>())
      runtime.Fail("join: found a value of type '{}' where a string is expected", TypeName(item));
    runtime.Touch(item.As<Text>().Size() + T(self).Size());
    if (!std::exchange(is_first, false)) builder.Append(T(self));
    builder.Append(item.As<Text>());
  }
  return builder.Take();
}

constexpr Builtin kMethods[] = {
    {"upper", "", [](Runtime& rt, V s, B) -> Value { return MapCharacters(rt, T(s), ToUpper); }},
    {"lower", "", [](Runtime& rt, V s, B) -> Value { return MapCharacters(rt, T(s), ToLower); }},
    {"casefold", "", [](Runtime& rt, V s, B) -> Value { return MapCharacters(rt, T(s), ToLower); }},
    {"swapcase", "", [](Runtime& rt, V s, B) -> Value { return MapCharacters(rt, T(s), SwapCase); }},
    {"capitalize", "", [](Runtime& rt, V s, B) -> Value { return Capitalized(rt, T(s)); }},
    {"title", "", [](Runtime& rt, V s, B) -> Value { return TitleCased(rt, T(s)); }},
    {"strip", "chars?", StripMethod<true, true>},
    {"lstrip", "chars?", StripMethod<true, false>},
    {"rstrip", "chars?", StripMethod<false, true>},
    {"split", "sep? maxsplit?", SplitMethod<false>},
    {"rsplit", "sep? maxsplit?", SplitMethod<true>},
    {"splitlines", "keepends?", SplitLinesMethod},
    {"partition", "sep", PartitionMethod<false>},
    {"rpartition", "sep", PartitionMethod<true>},
    {"join", "iterable", JoinMethod},
    {"replace", "old new count?", ReplaceMethod},
    {"removeprefix", "prefix", RemovePrefix},
    {"removesuffix", "suffix", RemoveSuffix},
    {"startswith", "prefix start? end?",
     [](Runtime& rt, V s, B a) -> Value {
       return HasAny(rt, T(s), a,
                     [](std::string_view part, std::string_view fix) { return part.starts_with(fix); });
     }},
    {"endswith", "suffix start? end?",
     [](Runtime& rt, V s, B a) -> Value {
       return HasAny(rt, T(s), a,
                     [](std::string_view part, std::string_view fix) { return part.ends_with(fix); });
     }},
    {"find", "sub start? end?", [](Runtime& rt, V s, B a) -> Value { return FindText(rt, T(s), a, false); }},
    {"rfind", "sub start? end?", [](Runtime& rt, V s, B a) -> Value { return FindText(rt, T(s), a, true); }},
    {"index", "sub start? end?",
     [](Runtime& rt, V s, B a) -> Value { return IndexText(rt, T(s), a, false); }},
    {"rindex", "sub start? end?",
     [](Runtime& rt, V s, B a) -> Value { return IndexText(rt, T(s), a, true); }},
    {"count", "sub start? end?", CountMethod},
    {"format", "...", [](Runtime& rt, V s, B a) -> Value { return BraceFormat(rt, T(s), a.More()); }},
    {"center", "width fillchar?", JustifyMethod<'^'>},
    {"ljust", "width fillchar?", JustifyMethod<'<'>},
    {"rjust", "width fillchar?", JustifyMethod<'>'>},
    {"zfill", "width", ZeroFill},
    {"expandtabs", "tabsize?", ExpandTabs},
    {"isalpha", "", AllAre<IsAlpha>},
    {"isalnum", "", AllAre<IsAlnum>},
    {"isdigit", "", AllAre<IsDigit>},
    {"isdecimal", "", AllAre<IsDigit>},
    {"isnumeric", "", AllAre<IsDigit>},
    {"isspace", "", AllAre<IsSpace>},
    {"isascii", "",
     [](Runtime& rt, V s, B) -> Value {
       rt.Touch(T(s).Size());
       return std::ranges::all_of(T(s).View(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
     }},
    {"isupper", "", AllCased<IsUpper, IsLower>},
    {"islower", "", AllCased<IsLower, IsUpper>},
    {"istitle", "", IsTitle},
};

}  // namespace

std::span<const Builtin> StringMethods() { return kMethods; }

}  // namespace throng::jinja
