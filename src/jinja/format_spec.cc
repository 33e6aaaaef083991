// The two little languages of Python's formats: "%5.2f" % x and "{:>5}".format(x).

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "jinja/builtin.h"
#include "jinja/format.h"
#include "jinja/unicode.h"

namespace throng::jinja {
namespace {

constexpr int64_t kMaxWidth = 1'000'000;

// How one value is written, in either language.
struct Spec {
  std::string fill = " ";
  char align = '\0';  // < > ^ =
  char sign = '-';    // + or space: what positive numbers get
  bool alternate = false;
  bool thousands = false;
  int64_t width = 0;
  int64_t precision = -1;
  char type = '\0';
};

int64_t ParseCount(Runtime& runtime, std::string_view text, size_t& pos) {
  int64_t count = 0;
  for (; pos < text.size() && text[pos] >= '0' && text[pos] <= '9'; ++pos) {
    count = count * 10 + (text[pos] - '0');
    if (count > kMaxWidth) runtime.Fail("a width or precision of a format is above {}", kMaxWidth);
  }
  return count;
}

Text Padded(Runtime& runtime, const Text& text, const Spec& spec, char usual_align) {
  const auto length = static_cast<int64_t>(CountCodePoints(text.View()));
  if (length >= spec.width) return text;
  const int64_t missing = spec.width - length;
  runtime.Touch(static_cast<uint64_t>(missing) * spec.fill.size() + text.Size());
  const char align = spec.align != '\0' ? spec.align : usual_align;
  const bool has_sign = align == '=' && !text.Empty() &&
                        (text.View()[0] == '-' || text.View()[0] == '+' || text.View()[0] == ' ');
  const int64_t before = align == '<' ? 0 : align == '^' ? missing / 2 : missing;
  TextBuilder builder;
  if (has_sign) builder.Append(text, 0, 1);
  for (int64_t i = 0; i < before; ++i) builder.AppendFrame(spec.fill);
  builder.Append(text, has_sign ? 1 : 0, text.Size());
  for (int64_t i = before; i < missing; ++i) builder.AppendFrame(spec.fill);
  return builder.Take();
}

Text FormatText(Runtime& runtime, const Text& text, const Spec& spec) {
  const size_t end =
      spec.precision < 0 ? text.Size() : ByteOfCodePoint(text.View(), static_cast<size_t>(spec.precision));
  return Padded(runtime, text.Slice(0, end), spec, '<');
}

std::string WithThousands(std::string digits) {
  const size_t whole = std::min(digits.find('.'), digits.size());
  for (size_t pos = whole; pos > 3; pos -= 3) digits.insert(pos - 3, 1, ',');
  return digits;
}

std::string SignOf(bool negative, char sign) {
  if (negative) return "-";
  return sign == '+' || sign == ' ' ? std::string(1, sign) : "";
}

Text FormatWhole(Runtime& runtime, int64_t value, const Spec& spec) {
  const uint64_t size = value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  std::string digits;
  switch (spec.type) {
    case 'x':
      digits = fmt::format(fmt::runtime(spec.alternate ? "{:#x}" : "{:x}"), size);
      break;
    case 'X':
      digits = fmt::format(fmt::runtime(spec.alternate ? "{:#X}" : "{:X}"), size);
      break;
    case 'o':
      digits = fmt::format("{}{:o}", spec.alternate ? "0o" : "", size);
      break;
    case 'b':
      digits = fmt::format(fmt::runtime(spec.alternate ? "{:#b}" : "{:b}"), size);
      break;
    default:
      digits = fmt::format("{}", size);
      break;
  }
  if (spec.precision > static_cast<int64_t>(digits.size())) {
    runtime.Touch(static_cast<uint64_t>(spec.precision));
    digits.insert(0, static_cast<size_t>(spec.precision) - digits.size(), '0');
  }
  if (spec.thousands) digits = WithThousands(digits);
  return Padded(runtime, Text::Frame(SignOf(value < 0, spec.sign) + digits), spec, '>');
}

Text FormatReal(Runtime& runtime, double value, const Spec& spec) {
  const int precision = static_cast<int>(spec.precision < 0 ? 6 : spec.precision);
  runtime.Touch(static_cast<uint64_t>(precision) + 400);
  const double size = std::abs(value);
  std::string digits;
  switch (spec.type) {
    case 'f':
    case 'F':
      digits = fmt::format("{:.{}f}", size, precision);
      break;
    case 'e':
      digits = fmt::format("{:.{}e}", size, precision);
      break;
    case 'E':
      digits = fmt::format("{:.{}E}", size, precision);
      break;
    case 'g':
      digits = fmt::format("{:.{}g}", size, precision);
      break;
    case 'G':
      digits = fmt::format("{:.{}G}", size, precision);
      break;
    case '%':
      digits = fmt::format("{:.{}f}%", size * 100, precision);
      break;
    default:
      digits = spec.precision < 0 ? FloatText(size) : fmt::format("{:.{}g}", size, precision);
      break;
  }
  if (spec.thousands) digits = WithThousands(digits);
  return Padded(runtime, Text::Frame(SignOf(std::signbit(value), spec.sign) + digits), spec, '>');
}

[[noreturn]] void FailType(Runtime& runtime, char type, const Value& value) {
  if (const auto* undefined = value.If<Undefined>()) runtime.FailUndefined(*undefined);
  runtime.Fail("the format '{}' does not fit a value of type '{}'", type, TypeName(value));
}

constexpr std::string_view kRealTypes = "eEfFgG%";
constexpr std::string_view kWholeTypes = "diuxXob";

Text FormatNumber(Runtime& runtime, const Value& value, const Spec& spec) {
  const bool wants_real = spec.type != '\0' && kRealTypes.find(spec.type) != std::string_view::npos;
  if (value.Is<double>() || wants_real) return FormatReal(runtime, ToDouble(value), spec);
  return FormatWhole(runtime, value.Is<bool>() ? (value.As<bool>() ? 1 : 0) : value.As<int64_t>(), spec);
}

class PercentFormatter {
 public:
  PercentFormatter(Runtime& runtime, const Text& format, const Value& values)
      : runtime_(runtime), format_(format), bytes_(format.View()), values_(values) {
    const auto* list = values.If<List*>();
    if (list != nullptr && (*list)->kind == List::kTuple)
      tuple_ = (*list)->items;
    else
      tuple_ = {values};
  }

