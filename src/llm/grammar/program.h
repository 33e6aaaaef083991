// A grammar laid out for matching: positions with edges over bytes, and bodies of rules and counted loops,
// which positions call. What a text reaches in it is automaton.h's.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "llm/grammar/grammar.h"

namespace throng::llm {

class Program {
 public:
  using Pos = uint32_t;
  static constexpr Pos kEnd = 0;     // of the text
  static constexpr Pos kReturn = 1;  // the end of a body
  static constexpr Pos kHole = 2;    // the end of a body whose caller is not known

  static constexpr size_t kMaxPositions = 1 << 20;
  static constexpr uint32_t kMaxDepth = 512;  // calls within calls, of rules and loops alike

  enum class Kind : uint8_t {
    kByte,    // one of the edges, with its byte
    kFork,    // one of the edges, without a byte
    kCall,    // the body, then `next`
    kReturn,  // back to the caller
  };
  // Plain text: the code points that JSON strings hold as they are, from U+0020 but '"' and '\\'. What
  // follows a position is often the same for all of it.
  enum class PlainText : uint8_t {
    kNone,  // no edge
    kAll,   // each character of it has edges, to the same positions
    kSome,  // the edges differ
  };
  struct Edge {
    uint8_t low;
    uint8_t high;
    Pos next;
  };
  struct Position {
    Kind kind;
    uint32_t first;   // of its edges; kCall: the body
    uint32_t number;  // of edges; kCall: next
  };
  // A rule's body runs once, a loop's min to max times. An iteration of a loop has at least one byte.
  struct Body {
    Pos entry = 0;
    bool is_loop = false;
    bool nullable = false;  // the call may be skipped
    int64_t min = 1;
    int64_t max = 1;   // or Grammar::kUnbounded
    std::string name;  // of the rule, or of the one around it
  };

  // Throws kInvalid if the grammar needs too many positions, calls itself without a byte before (left
  // recursion), or allows no text within kMaxDepth. has_byte: [256], those that texts may hold; null: all.
  Program(const Grammar& grammar, const bool* has_byte);

  Pos Entry() const { return entry_; }
  const Position& operator[](Pos pos) const { return positions_[pos]; }
  const Edge* EdgesOf(const Position& position) const { return &edges_[position.first]; }
  const Body& BodyAt(uint32_t body) const { return bodies_[body]; }
  size_t NumPositions() const { return positions_.size(); }
  size_t NumBodies() const { return bodies_.size(); }
  // The calls within calls that the shortest way from here to kReturn needs.
  uint32_t Need(Pos pos) const { return need_[pos]; }
  // Of a position of kind kByte.
  PlainText PlainTextAt(Pos pos) const { return text_[pos]; }

 private:
  class Builder;

  void LayOut(const Grammar& grammar);  // program_builder.cc
  void KeepOnly(const bool* has_byte);
  void FindPlainText();
  void RefuseLeftRecursion() const;
  void FindNeeds();

  std::vector<Position> positions_;
  std::vector<Edge> edges_;
  std::vector<Body> bodies_;
  std::vector<uint32_t> need_;
  std::vector<PlainText> text_;
  Pos entry_ = 0;
};

}  // namespace throng::llm
