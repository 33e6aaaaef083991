// A byte-by-byte matcher of a grammar: a pushdown automaton, made deterministic state by state as texts reach
// them. A state is the set of positions of the Program where the text may be, each with its callers: stacks
// that share their lower parts (a graph-structured stack). A loop's frame holds the count of its iterations.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "llm/grammar/grammar.h"
#include "llm/grammar/program.h"

namespace throng::llm {

class Automaton {
 public:
  using State = int32_t;
  using Frames = uint32_t;  // a stack of callers, or several that share their top
  static constexpr State kDead = -1;

  // Throws as Program does.
  explicit Automaton(const Grammar& grammar);
  // Of the texts of these bytes alone: has_byte[256].
  Automaton(const Grammar& grammar, const bool* has_byte);

  State Start() const { return start_; }
  // kDead if no text continues with this byte. Every other state can be completed.
  State Next(State state, uint8_t byte) {
    const State next = rows_[static_cast<size_t>(state) * num_classes_ + class_of_[byte]];
    return next == kUnknown ? Determine(state, byte) : next;
  }
  bool IsComplete(State state) const { return ItemsOf(state)[0] == Program::kEnd; }
  bool HasNext(State state) const { return ItemsOf(state).end()[-2] > Program::kHole; }
  // What plain text may follow (program.h): kAll means that all characters of it lead to the same state.
  Program::PlainText PlainTextAt(State state) const;
  bool UsesByte(uint8_t byte) const { return used_[byte]; }
  size_t NumStates() const { return states_.size(); }

  // Whether the states take much memory, not counting those of texts that After has read.
  bool IsFull() const;
  // Drops all states, which are then void.
  void Clear();
  // The state after a text; kDead if no text begins so.
  State After(std::string_view text);
  bool Matches(std::string_view text);

  // What the texts that continue a state depend on, up to a number of bytes: states of the same key allow the
  // same, except after they have returned to one of the `callers`, from there on.
  struct Outlook {
    int levels = 0;
    uint32_t reach = 0;
    uint32_t nearest =
        0;  // the least number of iterations after which a loop's bounds matter; above reach: none
    std::vector<uint32_t> key;
    std::vector<Frames> callers;
  };
  // reach: the bytes; counts of loops that are further from their bounds are all the same. levels: the calls
  // of rules that the key looks into.
  Outlook OutlookOf(State state, int levels, uint32_t reach);
  // A state like `state`, with holes in the place of the callers of its outlook: hole i for callers[i].
  State WithHoles(State state, const Outlook& outlook);
  bool HasHoles(State state) const {
    const std::span<const uint32_t> items = ItemsOf(state);
    return items[0] == Program::kHole ||
           (items[0] == Program::kEnd && items.size() > 2 && items[2] == Program::kHole);
  }
  // The holes that a state's texts have returned to.
  std::vector<uint32_t> HolesOf(State state) const;
  // The state after a return to these callers.
  State Return(std::span<const Frames> callers);
  // Whether what was found out with holes holds for these callers: the limit on calls within calls is not
  // near.
  bool HasRoom(std::span<const Frames> callers) const;

 private:
  static constexpr State kUnknown = -2;
  static constexpr Frames kNoCaller = 0;
  static constexpr uint32_t kIsNew = 1u << 31;  // marks frames of the step that is going on: new_[rest]

  using Words = std::vector<uint32_t>;
  struct WordsHash {
    size_t operator()(const Words& words) const;
  };
  struct Caller {
    Program::Pos next;
    uint32_t count;  // iterations of a loop that are done; 0 for a rule
    Frames parent;
  };
  struct Stack {  // of one body, and its callers
    uint32_t body;
    uint32_t depth;  // calls within calls, of the caller where they are fewest
    std::vector<Caller> callers;
  };
  static constexpr uint32_t kHoleBody = ~0u;  // the body of holes; their depth is 0, and they have no callers
  static constexpr uint32_t kNoBody = ~0u - 1;

  std::span<const uint32_t> ItemsOf(State state) const { return states_[static_cast<size_t>(state)]; }
  State Determine(State state, uint8_t byte);
  // A step: Begin, Push for each position reached, Finish.
  void Begin();
  void Push(Program::Pos pos, Frames frames);
  void PushCall(uint32_t body, const Caller& caller);
  void Expand(Program::Pos pos, Frames frames);
  void PushReturn(Frames frames);
  State Finish();
  Frames Resolve(Frames frames);
  Frames Keep(Stack stack);
  State Intern(Words items);
  Frames Hollow(Frames frames, int level, const Outlook& outlook,
                std::map<std::pair<Frames, int>, Frames>& done);

  Program program_;
  State start_ = kDead;
  bool used_[256] = {};
  uint8_t class_of_[256] = {};
  size_t num_classes_ = 1;

  std::vector<State> rows_;    // [state][class]
  std::vector<Words> states_;  // pairs of position and frames, ordered by position
  std::unordered_map<Words, State, WordsHash> ids_;
  std::vector<Stack> stacks_;  // by Frames
  std::unordered_map<Words, Frames, WordsHash> stack_ids_;
  size_t held_ = 0;           // words of states and stacks
  size_t floor_ = 0;          // of these, those that are needed again
  uint32_t peak_ = 0;         // the most calls within calls that were looked at
  bool has_dropped_ = false;  // a text had too many readings

  // Of the step that is going on.
  uint32_t round_ = 0;
  std::vector<std::pair<uint32_t, Frames>> mark_;  // position -> round and frames of its first visit
  std::unordered_set<uint64_t> more_marks_;        // positions with other frames
  std::vector<std::pair<Program::Pos, Frames>> work_;
  std::vector<std::pair<Program::Pos, Frames>> reached_;
  std::vector<Stack> new_;
  std::vector<Frames> resolved_;                       // new_ -> stacks_
  std::vector<std::pair<uint32_t, uint32_t>> called_;  // body -> round and index in new_
};

}  // namespace throng::llm
