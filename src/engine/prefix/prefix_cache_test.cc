#include "engine/prefix/prefix_cache.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <numeric>
#include <optional>

#include "base/rng.h"
#include "engine/testing/fake_transformer.h"
#include "kv/layer_codecs.h"

namespace throng::engine {
namespace {

class PrefixCacheTest : public ::testing::Test {
 protected:
  std::vector<kv::SealedBlock> NewBlocks(size_t n) {
    std::vector<kv::SealedBlock> blocks;
    for (size_t i = 0; i < n; ++i) blocks.push_back({pool_.TryAllocateSealed(), nullptr});
    return blocks;
  }

  static std::vector<int32_t> Tokens(size_t n, int32_t first = 0) {
    std::vector<int32_t> tokens(n);
    std::iota(tokens.begin(), tokens.end(), first);
    return tokens;
  }

  std::vector<kv::SealedBlock> Match(const std::vector<int32_t>& tokens) {
    std::vector<kv::SealedBlock> blocks;
    cache_.Match(tokens, blocks);
    return blocks;
  }

  kv::BlockPool pool_{FakeTransformer::Layout(), 64 << 20};
  PrefixCache cache_{pool_, nullptr};
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
  EXPECT_EQ(cache_.EvictableBytes(), 4 * pool_.SealedBytes());
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

// Compares with a map from whole prefixes to blocks.
TEST_F(PrefixCacheTest, AgreesWithAMapOfAllPrefixes) {
  std::map<std::vector<int32_t>, kv::SealedBlock> model;
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

// A cache over blocks of which queries see two before their own in the fine form, and the first one always.
class FinePrefixCacheTest : public ::testing::Test {
 protected:
  FinePrefixCacheTest() { spill_.emplace(testing::TempDir(), pool_.Layout(), 1 << 20); }

  // As a sequence holds them: the first one a sink, and fine forms of the last two, or of all.
  std::vector<kv::SealedBlock> NewBlocks(size_t n, bool all_fine = false) {
    std::vector<kv::SealedBlock> blocks(n);
    for (size_t i = 0; i < n; ++i) {
      if (i > 0) blocks[i].base = Fill(kv::BlockKind::kSealed, i);
      if (i == 0 || i + 2 >= n || all_fine) blocks[i].fine = Fill(kv::BlockKind::kFine, i);
    }
    return blocks;
  }
  kv::BlockRef Fill(kv::BlockKind kind, size_t i) {
    auto block = pool_.TryAllocate(kind);
    std::memset(block->Data(), static_cast<int>(i), block->Bytes());
    return block;
  }

  static std::vector<int32_t> Tokens(size_t blocks, int32_t branch_at = 100) {
    std::vector<int32_t> tokens(blocks * 64 + 1);
    std::iota(tokens.begin(), tokens.end(), 0);
    for (size_t i = static_cast<size_t>(branch_at) * 64; i < tokens.size(); ++i) tokens[i] += 5000;
    return tokens;
  }

  // "f", "b" or "2" for each block that is found, and the number of blocks that can be used.
  std::pair<std::string, size_t> Match(PrefixCache& cache, const std::vector<int32_t>& tokens) {
    std::vector<kv::SealedBlock> blocks;
    cache.Match(tokens, blocks);
    cache.Restore(tokens, blocks);
    std::string forms;
    for (size_t i = 0; i < blocks.size(); ++i) {
      const kv::SealedBlock& block = blocks[i];
      forms += block.base == nullptr ? "f" : block.fine == nullptr ? "b" : "2";
      for (const kv::BlockRef& form : {block.base, block.fine}) {
        EXPECT_TRUE(form == nullptr || form->Data()[form->Bytes() / 2] == i);
      }
    }
    return {forms, kv::UsableBlocks(pool_.Layout(), blocks)};
  }

  using Found = std::pair<std::string, size_t>;
  kv::BlockPool pool_{
      kv::MakeLayout(kv::CodecFlags{.kv = "kivi2:sink=64,recent=128"}, kv::AlikeLayers(1, 1, 8)), 64 << 20};
  std::optional<kv::SpillFile> spill_;
};

TEST_F(FinePrefixCacheTest, AHitNeedsTheFineFormsOfItsWindow) {
  PrefixCache cache(pool_, nullptr);
  cache.Insert(Tokens(6), NewBlocks(6));
  EXPECT_EQ(Match(cache, Tokens(6)), Found("fbbb22", 6));
  EXPECT_EQ(Match(cache, Tokens(5)), Found("fbbb2", 1));
  // Another sequence comes by with the forms that are missing.
  cache.Insert(Tokens(4), NewBlocks(4));
  EXPECT_EQ(Match(cache, Tokens(6)), Found("fb2222", 6));
  EXPECT_EQ(Match(cache, Tokens(5)), Found("fb222", 5));
  EXPECT_EQ(Match(cache, Tokens(3)), Found("fb2", 1));
}

TEST_F(FinePrefixCacheTest, FineFormsInTheMiddleLeaveFirst) {
  PrefixCache cache(pool_, nullptr);
  cache.Insert(Tokens(9), NewBlocks(9, true));
  cache.Insert(Tokens(8, 4), NewBlocks(8, true));
  EXPECT_EQ(cache.EvictableBytes(), pool_.HeldBytes());
  EXPECT_TRUE(cache.EvictOne());
  // Kept before the fork, at 4, and before both ends.
  EXPECT_EQ(Match(cache, Tokens(9)), Found("fb22bbb22", 9));
  EXPECT_EQ(Match(cache, Tokens(8, 4)), Found("fb22bb22", 8));
  EXPECT_EQ(Match(cache, Tokens(6, 4)).second, 4u);
  EXPECT_EQ(cache.GetCounts().evictions, 0u);
  while (cache.EvictOne()) {
  }
  EXPECT_EQ(pool_.HeldBytes(), 0u);
  EXPECT_EQ(cache.GetCounts().evictions, 13u);
}

TEST_F(FinePrefixCacheTest, FineFormsBesideHeldBlocksCanLeave) {
  PrefixCache cache(pool_, nullptr);
  std::vector<kv::SealedBlock> held = NewBlocks(5, true);
  cache.Insert(Tokens(5), held);
  for (kv::SealedBlock& block : held) {
    if (block.base != nullptr) block.fine.reset();
  }
  EXPECT_EQ(cache.EvictableBytes(), 4 * pool_.FineBytes());
  EXPECT_TRUE(cache.EvictOne());
  EXPECT_TRUE(cache.EvictOne());
  EXPECT_FALSE(cache.EvictOne());
  EXPECT_EQ(Match(cache, Tokens(5)), Found("fbbbb", 1));
}

TEST_F(FinePrefixCacheTest, BothFormsGoToDiskAndComeBack) {
  PrefixCache cache(pool_, &*spill_);
  cache.Insert(Tokens(6), NewBlocks(6));
  while (cache.EvictOne()) {
  }
  EXPECT_EQ(pool_.HeldBytes(), 0u);
  EXPECT_EQ(Match(cache, Tokens(6)), Found("fbbb22", 6));
  EXPECT_EQ(cache.GetCounts().restores, 6u);
}

// A cache over a small pool and a spill file.
class SpillingPrefixCacheTest : public ::testing::Test {
 protected:
  static constexpr size_t kBlocksInMemory = 4;

  SpillingPrefixCacheTest()
      : pool_(FakeTransformer::Layout(),
              kBlocksInMemory * kv::BlockPool(FakeTransformer::Layout(), 0).SealedBytes()) {}

  void MakeCache(size_t blocks_on_disk) {
    spill_.emplace(testing::TempDir(), pool_.Layout(), blocks_on_disk * pool_.Layout().bytes);
    cache_.emplace(pool_, &*spill_);
  }

  // The contents of the block of these tokens.
  static uint8_t Fill(std::span<const int32_t> tokens, size_t block) {
    uint64_t hash = 7;
    for (const int32_t token : tokens.first((block + 1) * 64))
      hash = Mix64(hash + static_cast<uint32_t>(token));
    return static_cast<uint8_t>(hash);
  }

  // Acts as a sequence does: takes the blocks that exist, makes the rest, and shares them. Returns the number
  // found.
  size_t Use(const std::vector<int32_t>& tokens) {
    std::vector<kv::SealedBlock> blocks;
    cache_->Match(tokens, blocks);
    cache_->Restore(tokens, blocks);
    const size_t found = blocks.size();
    for (size_t i = 0; i < found; ++i) EXPECT_EQ(blocks[i].base->Data()[100], Fill(tokens, i));
    while (blocks.size() < PrefixCache::MostBlocks(tokens.size())) {
      std::shared_ptr<kv::Block> block = pool_.TryAllocateSealed();
      while (block == nullptr && cache_->EvictOne()) block = pool_.TryAllocateSealed();
      if (block == nullptr) break;
      std::memset(block->Data(), Fill(tokens, blocks.size()), block->Bytes());
      blocks.push_back({std::move(block), nullptr});
    }
    cache_->Insert(tokens, blocks);
    return found;
  }

  static std::vector<int32_t> Tokens(size_t blocks, int32_t value) {
    std::vector<int32_t> tokens(blocks * 64 + 1);
    std::iota(tokens.begin(), tokens.end(), value);
    return tokens;
  }

  kv::BlockPool pool_;
  std::optional<kv::SpillFile> spill_;
  std::optional<PrefixCache> cache_;
};

TEST_F(SpillingPrefixCacheTest, BlocksGoToDiskAndComeBack) {
  MakeCache(100);
  EXPECT_EQ(Use(Tokens(3, 1000)), 0u);
  EXPECT_EQ(Use(Tokens(4, 2000)), 0u);
  EXPECT_EQ(spill_->NumBlocks(), 3u);
  EXPECT_EQ(Use(Tokens(3, 1000)), 3u);
  EXPECT_EQ(Use(Tokens(4, 2000)), 4u);
  EXPECT_EQ(cache_->NumBlocks(), 7u);
  EXPECT_EQ(cache_->GetCounts().restores, 6u);  // one had stayed in memory
  EXPECT_EQ(cache_->GetCounts().insertions, 7u);
  EXPECT_EQ(spill_->NumBlocks(), 3u);
}

TEST_F(SpillingPrefixCacheTest, AFullFileDropsItsLeastRecentlyUsedLeaf) {
  MakeCache(4);
  Use(Tokens(4, 1000));
  Use(Tokens(4, 2000));
  EXPECT_EQ(spill_->NumBlocks(), 4u);
  Use(Tokens(2, 3000));  // two blocks of the second go to disk, two of the first from it
  EXPECT_EQ(cache_->NumBlocks(), 8u);
  EXPECT_EQ(Use(Tokens(4, 1000)), 2u);
}

TEST_F(SpillingPrefixCacheTest, WithoutRoomOnDiskItIsAsWithoutDisk) {
  MakeCache(0);
  Use(Tokens(4, 1000));
  Use(Tokens(4, 2000));
  EXPECT_EQ(cache_->NumBlocks(), 4u);
  EXPECT_EQ(Use(Tokens(4, 1000)), 0u);
}

TEST_F(SpillingPrefixCacheTest, HoldsTheRightBlocksWhateverHappens) {
  for (const size_t blocks_on_disk : {0, 1, 3, 10, 1000}) {
    MakeCache(blocks_on_disk);
    CounterRng rng(blocks_on_disk);
    size_t found = 0;
    for (int round = 0; round < 2000; ++round) {
      std::vector<int32_t> tokens;
      const size_t blocks = 1 + rng.NextBelow(4);
      for (size_t i = 0; i < blocks; ++i)
        tokens.insert(tokens.end(), 64, static_cast<int32_t>(rng.NextBelow(3)));
      tokens.push_back(0);
      found += Use(tokens);
      ASSERT_LE(spill_->NumBlocks(), blocks_on_disk);
      ASSERT_GE(cache_->NumBlocks(), spill_->NumBlocks());
    }
    EXPECT_GT(found, 100u);
    if (blocks_on_disk == 1000) {
      EXPECT_EQ(cache_->NumBlocks(), 3u + 9 + 27 + 81);
      EXPECT_EQ(cache_->GetCounts().insertions, 3u + 9 + 27 + 81);  // nothing is ever made twice
    }
    while (cache_->EvictOne()) {
    }
    EXPECT_EQ(pool_.HeldBytes(), 0u);
    cache_.reset();
  }
}

}  // namespace
}  // namespace throng::engine
