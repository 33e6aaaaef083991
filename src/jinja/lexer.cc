#include "jinja/lexer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "base/error.h"
#include "jinja/runtime.h"
#include "jinja/unicode.h"

namespace throng::jinja {
namespace {

constexpr std::array<std::string_view, 26> kOperators = {  // longer ones first
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "*", "/", "%", "~", "(",
    ")",  "[",  "]",  "{",  "}",  ">",  "<", "=", ".", ":", ",", "|", ";"};

bool IsNameStart(char c) {
  return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         static_cast<unsigned char>(c) >= 0x80;
}
bool IsAsciiDigit(char c) { return c >= '0' && c <= '9'; }
bool IsNamePart(char c) { return IsNameStart(c) || IsAsciiDigit(c); }

class Lexer {
 public:
  Lexer(std::string_view name, std::string_view source) : name_(name), source_(source) {}

  std::vector<Token> Run() {
    while (pos_ < source_.size()) {
      const size_t tag = NextTag();
      if (tag == source_.size()) {
        AddData(pos_, tag);
        pos_ = tag;
      } else {
        LexTag(tag);
      }
    }
    tokens_.push_back({Token::kEnd, "", source_.size()});
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void Fail(size_t offset, std::string_view message) const {
    throw MakeError(ErrorCode::kInvalid, "{}: {}", PositionIn(name_, source_, offset), message);
  }

  bool At(size_t pos, std::string_view text) const { return source_.substr(pos, text.size()) == text; }

  size_t NextTag() const {
    for (size_t pos = pos_; (pos = source_.find('{', pos)) != std::string_view::npos; ++pos) {
      if (pos + 1 < source_.size() &&
          (source_[pos + 1] == '%' || source_[pos + 1] == '{' || source_[pos + 1] == '#')) {
        return pos;
      }
    }
    return source_.size();
  }

  // Where the data before a tag ends; `sign` is what follows the tag's two characters.
  size_t DataEnd(size_t begin, size_t tag, char sign, bool is_print) const {
    const std::string_view data = source_.substr(begin, tag - begin);
    if (sign == '-') return tag - TrailingSpace(data);
    if (sign == '+' || is_print) return tag;
    const size_t line = data.rfind('\n') + 1;  // 0: the data has no line break
    if (line == 0 && !at_line_start_) return tag;
    const bool is_blank = LeadingSpace(data.substr(line)) == data.size() - line;
    return is_blank ? begin + line : tag;
  }

  void AddData(size_t begin, size_t end) {
    if (begin < end)
      tokens_.push_back({Token::kData, std::string(source_.substr(begin, end - begin)), begin});
  }

  // Goes on after a tag that ends at `pos`: what it takes along of the white space that follows.
  void Resume(size_t pos, char sign, bool trims_line_break) {
    pos_ = pos;
    at_line_start_ = false;
    if (sign == '-') {
      pos_ += LeadingSpace(source_.substr(pos));
      at_line_start_ = pos_ > pos && source_[pos_ - 1] == '\n';
    } else if (sign != '+' && trims_line_break && At(pos, "\n")) {
      ++pos_;
      at_line_start_ = true;
    }
  }

  char SignAt(size_t pos) const { return At(pos, "-") || At(pos, "+") ? source_[pos] : '\0'; }

  void LexTag(size_t tag) {
    const char kind = source_[tag + 1];
    const char sign = SignAt(tag + 2);
    AddData(pos_, DataEnd(pos_, tag, sign, kind == '{'));
    size_t pos = tag + 2 + (sign != '\0' ? 1 : 0);
    if (kind == '#') {
      LexComment(tag, pos);
    } else if (kind == '%' && LexRaw(tag, pos)) {
    } else {
      tokens_.push_back({kind == '%' ? Token::kBlockBegin : Token::kPrintBegin, "", tag});
      LexExpressions(tag, pos, kind == '%' ? "%}" : "}}");
    }
  }

  void LexComment(size_t tag, size_t pos) {
    const size_t end = source_.find("#}", pos);
    if (end == std::string_view::npos) Fail(tag, "the comment has no end \"#}\"");
    const char before = end > pos ? source_[end - 1] : '\0';
    Resume(end + 2, before, /*trims_line_break=*/true);
  }

  size_t SkipSpace(size_t pos) const { return pos + LeadingSpace(source_.substr(pos)); }

  // Whether a tag of one word begins at `pos`, after its sign: where it ends, and the sign at its end.
  struct WordTag {
    size_t end;
    char sign;
  };
  std::optional<WordTag> ParseWordTag(size_t pos, std::string_view word) const {
    pos = SkipSpace(pos);
    if (!At(pos, word) || (pos + word.size() < source_.size() && IsNamePart(source_[pos + word.size()])))
      return {};
    pos = SkipSpace(pos + word.size());
    const char sign = SignAt(pos);
    if (sign != '\0') ++pos;
    if (!At(pos, "%}")) return {};
    return WordTag{pos + 2, sign};
  }

  // {% raw %} to {% endraw %}, if the tag begins it.
  bool LexRaw(size_t tag, size_t pos) {
    const std::optional<WordTag> begin = ParseWordTag(pos, "raw");
    if (!begin || begin->sign == '+') return false;
    Resume(begin->end, begin->sign, /*trims_line_break=*/false);
    for (size_t at = pos_; (at = source_.find("{%", at)) != std::string_view::npos; at += 2) {
      const char sign = SignAt(at + 2);
      const std::optional<WordTag> end = ParseWordTag(at + 2 + (sign != '\0' ? 1 : 0), "endraw");
      if (!end) continue;
      AddData(pos_, DataEnd(pos_, at, sign, /*is_print=*/false));
      Resume(end->end, end->sign, /*trims_line_break=*/true);
      return true;
    }
    Fail(tag, "the block \"raw\" has no end \"{% endraw %}\"");
  }

  void LexExpressions(size_t tag, size_t pos, std::string_view close) {
    std::string open;  // the brackets that are open
    while (true) {
      pos = SkipSpace(pos);
      if (pos >= source_.size()) Fail(tag, fmt::format("the tag has no end \"{}\"", close));
      if (open.empty()) {
        const char sign = SignAt(pos);
        const size_t end = pos + (sign == '-' || (sign == '+' && close == "%}") ? 1 : 0);
        if (At(end, close)) {
          tokens_.push_back({close == "%}" ? Token::kBlockEnd : Token::kPrintEnd, "", pos});
          Resume(end + 2, end > pos ? sign : '\0', /*trims_line_break=*/close == "%}");
          return;
        }
      }
      pos = LexToken(pos, open);
    }
  }

  // Returns where the token ends.
  size_t LexToken(size_t pos, std::string& open) {
    const char c = source_[pos];
    if (IsAsciiDigit(c)) return LexNumber(pos);
    if (c == '"' || c == '\'') return LexString(pos);
    if (IsNameStart(c)) {
      size_t end = pos;
      while (end < source_.size() && IsNamePart(source_[end])) ++end;
      tokens_.push_back({Token::kName, std::string(source_.substr(pos, end - pos)), pos});
      return end;
    }
    const auto op = std::ranges::find_if(kOperators, [&](std::string_view text) { return At(pos, text); });
    if (op == kOperators.end()) {
      const size_t length = CodePointAt(source_, pos).length;
      Fail(pos, fmt::format("unexpected character '{}'", source_.substr(pos, length)));
    }
    if (op->size() == 1) Balance(pos, c, open);
    tokens_.push_back({Token::kOperator, std::string(*op), pos});
    return pos + op->size();
  }

  void Balance(size_t pos, char c, std::string& open) const {
    if (c == '(') open.push_back(')');
    if (c == '[') open.push_back(']');
    if (c == '{') open.push_back('}');
    if (c != ')' && c != ']' && c != '}') return;
    if (open.empty()) Fail(pos, fmt::format("unexpected '{}'", c));
    if (open.back() != c) Fail(pos, fmt::format("unexpected '{}', expected '{}'", c, open.back()));
    open.pop_back();
  }

  size_t LexNumber(size_t pos) {
    size_t end = pos;
    std::string text;
    const auto take_digits = [&](auto&& is_digit) {
      while (end < source_.size() &&
             (is_digit(source_[end]) ||
              (source_[end] == '_' && end + 1 < source_.size() && is_digit(source_[end + 1]) && end > pos))) {
        if (source_[end] != '_') text += source_[end];
        ++end;
      }
    };
    const std::string_view prefix = source_.substr(pos, 2);
    const int base = prefix == "0x" || prefix == "0X"   ? 16
                     : prefix == "0o" || prefix == "0O" ? 8
                     : prefix == "0b" || prefix == "0B" ? 2
                                                        : 10;
    if (base != 10) {
      end += 2;
      take_digits([](char c) {
        return std::string_view("0123456789abcdefABCDEF").find(c) != std::string_view::npos;
      });
      return AddInteger(pos, end, text, base);
    }
    take_digits(IsAsciiDigit);
    bool is_float = false;
    const auto digit_at = [&](size_t i) { return i < source_.size() && IsAsciiDigit(source_[i]); };
    const bool after_dot = pos > 0 && source_[pos - 1] == '.';  // `list.0.1` is no float
    if (!after_dot && end < source_.size() && source_[end] == '.' && digit_at(end + 1)) {
      is_float = true;
      text += source_[end++];
      take_digits(IsAsciiDigit);
    }
    if (!after_dot && end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
      const bool has_sign = end + 1 < source_.size() && (source_[end + 1] == '+' || source_[end + 1] == '-');
      if (digit_at(end + 1 + (has_sign ? 1 : 0))) {
        is_float = true;
        text += source_.substr(end, has_sign ? 2 : 1);
        end += has_sign ? 2 : 1;
        take_digits(IsAsciiDigit);
      }
    }
    if (!is_float) return AddInteger(pos, end, text, 10);
    tokens_.push_back({Token::kFloat, text, pos});
    return end;
  }

  size_t AddInteger(size_t pos, size_t end, const std::string& digits, int base) {
    int64_t value = 0;
    const auto [last, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
    if (error != std::errc() || last != digits.data() + digits.size()) {
      Fail(pos, fmt::format("'{}' is no whole number of 64 bits",
                            source_.substr(pos, std::min<size_t>(end - pos, 40))));
    }
    tokens_.push_back({Token::kInteger, fmt::format("{}", value), pos});
    return end;
  }

  size_t LexString(size_t begin) {
    const char quote = source_[begin];
    std::string text;
    size_t pos = begin + 1;
    while (pos < source_.size() && source_[pos] != quote) {
      if (source_[pos] == '\\' && pos + 1 < source_.size()) {
        pos = LexEscape(pos, text);
      } else {
        text += source_[pos++];
      }
    }
    if (pos >= source_.size()) Fail(begin, "the string has no end");
    tokens_.push_back({Token::kString, std::move(text), begin});
    return pos + 1;
  }

  // Python's escapes; an unknown one stays as it is written.
  size_t LexEscape(size_t pos, std::string& text) const {
    const char c = source_[pos + 1];
    constexpr std::string_view kLetters = "\\'\"abfnrtv";
    constexpr std::string_view kMeanings = "\\'\"\a\b\f\n\r\t\v";
    if (const size_t found = kLetters.find(c); found != std::string_view::npos) {
      text += kMeanings[found];
      return pos + 2;
    }
    if (c == '\n') return pos + 2;
    if (c >= '0' && c <= '7') {
      size_t length = 1;
      while (length < 3 && pos + 1 + length < source_.size() && source_[pos + 1 + length] >= '0' &&
             source_[pos + 1 + length] <= '7') {
        ++length;
      }
      return AppendNumbered(pos, pos + 1, length, 8, text);
    }
    if (c == 'x') return AppendNumbered(pos, pos + 2, 2, 16, text);
    if (c == 'u') return AppendNumbered(pos, pos + 2, 4, 16, text);
    if (c == 'U') return AppendNumbered(pos, pos + 2, 8, 16, text);
    if (c == 'N') Fail(pos, "characters by name (\\N{...}) are not supported");
    text += '\\';
    return pos + 1;
  }

  size_t AppendNumbered(size_t escape, size_t begin, size_t length, int base, std::string& text) const {
    const std::string_view digits = source_.substr(begin, length);
    uint32_t value = 0;
    const auto [last, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
    const bool is_surrogate = value >= 0xD800 && value < 0xE000;
    if (digits.size() != length || error != std::errc() || last != digits.data() + length ||
        value > 0x10FFFF || is_surrogate) {
      Fail(escape,
           fmt::format("'{}' stands for no character", source_.substr(escape, begin - escape + length)));
    }
    AppendCodePoint(value, text);
    return begin + length;
  }

  std::string_view name_;
  std::string_view source_;
  size_t pos_ = 0;
  bool at_line_start_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

std::string NormaliseSource(std::string_view source) {
  std::string text;
  text.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      text += source[i];
    } else if (i + 1 >= source.size() || source[i + 1] != '\n') {
      text += '\n';
    }
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

std::vector<Token> Lex(std::string_view name, std::string_view source) { return Lexer(name, source).Run(); }

}  // namespace throng::jinja
