#include "engine/lookup/prompt_lookup.h"

#include <algorithm>
#include <optional>

namespace throng::engine {
namespace {

// How far the rate of one sequence may differ from the average before much is known of it, in guesses.
constexpr double kPriorGuesses = 4;
// Guesses over which a rate is averaged.
constexpr int kRateMemory = 200;
constexpr double kMostChance = 0.98;

}  // namespace

// The last place of those where most tokens are the same.
PromptLookup::Place PromptLookup::Find() const {
  const auto size = static_cast<int>(history_.size());
  Place found = {history_.size(), kLeastSame - 1};
  if (size <= kLeastSame) return found;
  const int32_t* tokens = history_.data();
  const int32_t last = tokens[size - 1];
  for (int end = size - 1; end >= kLeastSame; --end) {
    if (tokens[end - 1] != last) continue;
    const int most = std::min(kMostSame, end);
    int same = 1;
    while (same < most && tokens[end - 1 - same] == tokens[size - 1 - same]) ++same;
    if (same <= found.same) continue;
    found = {static_cast<size_t>(end), same};
    if (same == kMostSame) break;
  }
  return found;
}

void PromptLookup::Guess(std::span<const int32_t> tokens, const Matcher* matcher, size_t most, PassPlan& plan,
                         Guesses& guesses) {
  guesses.Clear();
  if (most == 0 || !plan.IsWorth(kMostChance)) return;
  history_.assign(tokens.begin(), tokens.end());
  Place place = Find();
  std::optional<Matcher> ahead;
  if (matcher != nullptr) ahead = *matcher;
  const double trust = (guesses.hits + kPriorGuesses) / (guesses.expected_hits + kPriorGuesses);
  double chance = 1;
  while (guesses.size() < most) {
    std::optional<int32_t> token;
    GuessKind kind = kOnlyToken;
    if (ahead) token = ahead->OnlyToken();
    if (!token && place.next < history_.size()) {
      token = history_[place.next];
      kind = static_cast<GuessKind>(kSameTokens + std::min(place.same, kMostSame));
    }
    if (ahead && !(token && ahead->Accept(*token))) {
      token = ahead->LongestToken();
      kind = kKnownBytes;
      if (token && !ahead->Accept(*token)) token.reset();
    }
    // The end is seen in the row before it, and nothing follows it.
    if (!token || (ahead && ahead->IsFinished())) break;
    if (kind != kOnlyToken) chance *= std::min(kMostChance, rates_[kind].value * trust);
    if (!plan.IsWorth(chance)) break;
    plan.Add(chance);
    const bool as_before = place.next < history_.size() && history_[place.next] == *token;
    guesses.tokens.push_back(*token);
    guesses.kinds.push_back(kind);
    history_.push_back(*token);
    place = as_before ? Place{place.next + 1, place.same + 1} : Find();
  }
}

void PromptLookup::Count(Guesses& guesses, size_t i, bool hit) {
  const GuessKind kind = guesses.kinds[i];
  if (kind == kOnlyToken) return;
  Rate& rate = rates_[kind];
  guesses.expected_hits += rate.value;
  guesses.hits += hit ? 1 : 0;
  rate.count = std::min(rate.count + 1, kRateMemory);
  rate.value += ((hit ? 1.0 : 0.0) - rate.value) / (rate.count + kPriorGuesses);
}

}  // namespace throng::engine
