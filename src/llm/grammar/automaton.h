// A byte-by-byte matcher of a grammar: a nondeterministic automaton, made deterministic state by state as
// texts reach them.
#pragma once

#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "llm/grammar/grammar.h"

namespace throng::llm {

class Automaton {
 public:
  using State = int32_t;
  static constexpr State kDead = -1;

  // A state that survives Trim().
  struct Saved {
    uint64_t generation = ~0ull;
    State state = kDead;
    std::vector<uint32_t> positions;
  };

  // Throws kInvalid if the grammar needs more than kMaxPositions states.
  explicit Automaton(const Grammar& grammar);

  static constexpr size_t kMaxPositions = 1 << 20;

  State Start() const { return start_; }
  // kDead if no text continues with this byte. Every other state can be completed.
  State Next(State state, uint8_t byte) {
    const State next = rows_[static_cast<size_t>(state) * num_classes_ + class_of_[byte]];
    return next == kUnknown ? Determine(state, byte) : next;
  }
  bool IsComplete(State state) const { return complete_[static_cast<size_t>(state)]; }
  bool HasNext(State state) const { return subsets_[static_cast<size_t>(state)].back() != kEnd; }
  bool UsesByte(uint8_t byte) const { return used_[byte]; }
  size_t NumStates() const { return subsets_.size(); }

  Saved Save(State state) const;
  State Restore(const Saved& saved);  // saved by this automaton
  // Drops the deterministic states if they take much memory. Returns true if it did: all State values are
  // then void.
  bool Trim();

  bool Matches(std::string_view text);

 private:
  static constexpr State kUnknown = -2;
  static constexpr uint32_t kEnd = 0;
  using Subset = std::vector<uint32_t>;  // sorted positions: those with byte edges, and perhaps the end

  struct Edge {  // an edge of a position
    uint8_t low;
    uint8_t high;
    uint32_t next;
  };
  struct Position {
    uint32_t first_edge;
    uint32_t num_edges;
    bool epsilon;  // the edges are taken without a byte
  };
  class Builder;
  struct SubsetHash {
    size_t operator()(const Subset& subset) const;
  };

  State Determine(State state, uint8_t byte);
  void Close(uint32_t position, Subset& subset);
  State Intern(Subset subset);

  std::vector<Position> positions_;
  std::vector<Edge> edges_;
  uint32_t entry_ = 0;
  State start_ = kDead;
  bool used_[256] = {};
  uint8_t class_of_[256] = {};
  size_t num_classes_ = 1;

  uint64_t generation_ = 0;
  std::vector<State> rows_;  // [state][class]
  std::vector<Subset> subsets_;
  std::vector<bool> complete_;
  std::unordered_map<Subset, State, SubsetHash> ids_;
  size_t held_ = 0;             // positions in all subsets
  std::vector<uint32_t> mark_;  // position -> round in which Close saw it
  uint32_t round_ = 0;
  std::vector<uint32_t> stack_;
};

}  // namespace throng::llm
