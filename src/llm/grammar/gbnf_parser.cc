#include "llm/grammar/gbnf_parser.h"

#include <algorithm>
#include <map>
#include <string>

#include "base/text/utf8.h"

namespace throng::llm {
namespace {

constexpr size_t kMaxBytes = 1 << 20;
constexpr int kMaxDepth = 64;  // groups within groups: the parser recurses

bool IsNameChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

class Parser {
 public:
  Parser(std::string_view text, Grammar& grammar) : text_(text), grammar_(grammar) {}

  Grammar::Node Parse() {
    for (SkipSpace(true); at_ < text_.size(); SkipSpace(true)) Rule();
    for (const auto& [name, rule] : rules_) {
      if (rule.is_defined) continue;
      at_ = rule.first_use;
      throw Wrong(fmt::format("the rule {} is used, but not defined", name.substr(0, 60)));
    }
    const auto root = rules_.find("root");
    if (root == rules_.end()) throw MakeError(ErrorCode::kInvalid, "grammar: it has no rule root");
    return root->second.node;
  }

 private:
  struct Named {
    Grammar::Node node;
    bool is_defined = false;
    size_t first_use = 0;
  };

  Error Wrong(std::string_view what, ErrorCode code = ErrorCode::kInvalid) const {
    const std::string_view before = text_.substr(0, at_);
    const auto line = std::count(before.begin(), before.end(), '\n') + 1;
    const size_t begin = before.rfind('\n') + 1;  // 0 if there is none
    return MakeError(code, "grammar: line {}, column {}: {}", line, at_ - begin + 1, what);
  }

  bool At(char c) const { return at_ < text_.size() && text_[at_] == c; }
  bool Take(char c) {
    if (!At(c)) return false;
    ++at_;
    return true;
  }
  void Need(char c, std::string_view what) {
    if (!Take(c)) throw Wrong(fmt::format("expected {:?} {}", std::string(1, c), what));
  }

  void SkipSpace(bool newlines) {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (c == ' ' || c == '\t' || (newlines && (c == '\n' || c == '\r'))) {
        ++at_;
      } else {
        break;
      }
    }
  }

  std::string Name() {
    const size_t begin = at_;
    while (at_ < text_.size() && IsNameChar(text_[at_])) ++at_;
    if (at_ == begin) throw Wrong("expected the name of a rule");
    return std::string(text_.substr(begin, at_ - begin));
  }

  Named& RuleOf(const std::string& name, size_t where) {
    const auto [found, is_new] = rules_.try_emplace(name);
    if (is_new) found->second = {grammar_.DeclareRule(name), false, where};
    return found->second;
  }

  void Rule() {
    const size_t begin = at_;
    const std::string name = Name();
    SkipSpace(false);
    if (text_.substr(at_, 3) != "::=")
      throw Wrong(fmt::format("expected ::= after the name {}", name.substr(0, 60)));
    at_ += 3;
    SkipSpace(true);
    Named& rule = RuleOf(name, begin);
    if (rule.is_defined) throw Wrong(fmt::format("the rule {} is defined a second time", name.substr(0, 60)));
    rule.is_defined = true;
    grammar_.Define(rule.node, Alternatives(false));
    if (at_ < text_.size() && !At('\n') && !At('\r')) throw Wrong("expected the end of the rule");
  }

  Grammar::Node Alternatives(bool in_group) {
    if (++depth_ > kMaxDepth) throw Wrong("groups are nested too deeply");
    std::vector<Grammar::Node> choices = {Pieces(in_group)};
    while (Take('|')) {
      SkipSpace(true);
      choices.push_back(Pieces(in_group));
    }
    --depth_;
    return choices.size() == 1 ? choices[0] : grammar_.Choice(std::move(choices));
  }

  Grammar::Node Pieces(bool in_group) {
    std::vector<Grammar::Node> pieces;
    while (at_ < text_.size() && !At('|') && !At(')') && !At('\n') && !At('\r')) {
      Grammar::Node piece = Piece();
      // Several operators apply one after the other, with spaces between them or not.
      for (SkipSpace(in_group);
           at_ < text_.size() && std::string_view("*+?{").find(text_[at_]) != std::string_view::npos;
           SkipSpace(in_group)) {
        piece = Repeated(piece);
      }
      pieces.push_back(piece);
    }
    return pieces.size() == 1 ? pieces[0] : grammar_.Sequence(std::move(pieces));
  }

  Grammar::Node Piece() {
    const char c = text_[at_];
    if (c == '"') return Literal();
    if (c == '[') return Class();
    if (c == '<' || c == '!')
      throw Wrong("tokens of a vocabulary (<...>) are not supported: spell the text",
                  ErrorCode::kUnsupported);
    if (Take('.')) return grammar_.Char(Normalised({{0, 0x10ffff}}));
    if (Take('(')) {
      SkipSpace(true);
      const Grammar::Node group = Alternatives(true);
      Need(')', "at the end of a group");
      return group;
    }
    if (!IsNameChar(c))
      throw Wrong(fmt::format("found {:?}, where a literal, a class, a group or the name of a rule can stand",
                              std::string(text_.substr(at_, 1))));
    const size_t begin = at_;
    const std::string name = Name();
    return RuleOf(name, begin).node;
  }

