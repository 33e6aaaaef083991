// Constrained decoding: which tokens may come next, so that a finished answer is one of the choices or fits
// the JSON schema, grammar or regular expression. One Vocabulary per tokenizer (vocabulary.h), one Constraint
// per distinct llm::Constraint (constraint_cache.h), one Matcher per sequence.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/sampling/vocabulary.h"
#include "llm/grammar/automaton.h"
#include "llm/llm.h"

namespace throng::engine {

// The allowed form of an answer, compiled for one vocabulary. Several threads may use its matchers.
class Constraint {
 public:
  // Throws kInvalid for a schema that is wrong or too large, kUnsupported for unknown keywords, and if no
  // sequence of tokens spells an allowed answer.
  Constraint(const llm::Constraint& spec, std::shared_ptr<const Vocabulary> vocabulary);
  Constraint(const llm::Grammar& grammar, std::shared_ptr<const Vocabulary> vocabulary);

  // An upper bound on the tokens of an answer, its end-of-generation token included (each other token has at
  // least one byte); empty if a string, an array or a recursion has no upper bound.
  std::optional<int64_t> LongestAnswerTokens() const;

  const Vocabulary& GetVocabulary() const { return *vocabulary_; }

 private:
  friend class Matcher;

  using State = llm::Automaton::State;
  using Mask = std::vector<uint64_t>;  // of the tokens that may come next in a state: a bit for each

  // A matcher's place. A state is void once the automaton has dropped its states: the text leads to it again.
  struct Place {
    uint64_t generation = 0;
    State state = llm::Automaton::kDead;
    std::string text;
  };

  // What may come next in all states of one outlook (automaton.h), as far as it does not depend on callers:
  // of all tokens, or of those that are no plain text.
  struct View {
    Mask mask;
    // Nodes of the trie whose bytes lead back to callers: what is below them depends on these.
    struct Exit {
      uint32_t node;
      uint32_t holes;  // index in `holes`
    };
    std::vector<Exit> exits;
    std::vector<std::vector<uint32_t>> holes;
    bool is_final = true;    // else the exits are too many, and an outlook of more levels is needed
    bool is_short = false;   // of tokens of up to kShortBytes alone
    bool of_others = false;  // the nodes are those of the tokens that are no plain text
  };
  // What a state sees: its view, and who its callers are.
  struct Seen {
    const View* view;
    // Not empty: so many characters of plain text may come, whichever they are, and the view is of other
    // tokens.
    std::optional<uint32_t> text;
    std::vector<llm::Automaton::Frames> callers;
  };

  enum class Marked { kNone, kAll, kReturns };

  // What must come next in a state; -1: nothing.
  struct Forced {
    int32_t only = -1;  // the token, if there is just one
    // The longest token, if all others are beginnings of it: the next bytes are then known, not the tokens.
    int32_t longest = -1;
  };

  // All functions below are called with mutex_ held.
  template <typename Base, typename Found>
  size_t Walk(const Vocabulary::Trie& trie, uint32_t first, uint32_t end, const Base& base,
              const Found& found);
  template <typename Base, typename Found>
  size_t WalkAll(const Base& base, const Found& found);
  void AllowedOneByOne(Place& place, std::span<uint64_t> mask);
  llm::Automaton::Outlook OutlookFrom(Place& place, int levels);
  const View& ViewFrom(Place& place, int levels, bool is_text);
  Seen SeenFrom(Place& place);
  void AllowedByView(Place& place, std::span<uint64_t> mask);
  std::optional<uint32_t> MostText(Place& place);
  Marked MarkPlainText(State base, std::span<uint64_t> mask);
  void AllowedAt(Place& place, std::span<uint64_t> mask);
  Forced ForcedAt(Place& place);
  bool FindDeadEnds();
  bool IsAlive(State state) const { return !has_dead_ends_ || alive_[static_cast<size_t>(state)]; }
  State Restore(Place& place);
  void Drop();

  std::shared_ptr<const Vocabulary> vocabulary_;
  std::optional<int64_t> longest_bytes_;
  std::mutex mutex_;
  llm::Automaton automaton_;  // guarded by mutex_
  uint64_t generation_ = 0;   // guarded by mutex_; how often automaton_ has dropped its states
  std::map<std::vector<uint32_t>, std::unique_ptr<View>> views_;  // guarded by mutex_; by key of the outlook
  size_t view_words_ = 0;                                         // guarded by mutex_; what views_ hold
  std::unordered_map<State, Seen> seen_;                          // guarded by mutex_
  // Guarded by mutex_, and scratch memory of a walk; by depth.
  std::vector<State> walk_;
  std::vector<uint8_t> path_;
  // Only for vocabularies that lack single bytes needed by answers: alive_ marks the states from which tokens
  // reach an end.
  bool has_dead_ends_ = false;
  std::vector<bool> alive_;
  std::unordered_map<State, Mask> alive_masks_;
};

// One sequence's position in its answer.
class Matcher {
 public:
  explicit Matcher(std::shared_ptr<Constraint> constraint);

  // Sets bit t & 63 of mask[t / 64] exactly for the tokens t that may come next; end-of-generation tokens
  // exactly if the answer is complete. mask has MaskWords() words. No bit is set once an end-of-generation
  // token has been accepted.
  void AllowedTokens(std::span<uint64_t> mask);

  // The token that must come next, if just one may.
  std::optional<int32_t> OnlyToken();
  // If the bytes that come next are the same whatever the token: the token with the most of them.
  std::optional<int32_t> LongestToken();

  // Whether the token may come next: what AllowedTokens has in its bit, without the work for the others.
  bool Allows(int32_t token);

  // Advances by one token. Returns false, and changes nothing, if the token is not allowed.
  [[nodiscard]] bool Accept(int32_t token);

  // The text so far is an allowed answer (perhaps not the only one).
  bool IsComplete() const { return complete_; }
  bool IsFinished() const { return finished_; }  // an end-of-generation token has been accepted
  // Complete, and nothing can follow: sampling is not needed.
  bool OnlyEndIsLeft() const { return only_end_; }

 private:
  // With the constraint's mutex held. After: kDead if the token, which has text, may not come next.
  void Enter(llm::Automaton::State state);
  llm::Automaton::State After(int32_t token);
  Constraint::Forced Forced();

  std::shared_ptr<Constraint> constraint_;
  Constraint::Place place_;
  bool complete_ = false;
  bool finished_ = false;
  bool only_end_ = false;
};

}  // namespace throng::engine
