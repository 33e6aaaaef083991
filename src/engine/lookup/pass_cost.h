// How long forward passes take with more rows, learnt from their times, and so which guesses of tokens are
// worth a row. It decides how fast answers come, never which.
#pragma once

#include <cstddef>
#include <span>

namespace throng::engine {

// Not thread-safe.
class PassCost {
 public:
  // In larger passes a row costs its arithmetic, whatever came before; up to there guesses were measured not
  // to lose time (docs/decoding.md).
  static constexpr size_t kMostSequences = 64;
  static constexpr size_t kMostGuesses = 16;  // of one sequence

  // A pass over a token of each sequence, and over guesses that follow. The first does not count: weights
  // come from the file or are repacked in it, which may take as long as a hundred passes.
  void Observe(size_t sequences, size_t guesses, double seconds);

  // The time of such a pass, in any unit.
  double Of(size_t sequences, size_t guesses) const;

 private:
  void Fit();

  static constexpr int kTerms = 3;  // 1, sequences, guesses
  // Sums of products of terms, and of terms and seconds, over passes weighted by age.
  double products_[kTerms][kTerms] = {};
  double seconds_[kTerms] = {};
  // The time of each term; at first that of weights in memory, of which a row more takes a fifth of a pass.
  double fit_[kTerms] = {4, 1, 1};
  bool is_fitted_ = false;
  bool has_begun_ = false;
  // Of a sequence alone, by guesses: kernels take rows in groups, so that some numbers are cheap.
  struct Mean {
    double seconds = 0;
    int count = 0;
  };
  Mean alone_[kMostGuesses + 1];
};

// A pass being put together.
class PassPlan {
 public:
  // always: every guess is worth its row.
  PassPlan(const PassCost& cost, size_t sequences, bool always)
      : cost_(cost), sequences_(sequences), tokens_(static_cast<double>(sequences)), always_(always) {}

  // chances: that the first guess of a sequence comes true, that the second does too, and so on. Returns how
  // many to take for the most tokens per second.
  size_t Best(std::span<const double> chances) const;
  void Add(std::span<const double> chances);
  bool TakesAll() const { return always_; }

 private:
  const PassCost& cost_;
  size_t sequences_;
  size_t guesses_ = 0;
  double tokens_;  // that the pass is expected to yield
  bool always_;
};

}  // namespace throng::engine