  Grammar::Node Repeated(Grammar::Node piece) {
    if (Take('*')) return grammar_.Repeat(piece, 0, Grammar::kUnbounded);
    if (Take('+')) return grammar_.Repeat(piece, 1, Grammar::kUnbounded);
    if (Take('?')) return grammar_.Optional(piece);
    Need('{', "");
    SkipSpace(false);
    const int64_t min = Number();
    int64_t max = min;
    SkipSpace(false);
    if (Take(',')) {
      SkipSpace(false);
      max = At('}') ? Grammar::kUnbounded : Number();
      SkipSpace(false);
    }
    Need('}', "at the end of a repeat count");
    if (max != Grammar::kUnbounded && max < min) throw Wrong("a repeat has its minimum above its maximum");
    return grammar_.Repeat(piece, min, max);
  }

  int64_t Number() {
    const size_t begin = at_;
    int64_t value = 0;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      value = value * 10 + (text_[at_] - '0');
      if (value > Grammar::kMaxRepeat)
        throw Wrong(fmt::format("a repeat count is above {}", Grammar::kMaxRepeat));
    }
    if (at_ == begin) throw Wrong("expected a repeat count");
    return value;
  }

  Grammar::Node Literal() {
    ++at_;
    std::string bytes;
    while (!At('"')) {
      if (at_ == text_.size() || At('\n')) throw Wrong("a literal has no \" at its end");
      AppendUtf8(Character(), bytes);
    }
    ++at_;
    return grammar_.Bytes(std::move(bytes));
  }

  Grammar::Node Class() {
    ++at_;
    const bool is_negated = Take('^');
    CodePoints chars;
    while (!At(']')) {
      if (at_ == text_.size()) throw Wrong("a class has no ] at its end");
      const uint32_t first = Character();
      uint32_t last = first;
      if (At('-') && at_ + 1 < text_.size() && text_[at_ + 1] != ']') {
        ++at_;
        last = Character();
        if (last < first) throw Wrong("a range of characters ends below its begin");
      }
      chars.emplace_back(first, last);
    }
    ++at_;
    chars = Normalised(std::move(chars));
    if (is_negated) chars = Complement(chars);
    return chars.empty() ? grammar_.Choice({}) : grammar_.Char(std::move(chars));
  }

  uint32_t Character() {
    if (At('\\')) return Escape();
    const auto lead = static_cast<uint8_t>(text_[at_]);
    const int tail = lead < 0x80   ? 0
                     : lead < 0xc0 ? -1
                     : lead < 0xe0 ? 1
                     : lead < 0xf0 ? 2
                     : lead < 0xf8 ? 3
                                   : -1;
    if (tail < 0 || at_ + static_cast<size_t>(tail) >= text_.size()) throw Wrong("the text is no UTF-8");
    uint32_t value = tail == 0 ? lead : lead & (0x3fu >> tail);
    for (int i = 1; i <= tail; ++i) {
      const auto byte = static_cast<uint8_t>(text_[at_ + static_cast<size_t>(i)]);
      if ((byte & 0xc0) != 0x80) throw Wrong("the text is no UTF-8");
      value = value << 6 | (byte & 0x3f);
    }
    at_ += static_cast<size_t>(tail) + 1;
    if (value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) throw Wrong("the text is no UTF-8");
    return value;
  }

  uint32_t Escape() {
    if (at_ + 1 >= text_.size()) throw Wrong("a \\ has nothing after it");
    const char c = text_[at_ + 1];
    static const std::map<char, uint32_t> kPlain = {{'n', '\n'}, {'r', '\r'},  {'t', '\t'},
                                                    {'"', '"'},  {'\\', '\\'}, {'[', '['},
                                                    {']', ']'},  {'-', '-'},   {'^', '^'}};
    if (const auto found = kPlain.find(c); found != kPlain.end()) {
      at_ += 2;
      return found->second;
    }
    const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (digits == 0)
      throw Wrong("an escape is none of \\n \\r \\t \\\" \\\\ \\[ \\] \\- \\^ \\xHH \\uHHHH \\UHHHHHHHH");
    uint32_t value = 0;
    for (size_t i = 0; i < digits; ++i) {
      const char d = at_ + 2 + i < text_.size() ? text_[at_ + 2 + i] : ' ';
      const int digit = d >= '0' && d <= '9'   ? d - '0'
                        : d >= 'a' && d <= 'f' ? d - 'a' + 10
                        : d >= 'A' && d <= 'F' ? d - 'A' + 10
                                               : -1;
      if (digit < 0 || value > 0x10ffff)
        throw Wrong(fmt::format("\\{} needs {} hexadecimal digits of a code point", c, digits));
      value = value * 16 + static_cast<uint32_t>(digit);
    }
    if (value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
      throw Wrong("an escape is no code point of Unicode");
    at_ += 2 + digits;
    return value;
  }

  std::string_view text_;
  Grammar& grammar_;
  size_t at_ = 0;
  int depth_ = 0;
  std::map<std::string, Named> rules_;
};

}  // namespace

Grammar::Node ParseGbnf(std::string_view text, Grammar& grammar) {
  if (text.size() > kMaxBytes)
    throw MakeError(ErrorCode::kInvalid, "grammar: it has {} bytes, more than {}", text.size(), kMaxBytes);
  return Parser(text, grammar).Parse();
}

}  // namespace throng::llm
