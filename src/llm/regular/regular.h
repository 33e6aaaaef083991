// Regular languages of texts, as automata over Unicode code points: what a pattern, a format, a range of
// numbers or a length allows, and what they allow together. How the characters are spelt in an answer
// (escaped in JSON, or plain) is the grammar's business (llm/grammar).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "llm/grammar/grammar.h"

namespace throng::llm {

// Sets of code points taken apart into disjoint classes.
struct Partition {
  std::vector<CodePoints> classes;
  std::vector<std::vector<uint32_t>> parts;  // [set] -> the classes that make it up
};
// Throws kInvalid if the sets overlap in too many ways: "{what} has ...".
Partition PartitionOf(const std::vector<CodePoints>& sets, std::string_view what);

// Immutable. The functions below throw kInvalid if the result needs more than kMaxStates states or kMaxEdges
// edges: "{what} needs more than ...".
class Regular {
 public:
  static constexpr size_t kMaxStates = 1 << 16;
  static constexpr size_t kMaxEdges = 1 << 20;

  struct Edge {
    uint32_t chars;  // index of a class
    uint32_t next;   // index of a state
  };
  struct State {
    bool accepts = false;
    std::vector<Edge>
        edges;  // more than one can have the same class: the automaton need not be deterministic
  };

  Regular() = default;  // allows no text
  // The classes are disjoint and not empty; state 0 is the start. States that no text reaches, or from which
  // none is completed, are dropped.
  Regular(std::vector<CodePoints> classes, std::vector<State> states);

  bool Empty() const { return states_.empty(); }
  const std::vector<CodePoints>& Classes() const { return classes_; }
  const std::vector<State>& States() const { return states_; }

  bool Matches(std::string_view utf8) const;

 private:
  std::vector<CodePoints> classes_;
  std::vector<State> states_;
};

Regular Literal(std::string_view utf8);
// min to max characters of a set; max may be Grammar::kUnbounded.
Regular Chars(const CodePoints& set, int64_t min, int64_t max, std::string_view what);

Regular Union(const Regular& a, const Regular& b, std::string_view what);
Regular Concatenation(const Regular& a, const Regular& b, std::string_view what);
Regular Intersection(const Regular& a, const Regular& b, std::string_view what);
// The same language, each state with one edge for a character at most, and the fewest states.
Regular Deterministic(const Regular& a, std::string_view what);
bool IsDeterministic(const Regular& a);
// All texts that `a` does not allow; deterministic, too.
Regular Complement(const Regular& a, std::string_view what);

// Deterministic, or unchanged where that would be much larger.
Regular Reduced(const Regular& a);

// The texts of min to max characters (or Grammar::kUnbounded) of a language.
Regular WithLength(const Regular& a, int64_t min, int64_t max, std::string_view what);

// A language of min to max characters, all of one set.
struct Run {
  CodePoints set;
  int64_t min;
  int64_t max;  // or Grammar::kUnbounded
};
// The run that the language is, if it is one.
std::optional<Run> AsRun(const Regular& a);

// The code points of a text; bytes that are no UTF-8 become U+FFFD.
std::vector<uint32_t> DecodeUtf8(std::string_view utf8);

}  // namespace throng::llm
