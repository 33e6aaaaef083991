#include "llm/grammar/grammar.h"

#include <algorithm>

#include "base/check.h"
#include "base/text/utf8.h"
#include "llm/effort.h"
#include "llm/grammar/gbnf_parser.h"
#include "llm/grammar/json_schema.h"
#include "llm/regular/pattern.h"
#include "llm/regular/regular.h"

namespace throng::llm {
namespace {

constexpr int64_t kTooLong = int64_t{1} << 40;

// Saturating, so that nested repeats cannot overflow: above kTooLong there is no bound.
int64_t Plus(int64_t a, int64_t b) {
  if (a == Grammar::kUnbounded || b == Grammar::kUnbounded || a + b > kTooLong) return Grammar::kUnbounded;
  return a + b;
}

int64_t Times(int64_t a, int64_t b) {
  if (a == 0 || b == 0) return 0;
  if (a == Grammar::kUnbounded || b == Grammar::kUnbounded || a > kTooLong / b) return Grammar::kUnbounded;
  return a * b;
}

int64_t Max(int64_t a, int64_t b) {
  return a == Grammar::kUnbounded || b == Grammar::kUnbounded ? Grammar::kUnbounded : std::max(a, b);
}

int64_t LongestChar(const CodePoints& chars, bool escaped) {
  size_t longest = 0;
  std::string text;
  const auto measure = [&](uint32_t code_point) {
    text.clear();
    escaped ? AppendStringChar(code_point, text) : AppendUtf8(code_point, text);
    longest = std::max(longest, text.size());
  };
  for (const auto& [first, last] : chars) {
    measure(last);
    if (!escaped) continue;
    for (uint32_t c = first; c <= std::min(last, 0x1fu); ++c) measure(c);
    for (const uint32_t c : {uint32_t{'"'}, uint32_t{'\\'}})
      if (first <= c && c <= last) measure(c);
  }
  return static_cast<int64_t>(longest);
}

// Without a bound if a state leads back to itself: each of them is completed by some text.
int64_t LongestText(const Regular& texts, bool escaped) {
  constexpr int64_t kUnknown = -2, kOnPath = -3;
  const std::vector<Regular::State>& states = texts.States();
  std::vector<int64_t> chars;
  for (const CodePoints& set : texts.Classes()) chars.push_back(LongestChar(set, escaped));
  std::vector<int64_t> longest(states.size(), kUnknown);
  std::vector<std::pair<uint32_t, size_t>> path = {{0, 0}};
  longest[0] = kOnPath;
  while (!path.empty()) {
    auto& [state, visited] = path.back();
    if (visited < states[state].edges.size()) {
      const uint32_t next = states[state].edges[visited++].next;
      if (longest[next] == kOnPath) return Grammar::kUnbounded;
      if (longest[next] != kUnknown) continue;
      longest[next] = kOnPath;
      path.emplace_back(next, 0);
    } else {
      int64_t length = 0;
      for (const Regular::Edge& edge : states[state].edges)
        length = Max(length, Plus(chars[edge.chars], longest[edge.next]));
      longest[state] = length;
      path.pop_back();
    }
  }
  return longest[0];
}

}  // namespace

CodePoints Normalised(CodePoints ranges) {
  CodePoints cut;  // without surrogates
  for (auto [first, last] : ranges) {
    last = std::min(last, 0x10ffffu);
    if (first > last) continue;
    if (first < 0xd800) cut.emplace_back(first, std::min(last, 0xd7ffu));
    if (last > 0xdfff) cut.emplace_back(std::max(first, 0xe000u), last);
  }
  std::sort(cut.begin(), cut.end());
  CodePoints merged;
  for (const auto& range : cut) {
    if (!merged.empty() && range.first <= merged.back().second + 1) {
      merged.back().second = std::max(merged.back().second, range.second);
    } else {
      merged.push_back(range);
    }
  }
  return merged;
}

CodePoints Complement(const CodePoints& ranges) {
  CodePoints rest;
  uint32_t next = 0;
  for (const auto& [first, last] : ranges) {
    if (first > next) rest.emplace_back(next, first - 1);
    next = last + 1;
  }
  rest.emplace_back(next, 0x10ffff);
  return Normalised(std::move(rest));
}

Grammar::Node Grammar::Add(Item item) {
  for (const Node child : item.children) THRONG_CHECK(child < items_.size());
  Effort::Spend(4 + item.children.size() + item.bytes.size() / 8);
  items_.push_back(std::move(item));
  root_ = static_cast<Node>(items_.size() - 1);
  return root_;
}

Grammar::Node Grammar::Bytes(std::string bytes) {
  return Add({.kind = Kind::kBytes, .bytes = std::move(bytes), .chars = {}, .texts = {}, .children = {}});
}

Grammar::Node Grammar::StringChar(CodePoints chars) {
  THRONG_CHECK(!chars.empty());
  return Add(
      {.kind = Kind::kStringChar, .bytes = {}, .chars = std::move(chars), .texts = {}, .children = {}});
}

Grammar::Node Grammar::Char(CodePoints chars) {
  THRONG_CHECK(!chars.empty());
  return Add({.kind = Kind::kChar, .bytes = {}, .chars = std::move(chars), .texts = {}, .children = {}});
}

Grammar::Node Grammar::StringTexts(Regular texts) {
  return AddTexts(std::move(texts), Kind::kStringTexts, Kind::kStringChar);
}

Grammar::Node Grammar::Texts(Regular texts) { return AddTexts(std::move(texts), Kind::kTexts, Kind::kChar); }

// A run of equal characters is counted, not copied.
Grammar::Node Grammar::AddTexts(Regular texts, Kind text, Kind one_char) {
  if (texts.Empty()) return Choice({});
  if (const std::optional<Run> run = AsRun(texts); run && !run->set.empty()) {
    const Node one = Add({.kind = one_char, .bytes = {}, .chars = run->set, .texts = {}, .children = {}});
    return Repeat(one, run->min, run->max);
  }
  return Add({.kind = text,
              .bytes = {},
              .chars = {},
              .texts = std::make_shared<const Regular>(std::move(texts)),
              .children = {}});
}

Grammar::Node Grammar::Sequence(std::vector<Node> children) {
  return Add(
      {.kind = Kind::kSequence, .bytes = {}, .chars = {}, .texts = {}, .children = std::move(children)});
}

Grammar::Node Grammar::Choice(std::vector<Node> children) {
  return Add({.kind = Kind::kChoice, .bytes = {}, .chars = {}, .texts = {}, .children = std::move(children)});
}

Grammar::Node Grammar::Repeat(Node child, int64_t min, int64_t max) {
  THRONG_CHECK(min >= 0 && (max == kUnbounded || max >= min));
  return Add({.kind = Kind::kRepeat,
              .bytes = {},
              .chars = {},
              .texts = {},
              .children = {child},
              .min = min,
              .max = max});
}

Grammar::Node Grammar::DeclareRule(std::string name) {
  return Add({.kind = Kind::kRule, .bytes = std::move(name), .chars = {}, .texts = {}, .children = {}});
}

void Grammar::Define(Node rule, Node body) {
  THRONG_CHECK(items_[rule].kind == Kind::kRule && items_[rule].children.empty() && body < items_.size());
  items_[rule].children = {body};
}

std::vector<Grammar::Node> Grammar::Order() const {
  std::vector<Node> order;
  std::vector<bool> seen(items_.size());
  std::vector<std::pair<Node, size_t>> path;  // with the number of children that were visited
  const auto visit = [&](Node node) {
    if (seen[node]) return;
    seen[node] = true;
    path.emplace_back(node, 0);
  };
  visit(root_);
  while (!path.empty()) {
    auto& [node, visited] = path.back();
    const std::vector<Node>& children = items_[node].children;
    if (visited < children.size()) {
      visit(children[visited++]);
    } else {
      order.push_back(node);
      path.pop_back();
    }
  }
  return order;
}

std::optional<int64_t> Grammar::LongestBytes() const {
  // A rule that comes before its body is part of a recursion.
  std::vector<int64_t> longest(items_.size(), kUnbounded);
  for (const Node node : Order()) {
    const Item& item = items_[node];
    int64_t length = 0;
    switch (item.kind) {
      case Kind::kBytes:
        length = static_cast<int64_t>(item.bytes.size());
        break;
      case Kind::kStringChar:
      case Kind::kChar:
        length = LongestChar(item.chars, item.kind == Kind::kStringChar);
        break;
      case Kind::kStringTexts:
      case Kind::kTexts:
        length = LongestText(*item.texts, item.kind == Kind::kStringTexts);
        break;
      case Kind::kSequence:
        for (const Node child : item.children) length = Plus(length, longest[child]);
        break;
      case Kind::kChoice:
        for (const Node child : item.children) length = Max(length, longest[child]);
        break;
      case Kind::kRepeat:
        length = Times(longest[item.children[0]], item.max);
        break;
      case Kind::kRule:
        length = longest[item.children[0]];
        break;
    }
    longest[node] = length;
  }
  const int64_t length = longest[root_];
  return length == kUnbounded ? std::nullopt : std::optional<int64_t>(length);
}

void AppendStringChar(uint32_t code_point, std::string& out) {
  switch (code_point) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\b':
      out += "\\b";
      return;
    case '\f':
      out += "\\f";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      break;
  }
  if (code_point < 0x20) {
    out += fmt::format("\\u{:04x}", code_point);
  } else {
    AppendUtf8(code_point, out);
  }
}

