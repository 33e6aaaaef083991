// The language of a constraint's answers as a small regular expression. Choices and JSON schemas are lowered
// to it; matching (automaton.h), made-up answers (answer_maker.h) and length bounds are computed from it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "llm/llm.h"

namespace throng::llm {

// A set of Unicode code points as sorted, disjoint, non-adjacent ranges [first, second].
using CodePoints = std::vector<std::pair<uint32_t, uint32_t>>;

// Sorts and merges ranges, and drops surrogates and code points above U+10FFFF.
CodePoints Normalised(CodePoints ranges);
CodePoints Complement(const CodePoints& ranges);

// An expression over bytes. Nodes refer to earlier nodes only: there is no recursion, so every grammar is a
// finite automaton.
class Grammar {
 public:
  using Node = uint32_t;
  static constexpr int64_t kUnbounded = -1;
  static constexpr int64_t kMaxRepeat = 1 << 20;

  enum class Kind {
    kBytes,       // exactly these bytes
    kStringChar,  // one code point of a set, as it is written inside a JSON string: quotes, backslashes and
                  // control characters escaped in the shortest way, all else in UTF-8
    kSequence,    // all children, in order
    kChoice,      // one of the children; at least one
    kRepeat,      // the only child, min to max times
  };

  struct Item {
    Kind kind;
    std::string bytes;
    CodePoints chars;
    std::vector<Node> children;
    int64_t min = 0;
    int64_t max = 0;  // or kUnbounded
  };

  Node Bytes(std::string bytes);
  Node StringChar(CodePoints chars);  // not empty
  Node Sequence(std::vector<Node> children);
  Node Choice(std::vector<Node> children);
  Node Repeat(Node child, int64_t min, int64_t max);
  Node Optional(Node child) { return Repeat(child, 0, 1); }

  const Item& operator[](Node node) const { return items_[node]; }
  size_t Size() const { return items_.size(); }
  Node Root() const { return root_; }
  void SetRoot(Node node) { root_ = node; }

  // The most bytes that the expression matches; empty if there is no bound (or none below 2^40).
  std::optional<int64_t> LongestBytes() const;
  // Length range in kStringChar items, for patterns; max is kUnbounded if there is no bound.
  std::pair<int64_t, int64_t> CharCount(Node node) const;

 private:
  Node Add(Item item);

  std::vector<Item> items_;
  Node root_ = 0;
};

// The grammar of a constraint that is not empty. Throws kInvalid or kUnsupported with the path in the schema.
Grammar CompileGrammar(const Constraint& constraint);

// Append a code point in UTF-8, or as it is written inside a JSON string.
void AppendUtf8(uint32_t code_point, std::string& out);
void AppendStringChar(uint32_t code_point, std::string& out);

}  // namespace throng::llm
