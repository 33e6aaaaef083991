#include "engine/prefix/next_use.h"

#include <gtest/gtest.h>

#include <set>

#include "base/rng.h"
#include "engine/prefix/offline_eviction.h"
#include "engine/prefix/prefix_cache.h"
#include "engine/testing/fake_transformer.h"

namespace throng::engine {
namespace {

using Prompt = std::vector<int32_t>;

// Blocks of one token each, and a token more.
Prompt Of(const std::vector<int32_t>& blocks) {
  Prompt prompt;
  for (const int32_t token : blocks) prompt.insert(prompt.end(), kv::kPageTokens, token);
  prompt.push_back(0);
  return prompt;
}

// A prefix cache and its pool, used as the engine does for one request after the other.
class Memory {
 public:
  explicit Memory(size_t blocks)
      : pool_(FakeTransformer::Layout(), blocks * kv::BlockPool(FakeTransformer::Layout(), 0).SealedBytes()) {
  }

  PrefixCache& Cache() { return cache_; }
  NextUse& Told() { return cache_.Expectations(); }
  size_t HeldBytes() const { return pool_.HeldBytes(); }

  void Ask(const Prompt& prompt, const Asker* asker) {
    if (asker != nullptr) {
      Told().Asks(*asker);
      cache_.Learn(prompt, *asker);
    }
    std::vector<kv::SealedBlock> blocks;
    cache_.Match(prompt, blocks);
    while (blocks.size() < PrefixCache::MostBlocks(prompt.size())) {
      std::shared_ptr<kv::Block> block = pool_.TryAllocateSealed();
      while (block == nullptr && cache_.EvictOne()) block = pool_.TryAllocateSealed();
      if (block == nullptr) break;
      blocks.push_back({std::move(block), nullptr});
    }
    cache_.Insert(prompt, blocks, asker, prompt.size());
  }

  bool Has(const Prompt& prompt) {
    std::vector<kv::SealedBlock> blocks;
    cache_.Match(prompt, blocks);
    return blocks.size() == PrefixCache::MostBlocks(prompt.size());
  }

 private:
  kv::BlockPool pool_;
  PrefixCache cache_{pool_, nullptr};
};

class NextUseTest : public ::testing::Test {
 protected:
  NextUse& Told() { return memory_.Told(); }
  void Ask(const Prompt& prompt, const Asker& asker) { memory_.Ask(prompt, &asker); }
  void AskForNobody(const Prompt& prompt) { memory_.Ask(prompt, nullptr); }
  bool Has(const Prompt& prompt) { return memory_.Has(prompt); }

