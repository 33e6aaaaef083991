#include "llm/grammar/grammar.h"

#include <algorithm>

#include "base/check.h"
#include "llm/grammar/json_schema.h"

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

int64_t LongestChar(const CodePoints& chars) {
  size_t longest = 0;
  std::string text;
  const auto measure = [&](uint32_t code_point) {
    text.clear();
    AppendStringChar(code_point, text);
    longest = std::max(longest, text.size());
  };
  for (const auto& [first, last] : chars) {
    measure(last);
    for (uint32_t c = first; c <= std::min(last, 0x5cu); ++c) measure(c);  // where the escapes are
  }
  return static_cast<int64_t>(longest);
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
  items_.push_back(std::move(item));
  root_ = static_cast<Node>(items_.size() - 1);
  return root_;
}

Grammar::Node Grammar::Bytes(std::string bytes) {
  return Add({.kind = Kind::kBytes, .bytes = std::move(bytes), .chars = {}, .children = {}});
}

Grammar::Node Grammar::StringChar(CodePoints chars) {
  THRONG_CHECK(!chars.empty());
  return Add({.kind = Kind::kStringChar, .bytes = {}, .chars = std::move(chars), .children = {}});
}

Grammar::Node Grammar::Sequence(std::vector<Node> children) {
  return Add({.kind = Kind::kSequence, .bytes = {}, .chars = {}, .children = std::move(children)});
}

Grammar::Node Grammar::Choice(std::vector<Node> children) {
  THRONG_CHECK(!children.empty());
  return Add({.kind = Kind::kChoice, .bytes = {}, .chars = {}, .children = std::move(children)});
}

Grammar::Node Grammar::Repeat(Node child, int64_t min, int64_t max) {
  THRONG_CHECK(min >= 0 && (max == kUnbounded || max >= min));
  return Add({.kind = Kind::kRepeat, .bytes = {}, .chars = {}, .children = {child}, .min = min, .max = max});
}

std::optional<int64_t> Grammar::LongestBytes() const {
  std::vector<int64_t> longest(items_.size());
  for (size_t i = 0; i < items_.size(); ++i) {
    const Item& item = items_[i];
    int64_t& length = longest[i];
    switch (item.kind) {
      case Kind::kBytes:
        length = static_cast<int64_t>(item.bytes.size());
        break;
      case Kind::kStringChar:
        length = LongestChar(item.chars);
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
    }
  }
  const int64_t length = longest[root_];
  return length == kUnbounded ? std::nullopt : std::optional<int64_t>(length);
}

std::pair<int64_t, int64_t> Grammar::CharCount(Node node) const {
  std::vector<std::pair<int64_t, int64_t>> counts(node + 1);
  for (size_t i = 0; i <= node; ++i) {
    const Item& item = items_[i];
    auto& [low, high] = counts[i];
    switch (item.kind) {
      case Kind::kBytes:
        break;
      case Kind::kStringChar:
        low = high = 1;
        break;
      case Kind::kSequence:
        for (const Node child : item.children) {
          low = std::min(low + counts[child].first, kTooLong);
          high = Plus(high, counts[child].second);
        }
        break;
      case Kind::kChoice:
        counts[i] = counts[item.children[0]];
        for (const Node child : item.children) {
          low = std::min(low, counts[child].first);
          high = Max(high, counts[child].second);
        }
        break;
      case Kind::kRepeat: {
        const auto& child = counts[item.children[0]];
        const int64_t least = Times(child.first, item.min);
        low = least == kUnbounded ? kTooLong : least;
        high = Times(child.second, item.max);
        break;
      }
    }
  }
  return counts[node];
}

void AppendUtf8(uint32_t code_point, std::string& out) {
  const auto put = [&](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code_point < 0x80) return put(code_point);
  if (code_point < 0x800) {
    put(0xc0 | code_point >> 6);
  } else {
    if (code_point < 0x10000) {
      put(0xe0 | code_point >> 12);
    } else {
      put(0xf0 | code_point >> 18);
      put(0x80 | (code_point >> 12 & 0x3f));
    }
    put(0x80 | (code_point >> 6 & 0x3f));
  }
  put(0x80 | (code_point & 0x3f));
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
  if (!constraint.choices.empty()) {
    if (!constraint.json_schema.empty()) {
      throw MakeError(
          ErrorCode::kInvalid,
          "a request has both choices and a JSON schema, but only one of them can constrain its answer");
    }
    std::vector<Grammar::Node> choices;
    for (const std::string& choice : constraint.choices) choices.push_back(grammar.Bytes(choice));
    grammar.SetRoot(grammar.Choice(std::move(choices)));
    return grammar;
  }
  THRONG_CHECK(!constraint.json_schema.empty());
  grammar.SetRoot(LowerJsonSchema(constraint.json_schema, grammar));
  return grammar;
}

}  // namespace throng::llm