  Text Run() {
    TextBuilder out;
    runtime_.Touch(bytes_.size());
    while (pos_ < bytes_.size()) {
      const size_t percent = std::min(bytes_.find('%', pos_), bytes_.size());
      out.Append(format_, pos_, percent);
      pos_ = percent;
      if (pos_ == bytes_.size()) break;
      const size_t begin = pos_++;
      if (bytes_.substr(pos_, 1) == "%") {
        out.Append(format_, pos_, pos_ + 1);
        ++pos_;
      } else {
        const Text piece = Conversion(begin);
        runtime_.Touch(piece.Size());
        out.Append(piece);
      }
    }
    if (next_ < tuple_.size() && !IsMapping()) {
      runtime_.Fail("not all arguments are used by the format");
    }
    return out.Take();
  }

 private:
  // Values that may be left unused, because Python could look names up in them.
  bool IsMapping() const {
    const auto* list = values_.If<List*>();
    return values_.Is<Dict*>() || values_.IsUndefined() || (list != nullptr && (*list)->kind != List::kTuple);
  }

  const Value& NextValue() {
    if (next_ >= tuple_.size()) runtime_.Fail("there are not enough arguments for the format");
    return tuple_[next_++];
  }

  int64_t Count() {
    if (bytes_.substr(pos_, 1) != "*") return ParseCount(runtime_, bytes_, pos_);
    ++pos_;
    const Value& value = NextValue();
    if (!value.Is<int64_t>() || std::abs(value.As<int64_t>()) > kMaxWidth)
      runtime_.Fail("'*' of a format needs a small whole number");
    return value.As<int64_t>();
  }

  Text Conversion(size_t begin) {
    const Value* mapped = nullptr;
    if (bytes_.substr(pos_, 1) == "(") {
      const size_t end = bytes_.find(')', pos_);
      if (end == std::string_view::npos || !values_.Is<Dict*>())
        runtime_.Fail("a format with names needs a dict");
      const std::string_view key = bytes_.substr(pos_ + 1, end - pos_ - 1);
      mapped = values_.As<Dict*>()->Find("s" + std::string(key));
      if (mapped == nullptr)
        runtime_.Fail("the format names '{}', which the dict does not have", key.substr(0, 60));
      pos_ = end + 1;
    }
    Spec spec;
    bool left = false, zero = false;
    for (; pos_ < bytes_.size(); ++pos_) {
      const char c = bytes_[pos_];
      if (c == '-')
        left = true;
      else if (c == '0')
        zero = true;
      else if (c == '+')
        spec.sign = '+';
      else if (c == ' ' && spec.sign != '+')
        spec.sign = ' ';
      else if (c == '#')
        spec.alternate = true;
      else if (c != ' ')
        break;
    }
    spec.width = Count();
    if (spec.width < 0) left = true, spec.width = -spec.width;
    if (bytes_.substr(pos_, 1) == ".") {
      ++pos_;
      spec.precision = std::max<int64_t>(Count(), 0);
    }
    while (pos_ < bytes_.size() && (bytes_[pos_] == 'l' || bytes_[pos_] == 'h' || bytes_[pos_] == 'L'))
      ++pos_;
    if (pos_ >= bytes_.size())
      runtime_.Fail("the format '{}' is incomplete", bytes_.substr(begin).substr(0, 60));
    spec.type = bytes_[pos_++];
    spec.align = left ? '<' : '>';
    const Value& value = mapped != nullptr ? *mapped : NextValue();
    return Convert(value, spec, zero && !left);
  }

