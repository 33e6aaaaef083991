#include "engine/sampling/sampler.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/error.h"
#include "base/rng.h"

namespace throng::engine {
namespace {

bool IsAllowed(std::span<const uint64_t> mask, size_t id) {
  return mask.empty() || (mask[id / 64] >> (id % 64) & 1) != 0;
}

// Argmax without a candidate list: most calls of a simulation are greedy.
int32_t Greedy(std::span<const float> logits, std::span<const uint64_t> mask) {
  int32_t best = -1;
  float best_logit = 0;
  for (size_t id = 0; id < logits.size(); ++id) {
    const float logit = logits[id];
    if (std::isnan(logit) || (best >= 0 && logit <= best_logit) || !IsAllowed(mask, id)) continue;
    best = static_cast<int32_t>(id);
    best_logit = logit;
  }
  return best;
}

void Require(bool ok, const char* name, float value, const char* allowed) {
  if (!ok) throw MakeError(ErrorCode::kInvalid, "sampling: {} is {}, allowed is {}", name, value, allowed);
}

}  // namespace

void ValidateSampling(const llm::Sampling& sampling) {
  // Written so that NaN fails each of them.
  Require(sampling.temperature >= 0 && sampling.temperature <= 100, "temperature", sampling.temperature,
          "0 to 100");
  Require(sampling.top_k >= 0, "top_k", static_cast<float>(sampling.top_k), "0 (all) or more");
  Require(sampling.top_p > 0 && sampling.top_p <= 1, "top_p", sampling.top_p, "above 0 and at most 1");
  Require(sampling.min_p >= 0 && sampling.min_p <= 1, "min_p", sampling.min_p, "0 to 1");
  Require(sampling.repetition_penalty > 0 && sampling.repetition_penalty <= 100, "repetition_penalty",
          sampling.repetition_penalty, "above 0 and at most 100");
}

void Sampler::Collect(std::span<const float> logits, std::span<const uint64_t> mask) {
  candidates_.clear();
  for (size_t id = 0; id < logits.size(); ++id) {
    if (std::isnan(logits[id]) || !IsAllowed(mask, id)) continue;
    candidates_.push_back({logits[id], static_cast<int32_t>(id), 0});
  }
}

void Sampler::Penalise(std::span<const int32_t> history, float penalty) {
  // Candidates are in order of id here; each is penalised once, however often it occurs.
  positions_.assign(candidates_.empty() ? 0 : static_cast<size_t>(candidates_.back().id) + 1, -1);
  for (size_t i = 0; i < candidates_.size(); ++i) {
    positions_[static_cast<size_t>(candidates_[i].id)] = static_cast<int32_t>(i);
  }
  for (const int32_t token : history) {
    if (token < 0 || static_cast<size_t>(token) >= positions_.size()) continue;
    int32_t& position = positions_[static_cast<size_t>(token)];
    if (position < 0) continue;
    float& logit = candidates_[static_cast<size_t>(position)].logit;
    logit = logit > 0 ? logit / penalty : logit * penalty;
    position = -1;
  }
}

void Sampler::KeepTopK(int k) {
  if (k <= 0 || static_cast<size_t>(k) >= candidates_.size()) return;
  const auto more_likely = [](const Candidate& a, const Candidate& b) {
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
  };
  std::nth_element(candidates_.begin(), candidates_.begin() + k, candidates_.end(), more_likely);
  candidates_.resize(static_cast<size_t>(k));
  // Back to the order of ids: nth_element's order is the library's choice, and sums must not depend on it.
  std::sort(candidates_.begin(), candidates_.end(),
            [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
}

void Sampler::ComputeProbabilities(float temperature) {
  float largest = candidates_[0].logit;
  for (const Candidate& candidate : candidates_) largest = std::max(largest, candidate.logit);
  // An infinite best logit leaves nothing to scale: the tokens that have it share the probability.
  const bool infinite = std::isinf(largest);
  double sum = 0;
  for (Candidate& candidate : candidates_) {
    candidate.probability = infinite
                                ? static_cast<double>(candidate.logit == largest)
                                : std::exp((static_cast<double>(candidate.logit) - largest) / temperature);
    sum += candidate.probability;
  }
  for (Candidate& candidate : candidates_) candidate.probability /= sum;
}

void Sampler::KeepTopP(double p) {
  if (p >= 1) return;
  const auto more_likely = [](const Candidate& a, const Candidate& b) {
    return a.probability > b.probability || (a.probability == b.probability && a.id < b.id);
  };
  // Mostly a few tokens reach p: sort a growing front instead of the whole vocabulary.
  size_t sorted = 0;
  double sum = 0;
  for (size_t i = 0; i < candidates_.size(); ++i) {
    if (i == sorted) {
      const size_t next = std::min(candidates_.size(), sorted == 0 ? size_t{32} : sorted * 4);
      std::partial_sort(candidates_.begin() + static_cast<ptrdiff_t>(sorted),
                        candidates_.begin() + static_cast<ptrdiff_t>(next), candidates_.end(), more_likely);
      sorted = next;
    }
    sum += candidates_[i].probability;
    if (sum >= p) {
      candidates_.resize(i + 1);
      return;
    }
  }
}

int32_t Sampler::Sample(std::span<const float> logits, std::span<const uint64_t> mask,
                        std::span<const int32_t> history, const llm::Sampling& sampling, int token_index) {
  THRONG_DCHECK(mask.empty() || mask.size() * 64 >= logits.size());
  const bool penalise = sampling.repetition_penalty != 1.0f;
  if (sampling.temperature == 0 && !penalise) return Greedy(logits, mask);

  Collect(logits, mask);
  if (candidates_.empty()) return -1;
  if (penalise) Penalise(history, sampling.repetition_penalty);
  if (sampling.temperature == 0) {
    // max_element returns the first of equal ones, and candidates are in order of id.
    return std::max_element(candidates_.begin(), candidates_.end(),
                            [](const Candidate& a, const Candidate& b) { return a.logit < b.logit; })
        ->id;
  }
  KeepTopK(sampling.top_k);
  ComputeProbabilities(sampling.temperature);
  KeepTopP(sampling.top_p);

  double largest = 0;
  for (const Candidate& candidate : candidates_) largest = std::max(largest, candidate.probability);
  const double least = largest * sampling.min_p;
  double sum = 0;
  for (const Candidate& candidate : candidates_)
    sum += candidate.probability >= least ? candidate.probability : 0;

  const CounterRng rng(sampling.seed);
  const double uniform = static_cast<double>(rng.At(static_cast<uint64_t>(token_index)) >> 11) * 0x1p-53;
  double left = uniform * sum;
  int32_t drawn = -1;
  for (const Candidate& candidate : candidates_) {
    if (candidate.probability < least || candidate.probability == 0) continue;
    drawn = candidate.id;  // the last one stays if rounding leaves a rest
    left -= candidate.probability;
    if (left < 0) break;
  }
  return drawn;
}

}  // namespace throng::engine
