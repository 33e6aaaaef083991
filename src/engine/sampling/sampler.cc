#include "engine/sampling/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/rng.h"
#include "engine/sampling/token_weights.h"

namespace throng::engine {
namespace {

bool IsAllowed(std::span<const uint64_t> mask, size_t id) {
  return mask.empty() || (mask[id / 64] >> (id % 64) & 1) != 0;
}

int32_t Greedy(std::span<const float> logits, std::span<const uint64_t> mask) {
  return FirstWithLogit(logits, mask, LargestLogit(logits, mask));
}

// random: 64 random bits. Returns a number in [0, bound), each about equally likely.
uint64_t NumberBelow(uint64_t bound, uint64_t random) {
  constexpr int kBits = 53;
  return static_cast<uint64_t>(static_cast<unsigned __int128>(random >> (64 - kBits)) * bound >> kBits);
}

void Require(bool ok, std::string_view name, float value, const char* allowed) {
  if (!ok) throw MakeError(ErrorCode::kInvalid, "sampling: {} is {}, allowed is {}", name, value, allowed);
}

}  // namespace

void ValidateSampling(const llm::Sampling& sampling) {
  // Written so that NaN fails each of them.
  Require(sampling.temperature >= 0 && sampling.temperature <= 100, "temperature", sampling.temperature,
          "0 to 100");
  Require(sampling.top_k >= 0, "top_k", static_cast<float>(sampling.top_k), "0 (all) or more");
  Require(sampling.top_p >= 0 && sampling.top_p <= 1, "top_p", sampling.top_p, "0 to 1");
  Require(sampling.min_p >= 0 && sampling.min_p <= 1, "min_p", sampling.min_p, "0 to 1");
  Require(sampling.repetition_penalty > 0 && sampling.repetition_penalty <= 100, "repetition_penalty",
          sampling.repetition_penalty, "above 0 and at most 100");
}

void ValidateRules(const LogitRules& rules, size_t vocab) {
  Require(std::abs(rules.frequency_penalty) <= 100, "frequency_penalty", rules.frequency_penalty,
          "-100 to 100");
  Require(std::abs(rules.presence_penalty) <= 100, "presence_penalty", rules.presence_penalty, "-100 to 100");
  Require(rules.min_tokens >= 0, "min_tokens", static_cast<float>(rules.min_tokens), "0 or more");
  const auto require_token = [&](const char* name, int32_t token) {
    if (token >= 0 && static_cast<size_t>(token) < vocab) return;
    throw MakeError(ErrorCode::kInvalid, "sampling: {} has token {}, which is not in the vocabulary of {}",
                    name, token, vocab);
  };
  for (const TokenBias& entry : rules.bias) {
    require_token("logit_bias", entry.token);
    Require(std::abs(entry.bias) <= 1000, "logit_bias", entry.bias, "-1000 to 1000");
  }
  for (const int32_t token : rules.ends) require_token("stop_token_ids", token);
}

// Of changed_.
void Sampler::Penalise(std::span<const int32_t> history, float penalty) {
  seen_.resize(changed_.size());
  const auto is_token = [&](int32_t token) {
    return token >= 0 && static_cast<size_t>(token) < changed_.size();
  };
  for (const int32_t token : history) {
    if (!is_token(token) || seen_[static_cast<size_t>(token)]) continue;
    seen_[static_cast<size_t>(token)] = true;
    float& logit = changed_[static_cast<size_t>(token)];
    logit = logit > 0 ? logit / penalty : logit * penalty;
  }
  for (const int32_t token : history) {
    if (is_token(token)) seen_[static_cast<size_t>(token)] = false;
  }
}

// Steps 2 of the head of sampler.h.
std::span<const float> Sampler::Changed(std::span<const float> logits, std::span<const int32_t> history,
                                        float repetition_penalty, const LogitRules& rules, int num_answer) {
  changed_.assign(logits.begin(), logits.end());
  for (const TokenBias& entry : rules.bias) changed_[static_cast<size_t>(entry.token)] += entry.bias;
  if (repetition_penalty != 1.0f) Penalise(history, repetition_penalty);
  std::span<const int32_t> answer;
  if (rules.frequency_penalty != 0 || rules.presence_penalty != 0)
    answer = history.last(static_cast<size_t>(num_answer));
  if (rules.frequency_penalty != 0) {
    for (const int32_t token : answer) changed_[static_cast<size_t>(token)] -= rules.frequency_penalty;
  }
  if (rules.presence_penalty != 0) {
    seen_.resize(logits.size());
    for (const int32_t token : answer) {
      if (seen_[static_cast<size_t>(token)]) continue;
      seen_[static_cast<size_t>(token)] = true;
      changed_[static_cast<size_t>(token)] -= rules.presence_penalty;
    }
    for (const int32_t token : answer) seen_[static_cast<size_t>(token)] = false;
  }
  if (num_answer < rules.min_tokens) {
    for (const int32_t token : rules.ends)
      changed_[static_cast<size_t>(token)] = std::numeric_limits<float>::quiet_NaN();
  }
  return changed_;
}

std::span<const uint64_t> Sampler::TopK(std::span<const float> logits, std::span<const uint64_t> mask,
                                        int k) {
  ranked_.clear();
  for (size_t id = 0; id < logits.size(); ++id) {
    if (!std::isnan(logits[id]) && IsAllowed(mask, id))
      ranked_.emplace_back(logits[id], static_cast<int32_t>(id));
  }
  if (static_cast<size_t>(k) >= ranked_.size()) return mask;
  std::nth_element(ranked_.begin(), ranked_.begin() + k, ranked_.end(), [](const auto& a, const auto& b) {
    return a.first > b.first || (a.first == b.first && a.second < b.second);
  });
  top_k_.assign((logits.size() + 63) / 64, 0);
  for (int i = 0; i < k; ++i) {
    const auto id = static_cast<size_t>(ranked_[static_cast<size_t>(i)].second);
    top_k_[id / 64] |= uint64_t{1} << (id % 64);
  }
  return top_k_;
}

// Writes weights_ and sums_, and returns the sum of all.
uint64_t Sampler::Weigh(std::span<const float> logits, std::span<const uint64_t> mask, float temperature) {
  weights_.resize(logits.size());
  sums_.assign((logits.size() + kWeightBlock - 1) / kWeightBlock, 0);
  const float largest = LargestLogit(logits, mask);
  if (!std::isinf(largest))
    return TokenWeights(logits, mask, largest, temperature, weights_.data(), sums_.data());
  // An infinite best logit leaves nothing to scale: the tokens that have it share the probability.
  uint64_t sum = 0;
  for (size_t id = 0; id < logits.size(); ++id) {
    weights_[id] = logits[id] == largest && IsAllowed(mask, id) ? kLargestWeight : 0;
    sums_[id / kWeightBlock] += weights_[id];
    sum += weights_[id];
  }
  return sum;
}

// From the most likely on: the first of front_ at which the sum of weights reaches `wanted`, which is no more
// than the sum of all and `sum`, that of the tokens before front_; with that sum as its weight. Halves what
// is left instead of sorting all of it.
WeighedToken Sampler::Reach(uint64_t wanted, uint64_t sum) {
  constexpr ptrdiff_t kFew = 64;
  const auto more_likely = [](const WeighedToken& a, const WeighedToken& b) {
    return a.weight > b.weight || (a.weight == b.weight && a.id < b.id);
  };
  auto begin = front_.begin();
  auto end = front_.end();
  const uint64_t any = begin->weight;
  if (std::all_of(begin, end, [any](const WeighedToken& token) { return token.weight == any; })) {
    const uint64_t before = (std::max(wanted, sum + 1) - sum - 1) / any;  // by id, as they are
    const auto at = std::min(begin + static_cast<ptrdiff_t>(before), end - 1);
    return {sum + any * (static_cast<uint64_t>(at - begin) + 1), at->id};
  }
  while (end - begin > kFew) {
    const auto middle = begin + (end - begin) / 2;
    std::nth_element(begin, middle, end, more_likely);
    uint64_t half = 0;
    for (auto i = begin; i < middle; ++i) half += i->weight;
    if (sum + half >= wanted) {
      end = middle;
    } else {
      sum += half;
      begin = middle;
    }
  }
  std::sort(begin, end, more_likely);
  for (; end - begin > 1 && sum + begin->weight < wanted; ++begin) sum += begin->weight;
  return {sum + begin->weight, begin->id};
}

// The same among all tokens of at least the weight `lowest`. Where all tokens are about equally likely, these
// are the vocabulary: then a table of weights' sums says which few the wanted one is among.
WeighedToken Sampler::ReachAmongAll(uint64_t wanted, uint64_t lowest) {
  size_t bin = bins_.size();
  uint64_t sum = 0;
  for (; bin-- > 0; sum += bins_[bin]) {
    if (bins_[bin] > 0 && sum + bins_[bin] >= wanted) break;
  }
  TokensBetween(weights_, sums_, std::max(lowest, LeastOfBin(bin)), LeastOfBin(bin + 1), front_);
  return Reach(wanted, sum);
}

// A weight of which all smaller ones together probably have no more than left_out: those of every 16th block
// have at most three quarters of a 16th of that.
uint64_t Sampler::LikelyLowest(uint64_t left_out) {
  constexpr size_t kStep = 16;
  bins_.assign(kWeightBins, 0);
  for (size_t block = 0; block < sums_.size(); block += kStep) {
    const size_t end = std::min(weights_.size(), (block + 1) * kWeightBlock);
    for (size_t id = block * kWeightBlock; id < end; ++id) {
      if (weights_[id] > 0) bins_[BinOf(weights_[id])] += weights_[id];
    }
  }
  uint64_t sum = 0;
  size_t lowest_bin = 0;
  for (size_t bin = 0; bin < bins_.size(); ++bin) {
    if (bins_[bin] == 0) continue;
    sum += bins_[bin];
    if (sum > left_out / kStep / 4 * 3) break;
    lowest_bin = bin + 1;
  }
  return LeastOfBin(lowest_bin);
}

int32_t Sampler::DrawFromTopP(double p, uint64_t sum, uint64_t least, uint64_t random) {
  const auto wanted = std::min(sum, static_cast<uint64_t>(std::ceil(p * static_cast<double>(sum))));
  const auto fill_bins = [&](uint64_t lowest) {
    bins_.assign(kWeightBins, 0);
    return AddToBins(weights_, sums_, lowest, bins_.data());
  };
  uint64_t lowest = std::max(LikelyLowest(sum - wanted), least);
  uint64_t front_sum = fill_bins(lowest);
  if (front_sum < wanted && lowest > least) {
    // All tokens of at most this weight together have no more than top-p may leave out.
    lowest = std::max((sum - wanted) / weights_.size() + 1, least);
    front_sum = fill_bins(lowest);
  }
  const uint64_t kept = front_sum < wanted ? front_sum : ReachAmongAll(wanted, lowest).weight;
  return ReachAmongAll(NumberBelow(kept, random) + 1, lowest).id;
}

int32_t Sampler::DrawById(uint64_t sum, uint64_t least, uint64_t random) {
  if (least > 0) {
    sum = 0;
    for (size_t block = 0; block < sums_.size(); ++block) {
      const uint64_t most = std::exchange(sums_[block], 0);
      if (most < least) continue;  // so are all of its weights
      const size_t end = std::min(weights_.size(), (block + 1) * kWeightBlock);
      for (size_t id = block * kWeightBlock; id < end; ++id) {
        if (weights_[id] < least) weights_[id] = 0;
        sums_[block] += weights_[id];
      }
      sum += sums_[block];
    }
  }
  uint64_t left = NumberBelow(sum, random);
  size_t block = 0;
  for (; left >= sums_[block]; ++block) left -= sums_[block];
  size_t id = block * kWeightBlock;
  for (; left >= weights_[id]; ++id) left -= weights_[id];
  return static_cast<int32_t>(id);
}

model::Draw DrawOf(const llm::Sampling& sampling, int token_index, std::span<const uint64_t> mask) {
  return {.temperature = sampling.temperature,
          .top_k = sampling.top_k,
          .top_p = sampling.top_p,
          .min_p = sampling.min_p,
          .random = CounterRng(sampling.seed).At(static_cast<uint64_t>(token_index)),
          .mask = mask};
}

int32_t Sampler::Sample(std::span<const float> logits, std::span<const uint64_t> mask,
                        std::span<const int32_t> history, const llm::Sampling& sampling, int token_index,
                        const LogitRules& rules) {
  THRONG_DCHECK(mask.empty() || mask.size() * 64 >= logits.size());
  if (sampling.repetition_penalty != 1.0f || rules.ChangesLogits(token_index))
    logits = Changed(logits, history, sampling.repetition_penalty, rules, token_index);
  if (sampling.temperature == 0 || sampling.top_p == 0) return Greedy(logits, mask);
  if (sampling.top_k > 0) mask = TopK(logits, mask, sampling.top_k);
  const uint64_t sum = Weigh(logits, mask, sampling.temperature);
  if (sum == 0) return -1;
  const auto least = static_cast<uint64_t>(
      std::ceil(static_cast<double>(kLargestWeight) * static_cast<double>(sampling.min_p)));
  const uint64_t random = CounterRng(sampling.seed).At(static_cast<uint64_t>(token_index));
  if (sampling.top_p < 1) return DrawFromTopP(static_cast<double>(sampling.top_p), sum, least, random);
  return DrawById(sum, least, random);
}

}  // namespace throng::engine