Grammar CompileGrammar(const Constraint& constraint) {
  Grammar grammar;
  grammar.SetRoot(LowerConstraint(constraint, grammar));
  return grammar;
}

Grammar::Node LowerConstraint(const Constraint& constraint, Grammar& grammar) {
  const int kinds = !constraint.choices.empty() + !constraint.json_schema.empty() +
                    !constraint.grammar.empty() + !constraint.regex.empty();
  if (kinds > 1) {
    throw MakeError(
        ErrorCode::kInvalid,
        "a request has {} of choices, a JSON schema, a grammar and a regular expression, but only one of "
        "them can constrain its answer",
        kinds);
  }
  THRONG_CHECK(kinds == 1);
  if (!constraint.choices.empty()) {
    std::vector<Grammar::Node> choices;
    for (const std::string& choice : constraint.choices) choices.push_back(grammar.Bytes(choice));
    return grammar.Choice(std::move(choices));
  }
  if (!constraint.json_schema.empty()) return LowerJsonSchema(constraint.json_schema, grammar);
  if (!constraint.grammar.empty()) return ParseGbnf(constraint.grammar, grammar);
  Regular texts = RegexTexts(constraint.regex, "regex");
  if (texts.Empty()) throw MakeError(ErrorCode::kInvalid, "regex: no text matches {:?}", constraint.regex);
  return grammar.Texts(std::move(texts));
}

}  // namespace throng::llm