  Text Convert(const Value& value, Spec spec, bool zero) {
    if (spec.type == 's') return FormatText(runtime_, ToText(runtime_, value), spec);
    if (spec.type == 'r' || spec.type == 'a') return FormatText(runtime_, Repr(runtime_, value), spec);
    if (spec.type == 'c') {
      if (const auto* text = value.If<Text>(); text != nullptr && CountCodePoints(text->View()) == 1) {
        return FormatText(runtime_, *text, spec);
      }
      const auto* number = value.If<int64_t>();
      const bool is_character = number != nullptr && *number >= 0 && *number <= 0x10FFFF &&
                                !(*number >= 0xD800 && *number < 0xE000);
      if (is_character) {
        std::string bytes;
        AppendCodePoint(static_cast<char32_t>(*number), bytes);
        return FormatText(runtime_, Text::Frame(bytes), spec);
      }
      FailType(runtime_, 'c', value);
    }
    if (!value.IsNumber()) FailType(runtime_, spec.type, value);
    if (zero) {
      spec.fill = "0";
      spec.align = '=';
    }
    if (kRealTypes.find(spec.type) != std::string_view::npos)
      return FormatReal(runtime_, ToDouble(value), spec);
    if (kWholeTypes.find(spec.type) == std::string_view::npos || spec.type == 'b') {
      runtime_.Fail("unknown format '%{}'", spec.type);
    }
    if (const auto* number = value.If<double>()) {
      const bool decimal = spec.type == 'd' || spec.type == 'i' || spec.type == 'u';
      if (!decimal || !(std::abs(*number) < 9e18)) FailType(runtime_, spec.type, value);
      return FormatWhole(runtime_, static_cast<int64_t>(*number), spec);
    }
    return FormatNumber(runtime_, value, spec);
  }

  Runtime& runtime_;
  const Text& format_;
  std::string_view bytes_;
  const Value& values_;
  std::vector<Value> tuple_;
  size_t pos_ = 0;
  size_t next_ = 0;
};

class BraceFormatter {
 public:
  BraceFormatter(Runtime& runtime, const Text& format, const Arguments& arguments)
      : runtime_(runtime), format_(format), bytes_(format.View()), arguments_(arguments) {}

  Text Run() {
    TextBuilder out;
    runtime_.Touch(bytes_.size());
    for (size_t pos = 0; pos < bytes_.size();) {
      const size_t brace = std::min(bytes_.find_first_of("{}", pos), bytes_.size());
      out.Append(format_, pos, brace);
      if (brace == bytes_.size()) break;
      if (bytes_.substr(brace, 2) == "{{" || bytes_.substr(brace, 2) == "}}") {
        out.Append(format_, brace, brace + 1);
        pos = brace + 2;
        continue;
      }
      if (bytes_[brace] == '}') runtime_.Fail("the format has a single '}}'");
      const size_t end = bytes_.find('}', brace);
      if (end == std::string_view::npos) runtime_.Fail("the format has a '{{' without '}}'");
      const std::string_view field = bytes_.substr(brace + 1, end - brace - 1);
      if (field.find('{') != std::string_view::npos)
        runtime_.Fail("fields inside of a field of a format are not supported");
      const Text piece = Field(field);
      runtime_.Touch(piece.Size());
      out.Append(piece);
      pos = end + 1;
    }
    return out.Take();
  }

 private:
  Text Field(std::string_view field) {
    const size_t name_end = std::min(field.find_first_of("!:"), field.size());
    Value value = Lookup(field.substr(0, name_end));
    std::string_view rest = field.substr(name_end);
    if (rest.starts_with('!')) {
      if (rest.size() < 2 || (rest[1] != 'r' && rest[1] != 's')) runtime_.Fail("a format allows !r and !s");
      value = rest[1] == 'r' ? Repr(runtime_, value) : ToText(runtime_, value);
      rest.remove_prefix(2);
    }
    if (rest.starts_with(':')) rest.remove_prefix(1);
    return Format(value, rest);
  }

