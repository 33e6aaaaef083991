// What a row more costs in a forward pass, learnt from the passes' times, and so which guesses of tokens are
// worth a row. It decides how fast answers come, never which.
#pragma once

#include <cstddef>

namespace throng::engine {

// Not thread-safe.
class PassCost {
 public:
  // In larger passes a row costs its arithmetic, whatever came before.
  static constexpr int kMostSequences = 32;

  // A pass over a token of each sequence, and over guesses that follow.
  void Observe(size_t sequences, size_t guesses, double seconds);

  // The time of a guess's row, in units of a pass over a token of each of so many sequences. Small where
  // reading weights from memory takes most of the time.
  double OfGuess(size_t sequences) const;

 private:
  static constexpr int kTerms = 3;  // 1, sequences, guesses
  // Sums of products of terms, and of terms and seconds, over passes weighted by age.
  double products_[kTerms][kTerms] = {};
  double seconds_[kTerms] = {};
  double fit_[kTerms] = {4, 1, 1};  // seconds of each term, in any unit; before anything is known, a guess
};

// A pass being put together. A guess is worth its row if that yields more tokens per second than the pass has
// without it: its chance is above its share of the pass's time, times the tokens of the pass.
class PassPlan {
 public:
  // always: every guess is worth it.
  PassPlan(const PassCost& cost, size_t sequences, bool always)
      : guess_cost_(cost.OfGuess(sequences)), tokens_(static_cast<double>(sequences)), always_(always) {}

  bool IsWorth(double chance) const { return always_ || chance * time_ > tokens_ * guess_cost_; }
  void Add(double chance) {
    time_ += guess_cost_;
    tokens_ += chance;
  }

 private:
  double guess_cost_;
  double time_ = 1;
  double tokens_;
  bool always_;
};

}  // namespace throng::engine
