#include "jinja/format.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "jinja/unicode.h"

namespace throng::jinja {
namespace {

void AppendRepr(Runtime& runtime, const Value& value, TextBuilder& out);

// Python's quotes: single ones, unless these are in the text and double ones are not.
void AppendQuoted(Runtime& runtime, const Text& text, TextBuilder& out) {
  const std::string_view bytes = text.View();
  runtime.Touch(bytes.size());
  const bool has_single = bytes.find('\'') != std::string_view::npos;
  const char quote = has_single && bytes.find('"') == std::string_view::npos ? '"' : '\'';
  out.AppendFrame({&quote, 1});
  for (size_t pos = 0; pos < bytes.size();) {
    const CodePoint c = CodePointAt(bytes, pos);
    const size_t end = pos + c.length;
    std::string escaped;
    if (c.value == '\n')
      escaped = "\\n";
    else if (c.value == '\r')
      escaped = "\\r";
    else if (c.value == '\t')
      escaped = "\\t";
    else if (c.value == '\\' || c.value == static_cast<char32_t>(quote))
      escaped = std::string("\\") + bytes[pos];
    else if (!IsPrintable(c.value) && c.value < 0x100)
      escaped = fmt::format("\\x{:02x}", static_cast<uint32_t>(c.value));
    else if (!IsPrintable(c.value) && c.value < 0x10000)
      escaped = fmt::format("\\u{:04x}", static_cast<uint32_t>(c.value));
    else if (!IsPrintable(c.value))
      escaped = fmt::format("\\U{:08x}", static_cast<uint32_t>(c.value));
    if (escaped.empty()) {
      out.Append(text, pos, end);
    } else {
      out.AppendFor(escaped, text, pos, end);
    }
    pos = end;
  }
  out.AppendFrame({&quote, 1});
}

void AppendItems(Runtime& runtime, const std::vector<Value>& items, TextBuilder& out) {
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out.AppendFrame(", ");
    AppendRepr(runtime, items[i], out);
  }
}

void AppendList(Runtime& runtime, const List& list, TextBuilder& out) {
  switch (list.kind) {
    case List::kList:
      out.AppendFrame("[");
      AppendItems(runtime, list.items, out);
      out.AppendFrame("]");
      break;
    case List::kTuple:
      out.AppendFrame("(");
      AppendItems(runtime, list.items, out);
      out.AppendFrame(list.items.size() == 1 ? ",)" : ")");
      break;
    case List::kView:
      out.AppendFrame(fmt::format("{}([", list.view));
      AppendItems(runtime, list.items, out);
      out.AppendFrame("])");
      break;
    case List::kGenerator:
      out.AppendFrame("<generator object>");
      break;
  }
}

void AppendDict(Runtime& runtime, const std::vector<std::pair<Value, Value>>& items, TextBuilder& out) {
  out.AppendFrame("{");
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out.AppendFrame(", ");
    AppendRepr(runtime, items[i].first, out);
    out.AppendFrame(": ");
    AppendRepr(runtime, items[i].second, out);
  }
  out.AppendFrame("}");
}

void AppendRepr(Runtime& runtime, const Value& value, TextBuilder& out) {
  const Runtime::Level level(runtime);
  runtime.Step();
  runtime.Touch(8);
  if (const auto* text = value.If<Text>()) {
    AppendQuoted(runtime, *text, out);
  } else if (const auto* list = value.If<List*>()) {
    AppendList(runtime, **list, out);
  } else if (const auto* dict = value.If<Dict*>()) {
    AppendDict(runtime, (*dict)->items, out);
  } else if (value.IsUndefined()) {
    out.AppendFrame("Undefined");
  } else if (value.IsNone()) {
    out.AppendFrame("None");
  } else if (const auto* flag = value.If<bool>()) {
    out.AppendFrame(*flag ? "True" : "False");
  } else if (const auto* whole = value.If<int64_t>()) {
    out.AppendFrame(fmt::format("{}", *whole));
  } else if (const auto* number = value.If<double>()) {
    out.AppendFrame(FloatText(*number));
  } else if (const auto* function = value.If<Function*>()) {
    out.AppendFrame(fmt::format("<function {}>", (*function)->name));
  } else {
    out.AppendFrame(fmt::format("<{}>", TypeName(value)));
  }
}

// Escapes of JSON; the characters of a pair of surrogates for ensure_ascii.
std::string JsonEscape(char32_t c, bool ensure_ascii) {
  switch (c) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    case '\b':
      return "\\b";
    case '\f':
      return "\\f";
    default:
      break;
  }
  const auto code = static_cast<uint32_t>(c);
  if (code < 0x20 || (ensure_ascii && code >= 0x7F && code < 0x10000)) return fmt::format("\\u{:04x}", code);
  if (ensure_ascii && code >= 0x10000) {
    return fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((code - 0x10000) >> 10),
                       0xDC00 + ((code - 0x10000) & 0x3FF));
  }
  return "";
}

class JsonWriter {
 public:
  JsonWriter(Runtime& runtime, const JsonStyle& style) : runtime_(runtime), style_(style) {}

