#include "llm/grammar/gbnf.h"

#include <algorithm>
#include <map>

#include "base/check.h"
#include "llm/regular/regular.h"

namespace throng::llm {
namespace {

std::string Literal(const std::string& bytes) {
  std::string literal = "\"";
  for (const char c : bytes) {
    if (c == '"' || c == '\\') {
      literal += {'\\', c};
    } else if (static_cast<uint8_t>(c) < 0x20) {
      literal += fmt::format("\\x{:02x}", static_cast<int>(c));
    } else {
      literal += c;
    }
  }
  return literal + '"';
}

// A set of code points as [...], all of them in numbers: nothing needs quoting then.
std::string CharClass(const CodePoints& ranges) {
  const auto number = [](uint32_t code_point) {
    return code_point < 0x100     ? fmt::format("\\x{:02x}", code_point)
           : code_point < 0x10000 ? fmt::format("\\u{:04x}", code_point)
                                  : fmt::format("\\U{:08x}", code_point);
  };
  std::string text = "[";
  for (const auto& [first, last] : ranges) {
    text += number(first);
    if (last > first) text += "-" + number(last);
  }
  return text + "]";
}

// A char of a JSON string. What is escaped comes last, and by common beginnings: the server tries one
// alternative after the other on all tokens of its vocabulary.
std::string StringChar(const CodePoints& chars) {
  CodePoints plain;
  std::map<std::string, CodePoints> escaped;  // by all but the last char of the escape
  for (const auto& [first, last] : chars) {
    uint32_t begin = first;
    for (uint32_t c = first; c <= std::min<uint32_t>(last, '\\'); ++c) {
      std::string text;
      AppendStringChar(c, text);
      if (text.size() == 1) continue;
      if (begin < c) plain.emplace_back(begin, c - 1);
      begin = c + 1;
      const auto end = static_cast<uint8_t>(text.back());
      text.pop_back();
      escaped[text].emplace_back(end, end);
    }
    if (begin <= last) plain.emplace_back(begin, last);
  }
  std::string text = plain.empty() ? "" : CharClass(plain);
  for (const auto& [begin, ends] : escaped) {
    if (!text.empty()) text += " | ";
    text += Literal(begin) + " " + CharClass(Normalised(ends));
  }
  return text;
}

// What a rule of a rule of ... is, in the end. Rules that go round in circles are left recursions, which the
// server refuses.
Grammar::Node Behind(const Grammar& grammar, Grammar::Node node) {
  for (size_t i = 0; i < grammar.Size() && grammar[node].kind == Grammar::Kind::kRule; ++i)
    node = grammar[node].children[0];
  return node;
}

// A rule for each state but the first, which is the text so far.
std::string Texts(const Grammar::Item& item, Grammar::Node node) {
  const Regular& texts = *item.texts;
  const bool in_string = item.kind == Grammar::Kind::kStringTexts;
  std::string text;
  for (size_t i = 0; i < texts.States().size(); ++i) {
    const Regular::State& state = texts.States()[i];
    std::string choices;
    for (const Regular::Edge& edge : state.edges) {
      const CodePoints& chars = texts.Classes()[edge.chars];
      if (!choices.empty()) choices += " | ";
      choices +=
          fmt::format("({}) r{}s{}", in_string ? StringChar(chars) : CharClass(chars), node, edge.next);
    }
    if (state.accepts) choices += choices.empty() ? "\"\"" : " | \"\"";
    text += i == 0 ? fmt::format("r{}s0\nr{}s0 ::= {}", node, node, choices)
                   : fmt::format("\nr{}s{} ::= {}", node, i, choices);
  }
  return text;
}

// Literals stand where they are used, everything else has a rule of its own.
std::string Use(const Grammar& grammar, Grammar::Node node) {
  node = Behind(grammar, node);
  const Grammar::Item& item = grammar[node];
  return item.kind == Grammar::Kind::kBytes ? Literal(item.bytes) : fmt::format("r{}", node);
}

std::string Rule(const Grammar& grammar, Grammar::Node node) {
  const Grammar::Item& item = grammar[node];
  const auto join = [&](const char* between) {
    std::string text;
    for (const Grammar::Node child : item.children) {
      if (!text.empty()) text += between;
      text += Use(grammar, child);
    }
    return text;
  };
  switch (item.kind) {
    case Grammar::Kind::kBytes:
      return Literal(item.bytes);
    case Grammar::Kind::kStringChar:
      return StringChar(item.chars);
    case Grammar::Kind::kChar:
      return CharClass(item.chars);
    case Grammar::Kind::kStringTexts:
    case Grammar::Kind::kTexts:
      return Texts(item, node);
    case Grammar::Kind::kRule:
      return Use(grammar, item.children[0]);
    case Grammar::Kind::kSequence:
      return item.children.empty() ? "\"\"" : join(" ");
    case Grammar::Kind::kChoice:
      return item.children.empty() ? "[^\\x00-\\U0010ffff]" : join(" | ");
    case Grammar::Kind::kRepeat:
      if (item.max == 0) return "\"\"";
      return fmt::format("({}){{{},{}}}", Use(grammar, item.children[0]), item.min,
                         item.max == Grammar::kUnbounded ? "" : std::to_string(item.max));
  }
  THRONG_CHECK(false);
}

// Whether another rule refers to the node, such as the root of a recursion.
bool IsUsed(const Grammar& grammar, const std::vector<Grammar::Node>& nodes, Grammar::Node node) {
  return std::any_of(nodes.begin(), nodes.end(), [&](Grammar::Node other) {
    const std::vector<Grammar::Node>& children = grammar[other].children;
    return other != grammar.Root() && std::any_of(children.begin(), children.end(), [&](Grammar::Node child) {
             return Behind(grammar, child) == node;
           });
  });
}

}  // namespace

std::string ToGbnf(const Grammar& grammar) {
  const Grammar::Node root = Behind(grammar, grammar.Root());
  std::string text = "root ::= " + Rule(grammar, root);
  const std::vector<Grammar::Node> nodes = grammar.Order();
  for (size_t i = nodes.size(); i-- > 0;) {
    const Grammar::Node node = nodes[i];
    const Grammar::Kind kind = grammar[node].kind;
    if (kind == Grammar::Kind::kBytes || kind == Grammar::Kind::kRule) continue;
    if (node != root || IsUsed(grammar, nodes, node))
      text += fmt::format("\nr{} ::= {}", node, Rule(grammar, node));
  }
  return text;
}

}  // namespace throng::llm
