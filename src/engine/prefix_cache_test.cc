#include "engine/prefix_cache.h"

#include <gtest/gtest.h>

#include <map>
#include <numeric>

#include "base/rng.h"
#include "engine/fake_transformer.h"

namespace throng::engine {
namespace {

class PrefixCacheTest : public ::testing::Test {
 protected:
  std::vector<kv::BlockRef> NewBlocks(size_t n) {
    std::vector<kv::BlockRef> blocks;
    for (size_t i = 0; i < n; ++i) blocks.push_back(pool_.TryAllocateSealed());
    return blocks;
  }

  static std::vector<int32_t> Tokens(size_t n, int32_t first = 0) {
    std::vector<int32_t> tokens(n);
    std::iota(tokens.begin(), tokens.end(), first);
    return tokens;
  }

  std::vector<kv::BlockRef> Match(const std::vector<int32_t>& tokens) {
    std::vector<kv::BlockRef> blocks;
    cache_.Match(tokens, blocks);
    return blocks;
  }

  kv::BlockPool pool_{FakeTransformer::Layout(), 64 << 20};
  PrefixCache cache_;
};

TEST_F(PrefixCacheTest, FindsTheLongestRunOfWholeBlocksAndLeavesOneToken) {
  const std::vector<int32_t> tokens = Tokens(200);
  const auto blocks = NewBlocks(3);
  cache_.Insert(tokens, blocks);
  EXPECT_EQ(Match(tokens), blocks);
  EXPECT_EQ(Match(Tokens(193)), blocks);
  EXPECT_EQ(Match(Tokens(192)).size(), 2u);
  EXPECT_EQ(Match(Tokens(64)).size(), 0u);
  EXPECT_EQ(Match(Tokens(65)).size(), 1u);
  EXPECT_EQ(Match({}).size(), 0u);
  std::vector<int32_t> other = tokens;
  other[64] = -1;
  EXPECT_EQ(Match(other).size(), 1u);
  other[0] = -1;
  EXPECT_EQ(Match(other).size(), 0u);
}

TEST_F(PrefixCacheTest, TheSameTokensAfterAnotherBeginningAreAnotherBlock) {
  std::vector<int32_t> first = Tokens(64), second = Tokens(64, 1000);
  const std::vector<int32_t> tail = Tokens(65, 5000);
  first.insert(first.end(), tail.begin(), tail.end());
  second.insert(second.end(), tail.begin(), tail.end());
  cache_.Insert(first, NewBlocks(2));
  EXPECT_EQ(Match(second).size(), 0u);
  cache_.Insert(second, NewBlocks(2));
  EXPECT_NE(Match(first)[1], Match(second)[1]);
  EXPECT_EQ(cache_.NumBlocks(), 4u);
}

TEST_F(PrefixCacheTest, KeepsTheBlockThatIsThere) {
  const auto first = NewBlocks(2);
  cache_.Insert(Tokens(128), first);
  cache_.Insert(Tokens(192), NewBlocks(3));
  EXPECT_EQ(Match(Tokens(129)), first);
  EXPECT_EQ(Match(Tokens(193)).size(), 3u);
  EXPECT_EQ(cache_.GetCounts().insertions, 3u);
}

TEST_F(PrefixCacheTest, EvictsLeavesThatNobodyHoldsLeastRecentlyUsedFirst) {
  cache_.Insert(Tokens(128), NewBlocks(2));
  cache_.Insert(Tokens(64, 1000), NewBlocks(1));
  cache_.Insert(Tokens(64, 2000), NewBlocks(1));
  EXPECT_EQ(cache_.CountEvictable(), 4u);
  auto held = Match(Tokens(65, 1000));  // in use
  Match(Tokens(129));                   // used after 2000
  EXPECT_TRUE(cache_.EvictOne());
  EXPECT_EQ(Match(Tokens(65, 2000)).size(), 0u);
  EXPECT_TRUE(cache_.EvictOne());  // the second block of the first run, not yet the first one
  EXPECT_EQ(Match(Tokens(129)).size(), 1u);
  EXPECT_TRUE(cache_.EvictOne());
  EXPECT_FALSE(cache_.EvictOne());
  held.clear();
  EXPECT_TRUE(cache_.EvictOne());
  EXPECT_EQ(cache_.NumBlocks(), 0u);
  EXPECT_EQ(pool_.HeldBytes(), 0u);
  EXPECT_EQ(cache_.GetCounts().evictions, 4u);
}

// Against a map from whole prefixes to blocks.
TEST_F(PrefixCacheTest, AgreesWithAMapOfAllPrefixes) {
  std::map<std::vector<int32_t>, kv::BlockRef> model;
  CounterRng rng(3);
  for (int round = 0; round < 300; ++round) {
    std::vector<int32_t> tokens;
    for (int block = 0; block < 4; ++block) {
      tokens.insert(tokens.end(), 64, static_cast<int32_t>(rng.NextBelow(3)));  // few, so that runs meet
    }
    const size_t length = rng.NextBelow(5);
    const auto blocks = NewBlocks(length);
    cache_.Insert(tokens, blocks);
    for (size_t i = 1; i <= length; ++i) {
      model.emplace(std::vector<int32_t>(tokens.begin(), tokens.begin() + static_cast<ptrdiff_t>(i * 64)),
                    blocks[i - 1]);
    }
    tokens.push_back(0);
    const auto found = Match(tokens);
    for (size_t i = 1; i <= 4; ++i) {
      const auto it = model.find({tokens.begin(), tokens.begin() + static_cast<ptrdiff_t>(i * 64)});
      ASSERT_EQ(found.size() >= i, it != model.end());
      if (it != model.end()) {
        ASSERT_EQ(found[i - 1], it->second);
      }
    }
  }
  EXPECT_EQ(cache_.NumBlocks(), model.size());
  model.clear();
  while (cache_.EvictOne()) {
  }
  EXPECT_EQ(cache_.NumBlocks(), 0u);
}

}  // namespace
}  // namespace throng::engine
