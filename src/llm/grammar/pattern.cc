#include "llm/grammar/pattern.h"

#include <string>

namespace throng::llm {
namespace {

constexpr int kMaxDepth = 64;  // limit on nested groups: the parser recurses
constexpr uint32_t kMaxCodePoint = 0x10ffff;

const CodePoints kDigits = {{'0', '9'}};
const CodePoints kWords = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
const CodePoints kSpaces = {{'\t', '\r'}, {' ', ' '}, {0xa0, 0xa0}, {0x2028, 0x2029}};

class Parser {
 public:
  Parser(std::string_view pattern, std::string_view where, Grammar& grammar)
      : text_(pattern), where_(where), grammar_(grammar) {}

  Grammar::Node Parse() {
    if (At('^')) ++at_;
    const Grammar::Node node = Alternatives();
    if (at_ < text_.size()) throw Wrong("an unmatched )");
    return node;
  }

 private:
  Error Wrong(std::string_view what) const {
    return MakeError(ErrorCode::kInvalid, "{}: the pattern {:?} has {} at offset {}", where_, text_, what,
                     at_);
  }
  Error Unknown(std::string_view what) const {
    return MakeError(ErrorCode::kUnsupported,
                     "{}: the pattern {:?} has {} at offset {}, which cannot be constrained", where_, text_,
                     what, at_);
  }

  bool At(char c) const { return at_ < text_.size() && text_[at_] == c; }

  Grammar::Node Alternatives() {
    if (++depth_ > kMaxDepth) throw Wrong("groups nested too deeply");
    std::vector<Grammar::Node> choices = {Pieces()};
    while (At('|')) {
      ++at_;
      choices.push_back(Pieces());
    }
    --depth_;
    return choices.size() == 1 ? choices[0] : grammar_.Choice(std::move(choices));
  }

  Grammar::Node Pieces() {
    std::vector<Grammar::Node> pieces;
    while (at_ < text_.size() && text_[at_] != '|' && text_[at_] != ')') {
      if (At('$') && at_ + 1 == text_.size()) {
        ++at_;
        break;
      }
      pieces.push_back(Quantified(Piece()));
    }
    return pieces.size() == 1 ? pieces[0] : grammar_.Sequence(std::move(pieces));
  }

  Grammar::Node Piece() {
    switch (text_[at_]) {
      case '(':
        return Group();
      case '[':
        ++at_;
        return Set(Class());
      case '.':
        ++at_;
        return Set(Complement({{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}}));
      case '\\':
        return Set(Escape());
      case '*':
      case '+':
      case '?':
      case '{':
        throw Wrong("a quantifier with nothing before it");
      case '^':
      case '$':
        throw Unknown("an anchor inside");
      default: {
        const uint32_t c = CodePoint();
        return Set({{c, c}});
      }
    }
  }

  Grammar::Node Set(CodePoints chars) {
    if (chars.empty()) throw Wrong("an empty class before it, which no character matches,");
    return grammar_.StringChar(std::move(chars));
  }

  Grammar::Node Group() {
    ++at_;
    if (At('?')) {
      if (text_.substr(at_, 2) != "?:") throw Unknown("a look-around or named group");
      at_ += 2;
    }
    const Grammar::Node node = Alternatives();
    if (!At(')')) throw Wrong("no ) for a (");
    ++at_;
    return node;
  }

  Grammar::Node Quantified(Grammar::Node node) {
    if (at_ == text_.size()) return node;
    int64_t min = 0;
    int64_t max = Grammar::kUnbounded;
    switch (text_[at_]) {
      case '*':
        break;
      case '+':
        min = 1;
        break;
      case '?':
        max = 1;
        break;
      case '{':
        ++at_;
        min = max = Number();
        if (At(',')) {
          ++at_;
          max = At('}') ? Grammar::kUnbounded : Number();
        }
        if (!At('}')) throw Wrong("a { that does not begin {m}, {m,} or {m,n}");
        if (max != Grammar::kUnbounded && max < min)
          throw Wrong("a repeat whose maximum is below its minimum");
        break;
      default:
        return node;
    }
    ++at_;
    if (At('?') || At('+') || At('*') || At('{')) throw Unknown("a lazy, possessive or second quantifier");
    return grammar_.Repeat(node, min, max);
  }

