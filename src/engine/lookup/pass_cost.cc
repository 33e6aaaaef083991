#include "engine/lookup/pass_cost.h"

#include <algorithm>
#include <utility>

namespace throng::engine {

void PassCost::Observe(size_t sequences, size_t guesses, double seconds) {
  if (sequences > kMostSequences) return;
  if (!std::exchange(has_begun_, true)) return;
  constexpr double kMemory = 0.998;  // a pass counts for half after 350 more
  const double terms[kTerms] = {1, static_cast<double>(sequences), static_cast<double>(guesses)};
  // A pass during which the machine did something else says nothing of rows.
  const double passes = products_[0][0];
  if (passes > 0) {
    const double mean_rows = (products_[0][1] + products_[0][2]) / passes;
    seconds = std::min(seconds, 2 * std::max(1.0, (terms[1] + terms[2]) / mean_rows) * seconds_[0] / passes);
  }
  for (int i = 0; i < kTerms; ++i) {
    for (int j = 0; j < kTerms; ++j) products_[i][j] = kMemory * products_[i][j] + terms[i] * terms[j];
    seconds_[i] = kMemory * seconds_[i] + terms[i] * seconds;
  }
  if (sequences == 1 && guesses <= kMostGuesses) {
    constexpr int kMeanMemory = 32;
    Mean& mean = alone_[guesses];
    mean.count = std::min(mean.count + 1, kMeanMemory);
    mean.seconds += (seconds - mean.seconds) / mean.count;
  }
  Fit();
}

void PassCost::Fit() {
  const double passes = products_[0][0];
  const double mean_guesses = products_[0][2] / passes;
  const double variance = products_[2][2] / passes - mean_guesses * mean_guesses;
  constexpr double kLeastPasses = 8, kLeastVariance = 0.02;
  if (passes < kLeastPasses || variance < kLeastVariance) return;

  // Least squares by elimination. The little that is added to the diagonal decides between the first two
  // terms where the number of sequences never changes; their sum then counts alone.
  double rows[kTerms][kTerms + 1];
  for (int i = 0; i < kTerms; ++i) {
    std::copy(products_[i], products_[i] + kTerms, rows[i]);
    rows[i][i] += 1e-6 * products_[i][i];
    rows[i][kTerms] = seconds_[i];
  }
  for (int pivot = 0; pivot < kTerms; ++pivot) {
    for (int i = 0; i < kTerms; ++i) {
      if (i == pivot) continue;
      const double factor = rows[i][pivot] / rows[pivot][pivot];
      for (int j = pivot; j <= kTerms; ++j) rows[i][j] -= factor * rows[pivot][j];
    }
  }
  for (int i = 0; i < kTerms; ++i) fit_[i] = rows[i][kTerms] / rows[i][i];
  is_fitted_ = true;
}

double PassCost::Of(size_t sequences, size_t guesses) const {
  // A row takes some time, even if noise says otherwise.
  constexpr double kLeastGuess = 0.02;
  const double pass = fit_[0] + fit_[1] * static_cast<double>(sequences);
  const double guess = std::max(fit_[2], kLeastGuess * pass);
  const double fit = pass + guess * static_cast<double>(guesses);
  if (!is_fitted_ || sequences != 1 || guesses > kMostGuesses) return fit;
  constexpr double kFitWeight = 2;  // in passes
  const Mean& mean = alone_[guesses];
  return (mean.seconds * mean.count + fit * kFitWeight) / (mean.count + kFitWeight);
}

size_t PassPlan::Best(std::span<const double> chances) const {
  if (always_) return chances.size();
  size_t best = 0;
  double tokens = tokens_;
  double best_rate = tokens / cost_.Of(sequences_, guesses_);
  for (size_t i = 0; i < chances.size(); ++i) {
    tokens += chances[i];
    const double rate = tokens / cost_.Of(sequences_, guesses_ + i + 1);
    if (rate <= best_rate) continue;
    best = i + 1;
    best_rate = rate;
  }
  return best;
}

void PassPlan::Add(std::span<const double> chances) {
  guesses_ += chances.size();
  for (const double chance : chances) tokens_ += chance;
}

}  // namespace throng::engine
