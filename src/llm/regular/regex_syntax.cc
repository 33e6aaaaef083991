#include "llm/regular/regex_syntax.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "base/text/utf8.h"
#include "llm/regular/regular.h"
#include "llm/regular/unicode_property.h"

namespace throng::llm {
namespace {

constexpr int kMaxDepth = 64;  // limit on nested groups: the parser recurses
constexpr size_t kMaxShown = 100;
constexpr size_t kMaxProperties = 32;  // different ones: each takes milliseconds to find

const CodePoints kDigits = {{'0', '9'}};
const CodePoints kSpaces = {{'\t', '\r'},     {' ', ' '},       {0xa0, 0xa0},     {0x1680, 0x1680},
                            {0x2000, 0x200a}, {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f},
                            {0x3000, 0x3000}, {0xfeff, 0xfeff}};
const CodePoints kLineEnds = {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

class Parser {
 public:
  using Node = uint32_t;
  using Kind = RegexNode::Kind;

  Parser(std::string_view regex, std::string_view where) : text_(regex), where_(where) {}

  RegexTree Parse() {
    at_ = ValidUtf8Prefix(text_);
    if (at_ < text_.size()) throw Wrong("a byte that is not UTF-8");
    at_ = 0;
    tree_.root = Alternatives();
    if (at_ < text_.size()) throw Wrong("an unmatched )");
    for (const auto& [node, name] : references_) {
      RegexNode& reference = tree_.nodes[node];
      const auto named = groups_.find(name);
      if (named != groups_.end()) reference.group = named->second;
      at_ = reference.offset;
      if (reference.group == 0 || reference.group > num_groups_)
        throw Wrong("a reference to a group that does not exist");
    }
    return std::move(tree_);
  }

 private:
  Error Wrong(std::string_view what) const {
    return MakeError(ErrorCode::kInvalid, "{} has {} at offset {}", NameOfPattern(where_, text_), what, at_);
  }
  Error Unknown(std::string_view what) const {
    return MakeError(ErrorCode::kUnsupported, "{} has {} at offset {}, which cannot be constrained",
                     NameOfPattern(where_, text_), what, at_);
  }

  bool At(char c) const { return at_ < text_.size() && text_[at_] == c; }
  bool AtText(std::string_view begin) const { return text_.substr(at_).starts_with(begin); }
  bool Take(std::string_view begin) {
    if (!AtText(begin)) return false;
    at_ += begin.size();
    return true;
  }

  Node Add(RegexNode node) {
    tree_.nodes.push_back(std::move(node));
    return static_cast<Node>(tree_.nodes.size() - 1);
  }
  Node Of(Kind kind, size_t offset, std::vector<Node> children = {}) {
    return Add({kind, offset, {}, std::move(children)});
  }
  Node Chars(size_t offset, CodePoints chars) { return Add({Kind::kChars, offset, std::move(chars), {}}); }

  Node Alternatives() {
    if (++depth_ > kMaxDepth) throw Wrong("groups nested too deeply");
    const size_t begin = at_;
    std::vector<Node> choices = {Pieces()};
    while (Take("|")) choices.push_back(Pieces());
    --depth_;
    return choices.size() == 1 ? choices[0] : Of(Kind::kChoice, begin, std::move(choices));
  }

  Node Pieces() {
    const size_t begin = at_;
    std::vector<Node> pieces;
    while (at_ < text_.size() && !At('|') && !At(')')) pieces.push_back(Quantified());
    return pieces.size() == 1 ? pieces[0] : Of(Kind::kSequence, begin, std::move(pieces));
  }

  // is_assertion: it matches no character, and cannot have a quantifier.
  Node Piece(bool& is_assertion) {
    const size_t begin = at_;
    const auto assertion = [&](Kind kind, size_t length) {
      is_assertion = true;
      at_ += length;
      return Of(kind, begin);
    };
    switch (text_[at_]) {
      case '(':
        return Group(is_assertion);
      case '[':
        ++at_;
        return Chars(begin, Class());
      case '.':
        ++at_;
        return Chars(begin, Complement(kLineEnds));
      case '^':
        return assertion(Kind::kStart, 1);
      case '$':
        return assertion(Kind::kEnd, 1);
      case '\\':
        if (AtText("\\b")) return assertion(Kind::kWordBorder, 2);
        if (AtText("\\B")) return assertion(Kind::kNoWordBorder, 2);
        if (AtText("\\k") || (at_ + 1 < text_.size() && text_[at_ + 1] > '0' && text_[at_ + 1] <= '9'))
          return Backreference();
        return Chars(begin, Escape());
      case '*':
      case '+':
      case '?':
      case '{':
        throw Wrong("a quantifier with nothing before it");
      default: {
        const uint32_t c = CodePoint();
        return Chars(begin, {{c, c}});
      }
    }
  }

  Node Group(bool& is_assertion) {
    const size_t begin = at_;
    std::optional<Kind> look;
    bool captures = true;
    if (Take("(?=")) {
      look = Kind::kLookahead;
    } else if (Take("(?!")) {
      look = Kind::kNotLookahead;
    } else if (Take("(?<=")) {
      look = Kind::kLookbehind;
    } else if (Take("(?<!")) {
      look = Kind::kNotLookbehind;
    } else if (Take("(?:")) {
      captures = false;
    } else if (Take("(?<") || Take("(?P<")) {
      if (!groups_.try_emplace(Name(), num_groups_ + 1).second)
        throw Wrong("two groups of one name before it");
    } else if (AtText("(?")) {
      throw Unknown("flags in a group");
    } else {
      ++at_;
    }
    captures = captures && !look;
    const uint32_t group = captures ? ++num_groups_ : 0;
    const Node body = Alternatives();
    if (!Take(")")) throw Wrong("no ) for a (");
    is_assertion = look.has_value();
    if (!look && !captures) return body;
    const Node node = Of(look.value_or(Kind::kGroup), begin, {body});
    tree_.nodes[node].group = group;
    return node;
  }

  // \1 or \k<name>; the group can come later.
  Node Backreference() {
    const Node node = Of(Kind::kBackreference, at_);
    std::string_view name;
    if (Take("\\k")) {
      if (!Take("<")) throw Wrong("a \\k without a <name>");
      name = Name();
    } else {
      ++at_;
      tree_.nodes[node].group = static_cast<uint32_t>(Number());
    }
    references_.emplace_back(node, name);
    return node;
  }

  // Of a group, to after its >.
  std::string_view Name() {
    const size_t end = text_.find('>', at_);
    const std::string_view name = text_.substr(at_, end == text_.npos ? end : end - at_);
    const bool is_name =
        !name.empty() && !IsDigit(name[0]) && std::all_of(name.begin(), name.end(), [](char c) {
          return IsLetter(c) || IsDigit(c) || c == '_' || c == '$' || static_cast<uint8_t>(c) >= 0x80;
        });
    if (end == text_.npos || !is_name) throw Wrong("a group without a proper name");
    at_ = end + 1;
    return name;
  }

  Node Quantified() {
    bool is_assertion = false;
    const Node node = Piece(is_assertion);
    const size_t begin = at_;
    int64_t min = 0;
    int64_t max = Grammar::kUnbounded;
    if (Take("+")) {
      min = 1;
    } else if (Take("?")) {
      max = 1;
    } else if (Take("{")) {
      min = max = Number();
      if (Take(",")) max = At('}') ? Grammar::kUnbounded : Number();
      if (!Take("}")) throw Wrong("a { that does not begin {m}, {m,} or {m,n}");
      if (max != Grammar::kUnbounded && max < min)
        throw Wrong("a repeat whose maximum is below its minimum before it");
    } else if (!Take("*")) {
      return node;
    }
    if (is_assertion) {
      at_ = begin;
      throw Wrong("a quantifier after what matches no character");
    }
    const bool lazy = Take("?");
    if (At('?') || At('+') || At('*') || At('{')) throw Wrong("a second quantifier");
    return Add({Kind::kRepeat, begin, {}, {node}, min, max, lazy});
  }

  int64_t Number() {
    int64_t value = 0;
    const size_t begin = at_;
    while (at_ < text_.size() && IsDigit(text_[at_])) {
      value = value * 10 + (text_[at_++] - '0');
      if (value > Grammar::kMaxRepeat)
        throw Wrong(fmt::format("a repeat count above {}", Grammar::kMaxRepeat));
    }
    if (at_ == begin) throw Wrong("no number in a {}");
    return value;
  }

  // After [, to after ].
  CodePoints Class() {
    const bool negated = Take("^");
    CodePoints chars;
    while (!Take("]")) {
      CodePoints low = ClassItem();
      const bool single = IsSingle(low);
      if (single && At('-') && !AtText("-]")) {
        ++at_;
        const CodePoints high = ClassItem();
        if (!IsSingle(high)) throw Wrong("a range that does not end in a character");
        if (high[0].first < low[0].first) throw Wrong("a range that ends below its begin");
        low[0].second = high[0].first;
      }
      chars.insert(chars.end(), low.begin(), low.end());
    }
    chars = Normalised(std::move(chars));
    return negated ? Complement(chars) : chars;
  }

  static bool IsSingle(const CodePoints& chars) {
    return chars.size() == 1 && chars[0].first == chars[0].second;
  }

  CodePoints ClassItem() {
    if (at_ == text_.size()) throw Wrong("no ] for a [");
    if (Take("\\b")) return {{'\b', '\b'}};
    if (At('\\')) return Escape();
    const uint32_t c = CodePoint();
    return {{c, c}};
  }

  // At the backslash.
  CodePoints Escape() {
    const size_t begin = at_++;
    if (at_ == text_.size()) throw Wrong("a \\ with nothing after it");
    const char c = text_[at_];
    const auto one = [](uint32_t code_point) { return CodePoints{{code_point, code_point}}; };
    const auto next = [&](CodePoints chars) {
      ++at_;
      return chars;
    };
    switch (c) {
      case 'd':
        return next(kDigits);
      case 'D':
        return next(Complement(kDigits));
      case 'w':
        return next(WordChars());
      case 'W':
        return next(Complement(WordChars()));
      case 's':
        return next(kSpaces);
      case 'S':
        return next(Complement(kSpaces));
      case 't':
        return next(one('\t'));
      case 'n':
        return next(one('\n'));
      case 'r':
        return next(one('\r'));
      case 'f':
        return next(one('\f'));
      case 'v':
        return next(one('\v'));
      case '0':
        ++at_;
        if (at_ < text_.size() && IsDigit(text_[at_])) throw Wrong("an octal escape");
        return one(0);
      case 'c':
        ++at_;
        if (at_ == text_.size() || !IsLetter(text_[at_])) throw Wrong("a \\c without a letter");
        return next(one(static_cast<uint32_t>(text_[at_]) % 32));
      case 'x':
        ++at_;
        return one(Hex(2));
      case 'u':
        ++at_;
        return one(UnicodeEscape());
      case 'p':
      case 'P': {
        ++at_;
        const CodePoints chars = Property();
        return c == 'p' ? chars : Complement(chars);
      }
      default:
        if (IsLetter(c) || IsDigit(c)) {
          at_ = begin;
          throw Unknown(fmt::format("the escape \\{}", c));
        }
        return one(CodePoint());
    }
  }

  uint32_t Hex(size_t num_digits) {
    uint32_t value = 0;
    for (size_t i = 0; i < num_digits; ++i, ++at_) {
      const uint32_t digit = at_ < text_.size() ? HexDigit(text_[at_]) : 16;
      if (digit == 16) throw Wrong(fmt::format("an escape without {} hexadecimal digits", num_digits));
      value = value * 16 + digit;
    }
    return value;
  }

  static uint32_t HexDigit(char c) {
    return static_cast<uint32_t>(IsDigit(c)             ? c - '0'
                                 : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                 : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                        : 16);
  }

  // After \u: XXXX, XXXX\uXXXX of a surrogate pair, or {X...}.
  uint32_t UnicodeEscape() {
    if (Take("{")) {
      uint32_t value = 0;
      const size_t begin = at_;
      for (; at_ < text_.size() && !At('}'); ++at_) {
        const uint32_t digit = HexDigit(text_[at_]);
        value = value * 16 + digit;
        if (digit == 16 || value > 0x10ffff) throw Wrong("a \\u{} that is no code point");
      }
      if (at_ == begin || !Take("}")) throw Wrong("a \\u{} that is no code point");
      return value;
    }
    const uint32_t high = Hex(4);
    if (high < 0xd800 || high > 0xdbff || !AtText("\\u") || AtText("\\u{")) return high;
    const size_t after_high = at_;
    at_ += 2;
    const uint32_t low = Hex(4);
    if (low >= 0xdc00 && low <= 0xdfff) return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
    at_ = after_high;
    return high;
  }

  // After \p.
  CodePoints Property() {
    const size_t end = text_.find('}', at_);
    if (!At('{') || end == text_.npos) throw Wrong("a \\p without a {property}");
    const std::string_view name = text_.substr(at_ + 1, end - at_ - 1);
    const auto known = properties_.find(name);
    if (known != properties_.end()) {
      at_ = end + 1;
      return known->second;
    }
    std::optional<CodePoints> chars = UnicodeProperty(name);
    if (!chars) throw Unknown(fmt::format("the property {:?}", CutUtf8(name, kMaxShown)));
    if (properties_.size() == kMaxProperties)
      throw Unknown(fmt::format("more than {} different properties", kMaxProperties));
    at_ = end + 1;
    return properties_[name] = *std::move(chars);
  }

  uint32_t CodePoint() {
    const auto lead = static_cast<uint8_t>(text_[at_]);
    const size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    const std::vector<uint32_t> decoded = DecodeUtf8(text_.substr(at_, length));
    at_ = std::min(at_ + length, text_.size());
    return decoded[0];
  }

  std::string_view text_;
  std::string_view where_;
  RegexTree tree_;
  std::map<std::string_view, CodePoints> properties_;  // by name
  std::map<std::string_view, uint32_t> groups_;        // by name
  uint32_t num_groups_ = 0;
  std::vector<std::pair<Node, std::string_view>> references_;  // and the names of their groups
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

RegexTree ParseRegex(std::string_view regex, std::string_view where) { return Parser(regex, where).Parse(); }

const CodePoints& WordChars() {
  static const CodePoints chars = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
  return chars;
}

std::string NameOfPattern(std::string_view where, std::string_view regex) {
  if (regex.size() <= kMaxShown) return fmt::format("{}: the pattern {:?}", where, regex);
  return fmt::format("{}: the pattern {:?}...", where, CutUtf8(regex, kMaxShown));
}

}  // namespace throng::llm
