// Constrained decoding: which tokens may come next, so that a finished answer is one of the choices or fits
// the JSON schema. One Vocabulary per tokenizer, one Constraint per distinct llm::Constraint, one Matcher per
// sequence.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "llm/grammar/automaton.h"
#include "llm/llm.h"

namespace throng::engine {

// The tokens' bytes, in a trie. Immutable, so threads may share it.
class Vocabulary {
 public:
  // bytes[id] is what the token adds to the text, perhaps a part of a code point; empty for tokens that an
  // answer never contains (control tokens). eog_ids end a generation, whatever their bytes.
  Vocabulary(std::span<const std::string> bytes, std::vector<int32_t> eog_ids);

  size_t NumTokens() const { return token_bytes_.size(); }
  size_t MaskWords() const { return (NumTokens() + 63) / 64; }
  const std::string& Bytes(int32_t token) const { return token_bytes_[static_cast<size_t>(token)]; }
  bool IsEndOfGeneration(int32_t token) const;
  std::span<const int32_t> EndsOfGeneration() const { return eog_ids_; }

 private:
  friend class Constraint;

  // Nodes in preorder: a walk continues at the next node, or at `skip` if no text continues with this byte.
  struct Node {
    uint32_t skip;         // first node after the subtree
    uint32_t first_token;  // its tokens: [first_token, the next node's first_token) of sorted_tokens_
    uint32_t depth;        // 1 for the first byte of a token
    uint8_t byte;
  };

  // Sorts the tokens and makes the nodes, at the first call: only constraints need them. Thread-safe.
  void NeedTrie() const;
  void BuildTrie() const;

  std::vector<std::string> token_bytes_;
  std::vector<int32_t> eog_ids_;  // sorted
  // Set by NeedTrie:
  mutable std::once_flag trie_once_;
  mutable std::vector<int32_t> sorted_tokens_;  // those with bytes, ordered by bytes
  mutable std::vector<Node> nodes_;  // ends with a sentinel, whose first_token ends the last node's tokens
  mutable uint32_t max_depth_ = 0;
  mutable bool has_byte_[256] = {};  // a token of this single byte exists
};

// The allowed form of an answer, compiled for one vocabulary. Several threads may use its matchers.
class Constraint {
 public:
  // Throws kInvalid for a schema that is wrong or too large, kUnsupported for unknown keywords, and if no
  // sequence of tokens spells an allowed answer.
  Constraint(const llm::Constraint& spec, std::shared_ptr<const Vocabulary> vocabulary);

  // An upper bound on the tokens of an answer, its end-of-generation token included (each other token has at
  // least one byte); empty if a string or an array has no upper bound.
  std::optional<int64_t> LongestAnswerTokens() const;

  const Vocabulary& GetVocabulary() const { return *vocabulary_; }

 private:
  friend class Matcher;

  using Mask = std::vector<uint64_t>;  // of the tokens that may come next in a state: a bit for each

  // What must come next in a state; -1: nothing.
  struct Forced {
    int32_t only = -1;  // the token, if there is just one
    // The longest token, if all others are beginnings of it: the next bytes are then known, not the tokens.
    int32_t longest = -1;
  };

  Constraint(const llm::Grammar& grammar, std::shared_ptr<const Vocabulary> vocabulary);

  // All functions below are called with mutex_ held.
  template <typename Found>
  size_t Walk(llm::Automaton::State state, const Found& found);
  std::shared_ptr<const Mask> AllowedIn(llm::Automaton::State state);
  Forced ForcedIn(llm::Automaton::State state);
  void FindDeadEnds();
  bool IsAlive(llm::Automaton::State state) const {
    return !has_dead_ends_ || alive_[static_cast<size_t>(state)];
  }
  llm::Automaton::State Restore(const llm::Automaton::Saved& saved);

  std::shared_ptr<const Vocabulary> vocabulary_;
  std::optional<int64_t> longest_bytes_;
  std::mutex mutex_;
  llm::Automaton automaton_;                                                        // guarded by mutex_
  std::unordered_map<llm::Automaton::State, std::shared_ptr<const Mask>> allowed_;  // guarded by mutex_
  std::vector<llm::Automaton::State> walk_;  // guarded by mutex_; state by depth
  // Only for vocabularies that lack single bytes needed by answers: alive_ marks the states from which tokens
  // reach an end.
  bool has_dead_ends_ = false;
  std::vector<bool> alive_;
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
  llm::Automaton::Saved state_;
  bool complete_ = false;
  bool finished_ = false;
  bool only_end_ = false;
};

// Keeps the most recently used constraints compiled: a run has few, and they recur in each step.
class ConstraintCache {
 public:
  explicit ConstraintCache(std::shared_ptr<const Vocabulary> vocabulary, size_t capacity = 256);

  // Throws as the constructor of Constraint does. May be called from several threads.
  std::shared_ptr<Constraint> Get(const llm::Constraint& spec);

 private:
  using Entry = std::pair<std::string, std::shared_ptr<Constraint>>;

  std::shared_ptr<const Vocabulary> vocabulary_;
  size_t capacity_;
  std::mutex mutex_;
  std::list<Entry> recent_;  // guarded by mutex_; most recent first
  std::unordered_map<std::string, std::list<Entry>::iterator> entries_;  // guarded by mutex_
};

}  // namespace throng::engine
