// Guesses the tokens that come next in a sequence without a model, so that one forward pass can check several
// (prompt lookup decoding): those that followed the last tokens when these occurred before, in the prompt or
// in the answer, and those that spell what a constraint leaves no choice about. What a guess is worth is in
// pass_cost.h; the engine checks guesses, and takes none that sampling would not have drawn.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/lookup/pass_cost.h"
#include "engine/sampling/constrain.h"

namespace throng::engine {

// Why a token is guessed; each kind has its own rate of success.
using GuessKind = uint8_t;
inline constexpr GuessKind kOnlyToken = 0;  // no other is allowed: this is known
// The next bytes are known, and this is the longest token of them.
inline constexpr GuessKind kKnownBytes = 1;
// kSameTokens + n: the token followed the last n tokens before, of which at most kMostSame are compared.
inline constexpr GuessKind kSameTokens = 0;
inline constexpr int kLeastSame = 2;
inline constexpr int kMostSame = 5;

struct Guesses {
  std::vector<int32_t> tokens;
  std::vector<GuessKind> kinds;
  // How often guesses in this sequence came true, and how often they do on average.
  double hits = 0;
  double expected_hits = 0;

  size_t size() const { return tokens.size(); }
  void Clear() {
    tokens.clear();
    kinds.clear();
  }
};

// Not thread-safe.
class PromptLookup {
 public:
  // Replaces guesses.tokens by at most `most` tokens to follow those of the sequence, as many as are worth
  // their rows in the pass. matcher: the sequence's; null without a constraint.
  void Guess(std::span<const int32_t> tokens, const Matcher* matcher, size_t most, PassPlan& plan,
             Guesses& guesses);

  // Whether guess number i came true. To be called in order, up to the first that did not.
  void Count(Guesses& guesses, size_t i, bool hit);

 private:
  // Where the last tokens of history_ occurred before: the position after them, and how many are the same.
  struct Place {
    size_t next;
    int same;
  };
  Place Find() const;

  struct Rate {
    double value;
    int count = 0;
  };
  // By kind, as first measured in the town.
  Rate rates_[kMostSame + 1] = {{1.0}, {0.9}, {0.5}, {0.6}, {0.7}, {0.8}};
  std::vector<int32_t> history_;  // scratch: the tokens, and the guesses so far
  std::vector<double> chances_;   // scratch: that each guess and all before it come true
};

}  // namespace throng::engine
