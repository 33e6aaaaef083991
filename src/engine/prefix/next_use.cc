#include "engine/prefix/next_use.h"

#include <algorithm>
#include <limits>

namespace throng::engine {

NextUse::Use NextUse::Use::Of(const Asker& asker, size_t block) {
  return {.agent = asker.agent,
          .purpose = asker.purpose,
          .place = static_cast<uint8_t>(std::min(block, kPlaces - 1))};
}

void NextUse::Tally::Add(bool hit) {
  if (total >= kMostTotal) {
    hits /= 2;
    total /= 2;
  }
  hits += hit ? 1 : 0;
  total += 1;
}

size_t NextUse::CoarseClass(const Use& use) {
  const size_t hits = std::min<size_t>(use.hits, kHits - 1);
  return hits * kMisses + std::min<size_t>(use.misses, kMisses - 1);
}

size_t NextUse::FineClass(const Use& use) {
  return (size_t{use.purpose} * kPlaces + use.place) * kHits * kMisses + CoarseClass(use);
}

uint8_t NextUse::PurposeOf(const std::string& name) {
  // Beyond that many, the last one stands for all.
  const size_t next = std::min<size_t>(purposes_.size(), std::numeric_limits<uint8_t>::max());
  const auto [found, is_new] = purposes_.try_emplace(name, static_cast<uint8_t>(next));
  if (is_new) fine_.resize((next + 1) * kPlaces * kHits * kMisses);
  return found->second;
}

void NextUse::Expect(uint32_t agent, int32_t step) {
  Agent& expected = agents_[agent];
  expected.next = step;
  expected.asks = false;
}

void NextUse::Asks(const Asker& asker) {
  Agent& agent = agents_[asker.agent];
  if (agent.has_asked && asker.step > agent.last) {
    constexpr double kLeastWeight = 0.02;
    const double weight = std::max(1.0 / static_cast<double>(++num_gaps_), kLeastWeight);
    gap_ += weight * (static_cast<double>(asker.step - agent.last) - gap_);
  }
  agent.has_asked = agent.asks = true;
  agent.last = now_ = asker.step;
}

void NextUse::Learn(Use& use, bool hit) {
  coarse_[CoarseClass(use)].Add(hit);
  fine_[FineClass(use)].Add(hit);
  if (hit) {
    use.hits = static_cast<uint8_t>(std::min<size_t>(use.hits + size_t{1}, kHits));
    use.misses = 0;
  } else {
    use.misses = static_cast<uint8_t>(std::min<int>(use.misses + 1, kForgotten));
  }
}

double NextUse::Rate(const Use& use) const {
  const double chance = fine_[FineClass(use)].Chance(coarse_[CoarseClass(use)].Chance(0.5));
  // One that asks may ask again at once. Even then the next prompt counts as a typical gap away: how soon it
  // really comes matters less than whether it has the block.
  double steps = gap_;
  const Agent& agent = agents_.at(use.agent);
  if (!agent.asks) steps += gap_ + std::max(0, agent.next - now_);
  return chance / steps;
}

}  // namespace throng::engine
