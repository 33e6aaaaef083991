#include "engine/lookup/pass_cost.h"

#include <algorithm>
#include <utility>

namespace throng::engine {

void PassCost::Observe(size_t sequences, size_t guesses, double seconds) {
  if (sequences > kMostSequences) return;
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
  const double mean_guesses = products_[0][2] / products_[0][0];
  const double variance = products_[2][2] / products_[0][0] - mean_guesses * mean_guesses;
  if (products_[0][0] < 8 || variance < 0.02) return;

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
}

double PassCost::OfGuess(size_t sequences) const {
  constexpr double kLeast = 0.02, kMost = 1;
  const double pass = fit_[0] + fit_[1] * static_cast<double>(sequences);
  if (pass <= 0) return kMost;
  return std::clamp(fit_[2] / pass, kLeast, kMost);
}

}  // namespace throng::engine
