#include "engine/codecs/prediction.h"

#include <algorithm>
#include <cmath>

namespace throng::engine {

KlFigures FiguresOf(std::vector<double> divergences) {
  const auto count = static_cast<double>(divergences.size());
  KlFigures figures;
  for (const double divergence : divergences) figures.mean += divergence / count;
  const size_t at = std::min(divergences.size() - 1, static_cast<size_t>(0.99 * count));
  std::nth_element(divergences.begin(), divergences.begin() + static_cast<ptrdiff_t>(at), divergences.end());
  figures.p99 = divergences[at];
  return figures;
}

double LogSum(std::span<const float> logits) {
  const double max = *std::max_element(logits.begin(), logits.end());
  double sum = 0.0;
  for (const float logit : logits) sum += std::exp(logit - max);
  return max + std::log(sum);
}

void Prediction::Set(std::span<const float> logits, double log_sum) {
  probabilities_.resize(logits.size());
  negentropy_ = 0.0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double log_probability = logits[i] - log_sum;
    probabilities_[i] = std::exp(log_probability);
    negentropy_ += probabilities_[i] * log_probability;
  }
}

double Prediction::Divergence(std::span<const float> logits, double log_sum) const {
  double cross = 0.0;
  for (size_t i = 0; i < logits.size(); ++i) cross += probabilities_[i] * (logits[i] - log_sum);
  return std::max(0.0, negentropy_ - cross);  // rounding may leave a bit below zero
}

}  // namespace throng::engine
