#include "engine/prefix/offline_eviction.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "base/rng.h"

namespace throng::engine {
namespace {

TEST(OfflineEviction, PathsAreOfWholeBlocksAndDifferFromWhereTheTokensDo) {
  std::vector<int32_t> prompt(200);
  std::iota(prompt.begin(), prompt.end(), 0);
  const BlockPath path = PathOf(prompt);
  EXPECT_EQ(path.size(), 3u);
  EXPECT_EQ(PathOf(std::span(prompt).first(192)).size(), 2u);  // one token at least is computed
  prompt[70] = -1;
  const BlockPath other = PathOf(prompt);
  EXPECT_EQ(other[0], path[0]);
  EXPECT_NE(other[1], path[1]);
  EXPECT_NE(other[2], path[2]);
}

TEST(OfflineEviction, KnownExample) {
  const std::vector<BlockPath> prompts = {{1}, {2}, {3}, {1}, {2}, {3}};
  EXPECT_EQ(LeastRecomputed(prompts, 3), 0u);
  EXPECT_EQ(LeastRecomputed(prompts, 2), 1u);  // 1 and 2 stay, 3 passes by
  EXPECT_EQ(LeastRecomputed(prompts, 0), 3u);
  EXPECT_EQ(PeakOfLive(prompts), 3u);
  EXPECT_EQ(PeakOfLive(std::vector<BlockPath>{{1, 2}, {1, 3}, {1, 4}}), 1u);
}

// The fewest recomputations over every possible choice of what to keep.
size_t ByTryingAll(const std::vector<uint64_t>& accesses, size_t at, const std::set<uint64_t>& held,
                   size_t capacity) {
  if (at == accesses.size()) return 0;
  const uint64_t block = accesses[at];
  const bool known = std::find(accesses.begin(), accesses.begin() + static_cast<ptrdiff_t>(at), block) !=
                     accesses.begin() + static_cast<ptrdiff_t>(at);
  const size_t cost = known && !held.contains(block) ? 1 : 0;
  std::set<uint64_t> all = held;
  all.insert(block);
  if (all.size() <= capacity) return cost + ByTryingAll(accesses, at + 1, all, capacity);
  size_t best = accesses.size();
  for (const uint64_t victim : all) {
    std::set<uint64_t> rest = all;
    rest.erase(victim);
    best = std::min(best, ByTryingAll(accesses, at + 1, rest, capacity));
  }
  return cost + best;
}

TEST(OfflineEviction, NoChoiceComputesLess) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    CounterRng rng(seed);
    std::vector<uint64_t> accesses(9);
    for (uint64_t& block : accesses) block = rng.NextBelow(4);
    std::vector<BlockPath> prompts;
    for (const uint64_t block : accesses) prompts.push_back({block});
    for (const size_t capacity : {1, 2, 3}) {
      EXPECT_EQ(LeastRecomputed(prompts, capacity), ByTryingAll(accesses, 0, {}, capacity));
    }
  }
}

}  // namespace
}  // namespace throng::engine