  Text Write(const Value& value) {
    Append(value);
    if (out_.HasSaid()) out_.SetAllSaid();
    return out_.Take();
  }

 private:
  void Append(const Value& value) {
    const Runtime::Level level(runtime_);
    runtime_.Step();
    runtime_.Touch(8);
    if (const auto* text = value.If<Text>()) {
      AppendString(*text);
    } else if (const auto* list = value.If<List*>(); list != nullptr && (*list)->kind <= List::kTuple) {
      AppendList((*list)->items);
    } else if (const auto* dict = value.If<Dict*>()) {
      AppendDict((*dict)->items);
    } else if (value.IsNone() || value.IsNumber()) {
      out_.AppendFrame(ScalarText(value));
    } else {
      runtime_.Fail("a value of type {} cannot be written as JSON", TypeName(value));
    }
  }

  static std::string ScalarText(const Value& value) {
    if (value.IsNone()) return "null";
    if (const auto* flag = value.If<bool>()) return *flag ? "true" : "false";
    if (const auto* whole = value.If<int64_t>()) return fmt::format("{}", *whole);
    const double number = value.As<double>();
    if (std::isnan(number)) return "NaN";
    if (std::isinf(number)) return number > 0 ? "Infinity" : "-Infinity";
    return FloatText(number);
  }

  void AppendString(const Text& text) {
    const std::string_view bytes = text.View();
    runtime_.Touch(bytes.size());
    out_.AppendFrame("\"");
    size_t plain = 0;  // where what needs no escape begins
    for (size_t pos = 0; pos < bytes.size();) {
      const CodePoint c = CodePointAt(bytes, pos);
      const std::string escaped = JsonEscape(c.value, style_.ensure_ascii);
      if (!escaped.empty()) {
        out_.Append(text, plain, pos);
        out_.AppendFor(escaped, text, pos, pos + c.length);
        plain = pos + c.length;
      }
      pos += c.length;
    }
    out_.Append(text, plain, bytes.size());
    out_.AppendFrame("\"");
  }

  void NewLine(int depth) {
    if (!style_.has_indent) return;
    runtime_.Touch(1 + style_.indent.size() * static_cast<size_t>(depth));
    out_.AppendFrame("\n");
    for (int i = 0; i < depth; ++i) out_.AppendFrame(style_.indent);
  }

  void AppendList(const std::vector<Value>& items) {
    out_.AppendFrame("[");
    ++depth_;
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_.AppendFrame(style_.item_separator);
      NewLine(depth_);
      Append(items[i]);
    }
    --depth_;
    if (!items.empty()) NewLine(depth_);
    out_.AppendFrame("]");
  }

  // Keys that are no strings become strings, as in Python.
  void AppendKey(const Value& key) {
    if (const auto* text = key.If<Text>()) return AppendString(*text);
    if (!key.IsNone() && !key.IsNumber())
      runtime_.Fail("a value of type {} cannot be a key of JSON", TypeName(key));
    out_.AppendFrame(fmt::format("\"{}\"", ScalarText(key)));
  }

  void AppendDict(std::vector<std::pair<Value, Value>> items) {
    if (style_.sort_keys) {
      std::ranges::stable_sort(
          items, [&](const auto& a, const auto& b) { return Compare(runtime_, a.first, b.first, "<") < 0; });
    }
    out_.AppendFrame("{");
    ++depth_;
    bool is_first = true;
    for (const auto& [key, value] : items) {
      if (!std::exchange(is_first, false)) out_.AppendFrame(style_.item_separator);
      NewLine(depth_);
      AppendKey(key);
      out_.AppendFrame(style_.key_separator);
      Append(value);
    }
    --depth_;
    if (!items.empty()) NewLine(depth_);
    out_.AppendFrame("}");
  }

  Runtime& runtime_;
  const JsonStyle& style_;
  TextBuilder out_;
  int depth_ = 0;
};

}  // namespace

// The shortest digits that read back as the same number; with an exponent from 1e16 and below 1e-4.
std::string FloatText(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::array<char, 64> buffer;
  const auto write = [&](std::chars_format format) {
    const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, format).ptr;
    return std::string(buffer.data(), end);
  };
  const double size = std::abs(value);
  if (size != 0 && (size < 1e-4 || size >= 1e16)) return write(std::chars_format::scientific);
  std::string text = write(std::chars_format::fixed);
  if (text.find('.') == std::string::npos) text += ".0";
  return text;
}

Text ToText(Runtime& runtime, const Value& value) {
  if (const auto* text = value.If<Text>()) return *text;
  if (value.IsUndefined()) return Text();
  return Repr(runtime, value);
}

Text Repr(Runtime& runtime, const Value& value) {
  TextBuilder out;
  AppendRepr(runtime, value, out);
  if (out.HasSaid()) out.SetAllSaid();
  return out.Take();
}

Text ToJson(Runtime& runtime, const Value& value, const JsonStyle& style) {
  return JsonWriter(runtime, style).Write(value);
}

}  // namespace throng::jinja
