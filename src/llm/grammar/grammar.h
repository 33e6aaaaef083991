// The language of a constraint's answers: expressions over bytes, and rules that may recurse. Choices, JSON
// schemas, regular expressions and grammars in GBNF are lowered to it; matching (automaton.h), made-up
// answers (answer_maker.h) and length bounds are computed from it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "llm/llm.h"

namespace throng::llm {

class Regular;  // llm/regular/regular.h

// A set of Unicode code points as sorted, disjoint, non-adjacent ranges [first, second].
using CodePoints = std::vector<std::pair<uint32_t, uint32_t>>;

// Sorts and merges ranges, and drops surrogates and code points above U+10FFFF.
CodePoints Normalised(CodePoints ranges);
CodePoints Complement(const CodePoints& ranges);

// A context-free grammar. Nodes refer to earlier nodes only, except rules, which get their bodies later. A
// node may be used in several places.
class Grammar {
 public:
  using Node = uint32_t;
  static constexpr int64_t kUnbounded = -1;
  static constexpr int64_t kMaxRepeat = 1 << 20;

  enum class Kind {
    kBytes,        // exactly these bytes
    kStringChar,   // one code point of a set, as it is written inside a JSON string: quotes, backslashes and
                   // control characters escaped in the shortest way, all else in UTF-8
    kChar,         // one code point of a set, in UTF-8
    kStringTexts,  // a text of `texts`, its code points written as in kStringChar
    kTexts,        // a text of `texts` in UTF-8
    kSequence,     // all children, in order
    kChoice,       // one of the children; without any, no text matches
    kRepeat,       // the only child, min to max times
    kRule,         // the only child, its body; `bytes` is its name
  };

  struct Item {
    Kind kind;
    std::string bytes;
    CodePoints chars;
    std::shared_ptr<const Regular> texts;
    std::vector<Node> children;
    int64_t min = 0;
    int64_t max = 0;  // or kUnbounded
  };

  Node Bytes(std::string bytes);
  Node StringChar(CodePoints chars);  // not empty
  Node Char(CodePoints chars);        // not empty
  Node StringTexts(Regular texts);
  Node Texts(Regular texts);
  Node Sequence(std::vector<Node> children);
  Node Choice(std::vector<Node> children);
  Node Repeat(Node child, int64_t min, int64_t max);
  Node Optional(Node child) { return Repeat(child, 0, 1); }
  // A rule, to be used any number of times before and after Define gives it its body, once.
  Node DeclareRule(std::string name);
  void Define(Node rule, Node body);

  const Item& operator[](Node node) const { return items_[node]; }
  size_t Size() const { return items_.size(); }
  Node Root() const { return root_; }
  void SetRoot(Node node) { root_ = node; }

  // The nodes that the root needs, each after its children; of a recursion, some rule comes before its body.
  std::vector<Node> Order() const;
  // The most bytes that the expression matches; empty if there is no bound (or none below 2^40).
  std::optional<int64_t> LongestBytes() const;

 private:
  Node Add(Item item);
  Node AddTexts(Regular texts, Kind text, Kind one_char);

  std::vector<Item> items_;
  Node root_ = 0;
};

// The grammar of a constraint that is not empty. Throws kInvalid or kUnsupported with the path in the schema,
// or the place in the grammar or expression.
Grammar CompileGrammar(const Constraint& constraint);

// The same as a part of a grammar.
Grammar::Node LowerConstraint(const Constraint& constraint, Grammar& grammar);

// Appends a code point as it is written inside a JSON string.
void AppendStringChar(uint32_t code_point, std::string& out);

}  // namespace throng::llm
