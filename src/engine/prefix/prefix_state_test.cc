// The prefix cache of a model with recurrent layers: which states stay.
#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <optional>
#include <string>

#include "engine/prefix/prefix_cache.h"
#include "engine/testing/fake_transformer.h"

namespace throng::engine {
namespace {

class PrefixStateTest : public ::testing::Test {
 protected:
  // A state takes as much as the pages of ten blocks.
  static constexpr size_t kFloats[] = {10 * 1024};

  kv::BlockRef Fill(kv::BlockKind kind, int value) {
    const auto slab = pool_.TryAllocate(kind);
    std::memset(slab->Data(), value, slab->Bytes());
    return slab;
  }

  // states: 's' for each block with a state, which holds the block's number.
  std::vector<kv::SealedBlock> NewBlocks(const std::string& states) {
    std::vector<kv::SealedBlock> blocks(states.size());
    for (size_t i = 0; i < states.size(); ++i) {
      const int value = static_cast<int>(i);
      blocks[i].base = Fill(kv::BlockKind::kSealed, value);
      if (states[i] == 's') blocks[i].state = Fill(kv::BlockKind::kState, value);
    }
    return blocks;
  }

  // Tokens of so many blocks and one more; other ones from block `branch_at` on.
  static std::vector<int32_t> Tokens(size_t blocks, size_t branch_at = 100) {
    std::vector<int32_t> tokens(blocks * 64 + 1);
    std::iota(tokens.begin(), tokens.end(), 0);
    for (size_t i = branch_at * 64; i < tokens.size(); ++i) tokens[i] += 5000;
    return tokens;
  }

  // num_prompt: by default no block is the last of a prompt.
  void Insert(const std::vector<int32_t>& tokens, const std::string& states, size_t num_prompt = 1) {
    cache_.Insert(tokens, NewBlocks(states), nullptr, num_prompt);
  }

  std::string States(const std::vector<int32_t>& tokens) {
    std::vector<kv::SealedBlock> blocks;
    cache_.Match(tokens, blocks);
    cache_.Restore(tokens, blocks);
    std::string states;
    for (size_t i = 0; i < blocks.size(); ++i) {
      states += blocks[i].state == nullptr ? '-' : 's';
      for (const kv::BlockRef& slab : {blocks[i].base, blocks[i].state}) {
        EXPECT_TRUE(slab == nullptr || slab->Data()[slab->Bytes() - 1] == i);
      }
    }
    return states;
  }

  kv::BlockPool pool_{FakeTransformer::Layout(kFloats), 64 << 20};
  kv::SpillFile spill_{testing::TempDir(), pool_.Layout(), 64 << 20};
  PrefixCache cache_{pool_, &spill_};
};

TEST_F(PrefixStateTest, TheStateMovesOnWithTheEndOfAPath) {
  Insert(Tokens(2), "-s");
  EXPECT_EQ(States(Tokens(9)), "-s");
  Insert(Tokens(3), "--s");
  EXPECT_EQ(States(Tokens(9)), "--s");
  Insert(Tokens(4), "----");  // nobody had room for it
  EXPECT_EQ(States(Tokens(9)), "----");
  EXPECT_EQ(pool_.GetLedger().states, 0u);
}

TEST_F(PrefixStateTest, StatesStayAtDistancesAndAtTheEndsOfPrompts) {
  Insert(Tokens(4), "---s", 4 * 64 + 20);
  Insert(Tokens(5), "----s", 4 * 64 + 20);
  Insert(Tokens(12), "---------s-s", 4 * 64 + 20);
  Insert(Tokens(13), "------------s", 4 * 64 + 20);
  EXPECT_EQ(States(Tokens(20)), "---s-----s--s");
  for (size_t block = 0; block < 40; ++block) {
    EXPECT_EQ(cache_.KeepsState(block, 64 * 7), block == 5 || (block + 1) % 10 == 0) << block;
  }
}

TEST_F(PrefixStateTest, AStateThatWasOfUseStays) {
  Insert(Tokens(2), "-s");
  cache_.Begins(Tokens(9), 2);
  Insert(Tokens(4), "---s");
  EXPECT_EQ(States(Tokens(9)), "-s-s");
}

TEST_F(PrefixStateTest, AForkKeepsTheState) {
  Insert(Tokens(4), "---s");
  Insert(Tokens(4, 2), "-s-s");
  EXPECT_EQ(States(Tokens(4)), "-s-s");
  EXPECT_EQ(States(Tokens(4, 2)), "-s-s");
}

// The end of a chunk is no place to go on from if others have gone further.
TEST_F(PrefixStateTest, NoStateEntersInTheMiddleOfAPath) {
  Insert(Tokens(6), "-----s");
  cache_.Insert(Tokens(6), NewBlocks("--s"), nullptr, 1);
  EXPECT_EQ(States(Tokens(6)), "-----s");
  // Here the prompt ends.
  cache_.Insert(Tokens(6), NewBlocks("---s"), nullptr, 4 * 64 + 1);
  EXPECT_EQ(States(Tokens(6)), "---s-s");
}

TEST_F(PrefixStateTest, BlocksThatNobodyCanGoOnFromLeaveFirst) {
  Insert(Tokens(3), "--s");
  Insert(Tokens(5, 1), "-s---");
  EXPECT_EQ(States(Tokens(3)), "--s");
  EXPECT_EQ(States(Tokens(5, 1)), "-s---");  // used last
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(cache_.EvictOne());
  EXPECT_EQ(spill_.NumBlocks(), 0u);
  EXPECT_EQ(cache_.NumBlocks(), 4u);
  EXPECT_EQ(States(Tokens(5, 1)), "-s");
  EXPECT_EQ(States(Tokens(3)), "--s");
}

TEST_F(PrefixStateTest, StatesGoToDiskAndComeBack) {
  Insert(Tokens(5), "-s--s", 2 * 64 + 1);
  while (cache_.EvictOne()) {
  }
  EXPECT_EQ(pool_.HeldBytes(), 0u);
  EXPECT_EQ(spill_.NumBlocks(), 5u);
  // What lies behind the last state of the prompt stays there.
  EXPECT_EQ(States(Tokens(4)), "-s");
  EXPECT_EQ(spill_.NumBlocks(), 3u);
  EXPECT_EQ(States(Tokens(5)), "-s--s");
}

// A sequence that runs holds its blocks, and goes on from a copy of the last one's state.
TEST_F(PrefixStateTest, AStateBesideHeldBlocksCanLeave) {
  std::vector<kv::SealedBlock> held = NewBlocks("-s-s");
  cache_.Insert(Tokens(4), held, nullptr, 2 * 64 + 1);
  EXPECT_EQ(cache_.EvictableBytes(), 0u);
  EXPECT_FALSE(cache_.EvictOne());
  for (kv::SealedBlock& block : held) block.state.reset();
  EXPECT_EQ(cache_.EvictableBytes(), 2 * pool_.StateBytes());
  EXPECT_TRUE(cache_.EvictOne());
  EXPECT_EQ(States(Tokens(4)), "---s");
  EXPECT_TRUE(cache_.EvictOne());
  EXPECT_FALSE(cache_.EvictOne());
}

}  // namespace
}  // namespace throng::engine
