#include "engine/sampling/logprobs.h"

#include <algorithm>
#include <cmath>

#include "engine/sampling/token_weights.h"

namespace throng::engine {

TokenLogprobs LogprobMaker::Make(std::span<const float> logits, int32_t token, int num_top) {
  weights_.resize(logits.size());
  sums_.resize((logits.size() + kWeightBlock - 1) / kWeightBlock);
  const float largest = LargestLogit(logits, {});
  const bool finite = std::isfinite(largest);
  double log_sum = 0;  // of e^(logit - largest)
  if (finite) {
    const uint64_t sum = TokenWeights(logits, {}, largest, 1.0f, weights_.data(), sums_.data());
    log_sum = std::log(static_cast<double>(sum) / static_cast<double>(kLargestWeight));
  }
  const auto logprob = [&](int32_t id) {
    const float logit = logits[static_cast<size_t>(id)];
    if (!finite || !std::isfinite(logit)) return logit == largest ? 0.0f : kLeastLogprob;
    const double value = static_cast<double>(logit) - static_cast<double>(largest) - log_sum;
    return std::max(static_cast<float>(value), kLeastLogprob);
  };
  TokenLogprobs made{.chosen = {token, logprob(token)}, .top = {}};
  if (num_top == 0) return made;
  const auto more_likely = [](const auto& a, const auto& b) {
    return a.first > b.first || (a.first == b.first && a.second < b.second);
  };
  // The best so far, as a heap whose front is the least of them.
  ranked_.clear();
  for (size_t id = 0; id < logits.size(); ++id) {
    const std::pair<float, int32_t> entry(logits[id], static_cast<int32_t>(id));
    if (std::isnan(entry.first)) continue;
    if (ranked_.size() == static_cast<size_t>(num_top)) {
      if (entry.first <= ranked_.front().first) continue;
      std::pop_heap(ranked_.begin(), ranked_.end(), more_likely);
      ranked_.pop_back();
    }
    ranked_.push_back(entry);
    std::push_heap(ranked_.begin(), ranked_.end(), more_likely);
  }
  std::sort_heap(ranked_.begin(), ranked_.end(), more_likely);
  for (const auto& [logit, id] : ranked_) made.top.push_back({id, logprob(id)});
  return made;
}

}  // namespace throng::engine