  int64_t Number() {
    int64_t value = 0;
    const size_t begin = at_;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') {
      value = value * 10 + (text_[at_++] - '0');
      if (value > Grammar::kMaxRepeat) throw Wrong("a repeat count above 1048576");
    }
    if (at_ == begin) throw Wrong("no number in a {}");
    return value;
  }

  CodePoints Class() {
    const bool negated = At('^');
    if (negated) ++at_;
    CodePoints chars;
    while (!At(']')) {
      if (at_ == text_.size()) throw Wrong("no ] for a [");
      CodePoints low = ClassItem();
      const bool single = low.size() == 1 && low[0].first == low[0].second;
      if (single && At('-') && at_ + 1 < text_.size() && text_[at_ + 1] != ']') {
        ++at_;
        const CodePoints high = ClassItem();
        if (high.size() != 1 || high[0].first != high[0].second)
          throw Wrong("a range that does not end in a character");
        if (high[0].first < low[0].first) throw Wrong("a range that ends below its begin");
        low[0].second = high[0].first;
      }
      chars.insert(chars.end(), low.begin(), low.end());
    }
    ++at_;
    chars = Normalised(std::move(chars));
    return negated ? Complement(chars) : chars;
  }

  CodePoints ClassItem() {
    if (at_ == text_.size()) throw Wrong("no ] for a [");
    if (At('\\')) return Escape();
    const uint32_t c = CodePoint();
    return {{c, c}};
  }

  CodePoints Escape() {
    if (++at_ == text_.size()) throw Wrong("a \\ with nothing after it");
    const char c = text_[at_];
    const auto one = [](uint32_t code_point) { return CodePoints{{code_point, code_point}}; };
    CodePoints chars;
    switch (c) {
      case 'd':
        chars = kDigits;
        break;
      case 'D':
        chars = Complement(kDigits);
        break;
      case 'w':
        chars = kWords;
        break;
      case 'W':
        chars = Complement(kWords);
        break;
      case 's':
        chars = kSpaces;
        break;
      case 'S':
        chars = Complement(kSpaces);
        break;
      case 't':
        chars = one('\t');
        break;
      case 'n':
        chars = one('\n');
        break;
      case 'r':
        chars = one('\r');
        break;
      case 'f':
        chars = one('\f');
        break;
      case 'v':
        chars = one('\v');
        break;
      case 'u':
        return one(Hex4());
      default:
        if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
          throw Unknown("an escape other than \\d \\w \\s \\t \\n \\r \\f \\v \\uXXXX");
        }
        return one(CodePoint());
    }
    ++at_;
    return chars;
  }

  uint32_t Hex4() {
    uint32_t value = 0;
    for (int i = 1; i <= 4; ++i) {
      const char c = at_ + static_cast<size_t>(i) < text_.size() ? text_[at_ + static_cast<size_t>(i)] : 'x';
      const uint32_t digit = c >= '0' && c <= '9'   ? static_cast<uint32_t>(c - '0')
                             : c >= 'a' && c <= 'f' ? static_cast<uint32_t>(c - 'a' + 10)
                             : c >= 'A' && c <= 'F' ? static_cast<uint32_t>(c - 'A' + 10)
                                                    : 16;
      if (digit == 16) throw Wrong("a \\u without four hexadecimal digits");
      value = value * 16 + digit;
    }
    if (value >= 0xd800 && value <= 0xdfff) throw Unknown("a surrogate");
    at_ += 5;
    return value;
  }

  // The schema has been parsed as JSON, which is valid UTF-8.
  uint32_t CodePoint() {
    const auto lead = static_cast<uint8_t>(text_[at_++]);
    if (lead < 0x80) return lead;
    const int tail = lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    uint32_t value = lead & (0x3fu >> tail);
    for (int i = 0; i < tail && at_ < text_.size(); ++i)
      value = value << 6 | (static_cast<uint8_t>(text_[at_++]) & 0x3f);
    return std::min(value, kMaxCodePoint);
  }

  std::string_view text_;
  std::string_view where_;
  Grammar& grammar_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

Grammar::Node LowerPattern(std::string_view pattern, std::string_view where, Grammar& grammar) {
  return Parser(pattern, where, grammar).Parse();
}

}  // namespace throng::llm
