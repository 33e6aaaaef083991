// A model's distribution of the next token, and how far another one is from it.
#pragma once

#include <span>
#include <vector>

namespace throng::engine {

// Divergences over the positions of a text, nats.
struct KlFigures {
  double mean = 0.0;
  double p99 = 0.0;  // their 99th percentile
  bool operator==(const KlFigures&) const = default;

  bool Meets(const KlFigures& target) const { return mean <= target.mean && p99 <= target.p99; }
};
KlFigures FiguresOf(std::vector<double> divergences);  // of at least one position

// The logarithm of the sum of exponentials; it turns logits into logarithms of probabilities.
double LogSum(std::span<const float> logits);

class Prediction {
 public:
  void Set(std::span<const float> logits, double log_sum);  // log_sum: LogSum(logits)

  // KL(this || the distribution of these logits), in nats. log_sum: LogSum(logits).
  double Divergence(std::span<const float> logits, double log_sum) const;

 private:
  std::vector<double> probabilities_;
  double negentropy_ = 0.0;  // of probabilities_
};

}  // namespace throng::engine
