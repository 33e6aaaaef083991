// Constrained decoding: which tokens may come next, so that a finished answer is one of the choices or fits
// the JSON schema, grammar or regular expression. One Vocabulary per tokenizer, one Constraint per distinct
// llm::Constraint, one Matcher per sequence.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
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
    uint32_t first_token;  // its tokens: [first_token, the next node's first_token) of the trie's
    uint32_t depth;        // 1 for the first byte of a token
    uint8_t byte;
  };

  struct Trie {
    std::vector<int32_t> tokens;  // ordered by bytes
    std::vector<Node> nodes;      // ends with a sentinel, whose first_token ends the last node's tokens

    uint32_t NumNodes() const { return static_cast<uint32_t>(nodes.size() - 1); }
    // Sets the bits of the tokens that end at a node.
    void Allow(uint32_t node, std::span<uint64_t> mask) const {
      for (uint32_t t = nodes[node].first_token; t < nodes[node + 1].first_token; ++t) {
        const auto token = static_cast<size_t>(tokens[t]);
        mask[token / 64] |= uint64_t{1} << (token & 63);
      }
    }
  };
  // Longer tokens are few: where they alone depend on a count that is near, they are walked through by
  // themselves.
  static constexpr uint32_t kShortBytes = 16;

  // Makes the tries, at the first call: only constraints need them. Thread-safe.
  void NeedTrie() const;
  Trie MakeTrie(size_t least_bytes) const;

  std::vector<std::string> token_bytes_;
  std::vector<int32_t> eog_ids_;  // sorted
  // Set by NeedTrie:
  mutable std::once_flag trie_once_;
  mutable Trie all_;     // all tokens with bytes
  mutable Trie longer_;  // those of more than kShortBytes
  mutable uint32_t max_depth_ = 0;
  mutable bool has_byte_[256] = {};  // a token of this single byte exists
};

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

  // What may come next in all states of one outlook (automaton.h), as far as it does not depend on callers.
  struct View {
    Mask mask;
    // Nodes of the trie whose bytes lead back to callers: what is below them depends on these.
    struct Exit {
      uint32_t node;
      uint32_t holes;  // index in `holes`
    };
    std::vector<Exit> exits;
    std::vector<std::vector<uint32_t>> holes;
    bool is_final = true;   // else the exits are too many, and an outlook of more levels is needed
    bool is_short = false;  // of tokens of up to kShortBytes alone
  };
  // What a state sees: its view, and who its callers are.
  struct Seen {
    const View* view;
    std::vector<llm::Automaton::Frames> callers;
  };

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
  const View& ViewFrom(Place& place, int levels);
  Seen SeenFrom(Place& place);
  void AllowedByView(Place& place, std::span<uint64_t> mask);
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

// Keeps the most recently used constraints compiled: a run has few, and they recur in each step.
class ConstraintCache {
 public:
  explicit ConstraintCache(std::shared_ptr<const Vocabulary> vocabulary, size_t capacity = 256);

  // Throws as the constructor of Constraint does. May be called from several threads.
  std::shared_ptr<Constraint> Get(const llm::Constraint& spec);
  // key: equal for equal grammars.
  std::shared_ptr<Constraint> Get(const std::string& key, const std::function<llm::Grammar()>& make);

 private:
  using Entry = std::pair<std::string, std::shared_ptr<Constraint>>;

  std::shared_ptr<const Vocabulary> vocabulary_;
  size_t capacity_;
  std::mutex mutex_;
  std::list<Entry> recent_;  // guarded by mutex_; most recent first
  std::unordered_map<std::string, std::list<Entry>::iterator> entries_;  // guarded by mutex_
};

}  // namespace throng::engine