  Memory memory_{100};
  PrefixCache& cache_ = memory_.Cache();
};

TEST_F(NextUseTest, WhoIsExpectedLaterLosesItsBlocksFirst) {
  const uint8_t purpose = Told().PurposeOf("act");
  for (uint32_t agent : {0, 1, 2}) {
    Ask(Of({static_cast<int32_t>(agent)}), {agent, 10, purpose});
  }
  Told().Expect(0, 60);
  Told().Expect(1, 20);
  Told().Expect(2, 500);  // though it asked last
  ASSERT_TRUE(cache_.EvictOne());
  EXPECT_FALSE(Has(Of({2})));
  ASSERT_TRUE(cache_.EvictOne());
  EXPECT_FALSE(Has(Of({0})));
  EXPECT_TRUE(Has(Of({1})));
}

TEST_F(NextUseTest, ABlockThatTwoNeedStaysForTheSooner) {
  const uint8_t purpose = Told().PurposeOf("act");
  Ask(Of({7}), {0, 10, purpose});
  Ask(Of({7}), {1, 10, purpose});
  Ask(Of({8}), {2, 10, purpose});
  Told().Expect(0, 1000);
  Told().Expect(1, 20);
  Told().Expect(2, 100);
  ASSERT_TRUE(cache_.EvictOne());
  EXPECT_FALSE(Has(Of({8})));
}

TEST_F(NextUseTest, WhatNoAgentUsedLeavesFirstLeastRecentlyUsedFirst) {
  AskForNobody(Of({1}));
  AskForNobody(Of({2}));
  Ask(Of({9}), {0, 10, Told().PurposeOf("act")});
  Told().Expect(0, 100000);
  Has(Of({1}));
  for (const int32_t gone : {2, 1, 9}) {
    EXPECT_TRUE(Has(Of({9})));
    ASSERT_TRUE(cache_.EvictOne());
    EXPECT_FALSE(Has(Of({gone})));
  }
}

// Whatever the agents and purposes, parts that recur stay and others go.
TEST_F(NextUseTest, LearnsWhichPartsOfPromptsComeAgain) {
  const uint8_t act = Told().PurposeOf("act"), say = Told().PurposeOf("say");
  int32_t fresh = 1000;
  for (int32_t step = 0; step < 40; ++step) {
    for (uint32_t agent : {0, 1, 2}) {
      const auto self = static_cast<int32_t>(agent);
      Ask(Of({self, 100 + self, ++fresh}), {agent, step, step % 2 == 0 ? act : say});
      Told().Expect(agent, step + 1);
    }
  }
  // All but the six blocks that come again.
  for (size_t left = cache_.NumBlocks(); left > 6; --left) ASSERT_TRUE(cache_.EvictOne());
  for (const int32_t self : {0, 1, 2}) EXPECT_TRUE(Has(Of({self, 100 + self})));
}

TEST_F(NextUseTest, ManyPurposesAndManyUsersAreNoTrouble) {
  for (uint32_t i = 0; i < 1000; ++i) {
    const auto step = static_cast<int32_t>(i);
    Ask(Of({1, step + 2}), {i % 50, step, Told().PurposeOf(std::to_string(i))});
    Told().Expect(i % 50, step);
    if (i % 3 == 0) {
      ASSERT_TRUE(cache_.EvictOne());
    }
  }
  EXPECT_TRUE(Has(Of({1})));  // of all prompts
  while (cache_.EvictOne()) {
  }
  EXPECT_EQ(cache_.NumBlocks(), 0u);
  EXPECT_EQ(memory_.HeldBytes(), 0u);
}

// A day of agents like the town's: prompts have a common beginning, a part for each purpose, and news. Holds
// the tokens of all prompts, and how many blocks were recomputed.
struct Day {
  static constexpr size_t kAgents = 30;

  void Live(Memory& memory, uint64_t seed, bool tell) {
    CounterRng rng(seed);
    std::vector<int32_t> next(kAgents, 0);
    int32_t fresh = 1 << 20;
    for (int32_t step = 0; step < 2000; ++step) {
      for (uint32_t agent = 0; agent < kAgents; ++agent) {
        if (step < next[agent]) continue;
        const auto self = static_cast<int32_t>(agent * 10);
        const bool acts = rng.NextBelow(3) == 0;
        const Prompt prompt = Of({self, self + 1, self + (acts ? 2 : 3), fresh, fresh + 1});
        fresh += 2;
        const Asker asker = {agent, step, memory.Told().PurposeOf(acts ? "act" : "say")};
        memory.Ask(prompt, tell ? &asker : nullptr);
        prompts.push_back(PathOf(prompt));
        next[agent] = step + (rng.NextBelow(2) == 0 ? 4 : 60);
        if (tell) memory.Told().Expect(agent, next[agent]);
      }
    }
    recomputed = memory.Cache().GetCounts().recomputations;
  }

  std::vector<BlockPath> prompts;
  size_t recomputed = 0;
};

TEST(NextUseOfADay, ComputesLessThanHalfAgainOfWhatLruDoes) {
  constexpr size_t kBlocks = 100;
  for (const uint64_t seed : {1, 2, 3}) {
    Memory told_memory(kBlocks), lru_memory(kBlocks);
    Day told, lru;
    told.Live(told_memory, seed, true);
    lru.Live(lru_memory, seed, false);
    ASSERT_EQ(told.prompts, lru.prompts);
    const size_t least = LeastRecomputed(told.prompts, kBlocks);
    EXPECT_GT(least, 0u);
    EXPECT_GE(told.recomputed, least);
    EXPECT_LT(2 * told.recomputed, lru.recomputed);
  }
}

}  // namespace
}  // namespace throng::engine