  Value Lookup(std::string_view path) {
    const size_t end = std::min(path.find_first_of(".["), path.size());
    Value value = First(path.substr(0, end));
    for (path.remove_prefix(end); !path.empty();) {
      if (path[0] == '.') {
        const std::string_view name = path.substr(1, path.find_first_of(".[", 1) - 1);
        path.remove_prefix(1 + name.size());
        value = AttributeOf(runtime_, value, runtime_.Keep(name));
      } else {
        const size_t close = path.find(']');
        if (path[0] != '[' || close == std::string_view::npos)
          runtime_.Fail("a field of the format is malformed");
        value = ItemOf(runtime_, value, Index(path.substr(1, close - 1)));
        path.remove_prefix(close + 1);
      }
    }
    return value;
  }

  static Value Index(std::string_view text) {
    int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc() && end == text.data() + text.size()) return number;
    return Text::Frame(std::string(text));
  }

  Value First(std::string_view name) {
    const Value index = name.empty() ? Value(next_++) : Index(name);
    if (const auto* number = index.If<int64_t>()) {
      (name.empty() ? counts_ : numbers_) = true;
      if (counts_ && numbers_) runtime_.Fail("a format has fields with numbers, or without, but not both");
      if (*number < 0 || static_cast<size_t>(*number) >= arguments_.positional.size()) {
        runtime_.Fail("there is no argument {} for the format", *number);
      }
      return arguments_.positional[static_cast<size_t>(*number)];
    }
    for (const auto& [known, value] : arguments_.named) {
      if (known.View() == name) return value;
    }
    runtime_.Fail("there is no argument '{}' for the format", name.substr(0, 60));
  }

  // [[fill]align][sign][#][0][width][,][.precision][type]
  Text Format(const Value& value, std::string_view text) {
    if (text.empty()) return ToText(runtime_, value);
    Spec spec;
    size_t pos = 0;
    constexpr std::string_view kAligns = "<>^=";
    const size_t fill = CodePointAt(text, 0).length;
    if (fill < text.size() && kAligns.find(text[fill]) != std::string_view::npos) {
      spec.fill = text.substr(0, fill);
      spec.align = text[fill];
      pos = fill + 1;
    } else if (kAligns.find(text[0]) != std::string_view::npos) {
      spec.align = text[pos++];
    }
    const auto skip = [&](char c) {
      if (text.substr(pos, 1) != std::string_view(&c, 1)) return false;
      ++pos;
      return true;
    };
    for (const char sign : {'+', '-', ' '}) {
      if (skip(sign)) spec.sign = sign;
    }
    spec.alternate = skip('#');
    if (skip('0') && spec.align == '\0') {
      spec.fill = "0";
      spec.align = '=';
    }
    spec.width = ParseCount(runtime_, text, pos);
    spec.thousands = skip(',');
    if (skip('.')) spec.precision = ParseCount(runtime_, text, pos);
    if (pos < text.size()) spec.type = text[pos++];
    if (pos < text.size()) runtime_.Fail("the format '{}' is malformed", text.substr(0, 60));
    return Convert(value, spec);
  }

  Text Convert(const Value& value, Spec spec) {
    const bool wants_text = spec.type == 's' || spec.type == '\0';
    if (wants_text && spec.thousands && !value.IsNumber()) FailType(runtime_, ',', value);
    if (wants_text && value.Is<Text>()) return FormatText(runtime_, ToText(runtime_, value), spec);
    if (!value.IsNumber() || spec.type == 's') FailType(runtime_, spec.type == '\0' ? 's' : spec.type, value);
    if (spec.type == '\0') return FormatNumber(runtime_, value, spec);
    const bool is_real_type = kRealTypes.find(spec.type) != std::string_view::npos;
    const bool is_whole_type =
        kWholeTypes.find(spec.type) != std::string_view::npos && spec.type != 'i' && spec.type != 'u';
    if (!is_real_type && (!is_whole_type || value.Is<double>())) FailType(runtime_, spec.type, value);
    return FormatNumber(runtime_, value, spec);
  }

  Runtime& runtime_;
  const Text& format_;
  std::string_view bytes_;
  const Arguments& arguments_;
  int64_t next_ = 0;
  bool counts_ = false, numbers_ = false;  // there are fields {}, and fields {0}
};

}  // namespace

Text PercentFormat(Runtime& runtime, const Text& format, const Value& values) {
  return PercentFormatter(runtime, format, values).Run();
}

Text BraceFormat(Runtime& runtime, const Text& format, const Arguments& arguments) {
  return BraceFormatter(runtime, format, arguments).Run();
}

}  // namespace throng::jinja
