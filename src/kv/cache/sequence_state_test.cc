// The state of recurrent layers in a sequence's cache.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <span>
#include <vector>

#include "base/error.h"
#include "kv/cache/block_pool.h"
#include "kv/cache/sequence_cache.h"
#include "kv/layer_codecs.h"

namespace throng::kv {
namespace {

constexpr int kDim = 8;
constexpr size_t kLarge = size_t{1} << 30;
constexpr size_t kFloats[] = {3, 1500};  // of two recurrent layers

BlockLayout Layout(const char* codec = "int8") {
  return WithStates(MakeLayout(CodecFlags{.kv = codec}, AlikeLayers(1, 1, kDim)), kFloats);
}

// What a layer's state becomes: it depends on all tokens before and their order.
void Update(std::span<float> state, int layer, int token) {
  for (size_t i = 0; i < state.size(); ++i) {
    const int old = static_cast<int>(state[i]);
    state[i] = static_cast<float>((old * 31 + token * 7 + layer + static_cast<int>(i)) % 65521);
  }
}

// One forward pass, layer by layer as a model runs. The token at position p is stream + p.
void RunChunk(SequenceCache& cache, int count, int stream = 0) {
  const int first = cache.NumTokens();
  cache.BeginChunk(count);
  const std::vector<float> rows(static_cast<size_t>(count) * kDim, static_cast<float>(stream));
  cache.Append(0, 0, {rows.data(), kDim}, {rows.data(), kDim});
  cache.FinishLayer(0, 0);
  for (int layer = 0; layer < 2; ++layer) {
    const std::span state(cache.State(layer), kFloats[layer]);
    for (int position = first; position < first + count; ++position) {
      Update(state, layer, stream + position);
      if ((position + 1) % kPageTokens != 0) continue;
      if (float* kept = cache.KeptState(layer, position / kPageTokens)) {
        std::ranges::copy(state, kept);
      }
    }
  }
  cache.EndChunk();
}

void Extend(SequenceCache& cache, int count, int stream = 0) {
  ASSERT_TRUE(cache.Reserve(count));
  RunChunk(cache, count, stream);
}

using States = std::vector<std::vector<float>>;

States StatesIn(const BlockLayout& layout, const uint8_t* data) {
  States states;
  for (const StateSpec& spec : layout.states) {
    const auto* floats = reinterpret_cast<const float*>(data + spec.offset);
    states.emplace_back(floats, floats + spec.floats);
  }
  return states;
}

States StatesOf(const SequenceCache& cache) { return StatesIn(cache.Layout(), cache.LastState()->Data()); }

States Expected(int num_tokens, int stream = 0) {
  States states = {std::vector<float>(kFloats[0]), std::vector<float>(kFloats[1])};
  for (int position = 0; position < num_tokens; ++position) {
    for (int layer = 0; layer < 2; ++layer) Update(states[layer], layer, stream + position);
  }
  return states;
}

class SequenceStateTest : public testing::Test {
 protected:
  BlockPool pool_{Layout(), kLarge};
};

TEST(WithStatesTest, PlacesLayersApartAndRefusesWhatNoModelHas) {
  const BlockLayout layout = Layout();
  ASSERT_EQ(layout.states.size(), 2u);
  EXPECT_EQ(layout.states[0].offset, 0u);
  EXPECT_EQ(layout.states[1].offset, 64u);
  EXPECT_EQ(layout.state_bytes, 64u + 6016u);
  for (const std::vector<size_t>& floats :
       {std::vector<size_t>{0}, {size_t{1} << 40}, {SIZE_MAX}, std::vector<size_t>(1025, 1)}) {
    EXPECT_THROW(WithStates(MakeLayout(CodecFlags{.kv = "int8"}, AlikeLayers(1, 1, kDim)), floats), Error);
  }
}

TEST_F(SequenceStateTest, DoesNotDependOnChunking) {
  for (const std::vector<int>& pattern : {std::vector{200}, {1}, {64}, {63, 2}, {7, 60, 130, 3}, {128, 72}}) {
    SequenceCache cache(pool_);
    EXPECT_EQ(cache.LastState(), nullptr);
    for (size_t i = 0; cache.NumTokens() < 200; ++i) {
      Extend(cache, std::min(pattern[i % pattern.size()], 200 - cache.NumTokens()));
      ASSERT_EQ(StatesOf(cache), Expected(cache.NumTokens())) << cache.NumTokens();
    }
  }
}

TEST_F(SequenceStateTest, HoldsOneStateAndWhatTheFormulaSays) {
  SequenceCache cache(pool_);
  for (const int count : {1, 62, 1, 1, 127, 200}) {
    EXPECT_EQ(pool_.HeldBytes(), pool_.SequenceBytes(cache.NumTokens()));
    EXPECT_EQ(pool_.GetLedger().states, cache.NumTokens() > 0 ? 1u : 0u);
    const size_t before = pool_.HeldBytes();
    const size_t needed = cache.BytesToReserve(count);
    ASSERT_TRUE(cache.Reserve(count));
    EXPECT_EQ(pool_.HeldBytes(), before + needed);
    ASSERT_TRUE(cache.Reserve(count));  // replaces
    const Ledger ledger = pool_.GetLedger();
    EXPECT_EQ(ledger.held.Total(), before + needed);
    EXPECT_EQ(ledger.held.state, ledger.states * (3 + 1500) * sizeof(float));
    RunChunk(cache, count);
  }
  cache.Release();
  EXPECT_EQ(pool_.HeldBytes(), 0u);
}

TEST_F(SequenceStateTest, AFailedReservationChangesNothing) {
  BlockPool pool(Layout(), pool_.SequenceBytes(128) + pool_.OpenBytes());
  SequenceCache cache(pool);
  Extend(cache, 64);
  const size_t held = pool.HeldBytes();
  EXPECT_FALSE(cache.Reserve(65));  // the state's copy fits, the block does not
  EXPECT_EQ(pool.HeldBytes(), held);
  EXPECT_EQ(StatesOf(cache), Expected(64));
}

TEST_F(SequenceStateTest, OthersGoOnFromTheEndOfABlock) {
  SequenceCache cache(pool_);
  Extend(cache, 128);
  SequenceCache other(pool_);
  other.Adopt(cache.SealedBlocks());
  EXPECT_EQ(pool_.GetLedger().states, 1u);
  Extend(other, 10);
  Extend(cache, 10, 500);
  EXPECT_EQ(StatesOf(other), Expected(138));
  EXPECT_NE(StatesOf(cache), Expected(138));
  EXPECT_EQ(pool_.GetLedger().states, 2u);
  EXPECT_EQ(UsableBlocks(pool_.Layout(), cache.SealedBlocks()), 0u);
}

TEST_F(SequenceStateTest, KeepsTheStatesThatSomebodyAskedFor) {
  SequenceCache cache(pool_);
  ASSERT_TRUE(cache.Reserve(64 * 5));
  const size_t held = pool_.HeldBytes();
  ASSERT_TRUE(cache.ReserveState(1));
  ASSERT_TRUE(cache.ReserveState(1));
  ASSERT_TRUE(cache.ReserveState(3));
  EXPECT_EQ(pool_.HeldBytes(), held + 2 * pool_.StateBytes());
  ASSERT_TRUE(cache.ReserveState(4));  // the last one needs nothing
  EXPECT_EQ(pool_.HeldBytes(), held + 2 * pool_.StateBytes());
  RunChunk(cache, 64 * 5);
  for (const int block : {0, 1, 2, 3, 4}) {
    const BlockRef& state = cache.SealedBlocks()[static_cast<size_t>(block)].state;
    ASSERT_EQ(state != nullptr, block == 1 || block >= 3) << block;
    if (state != nullptr) {
      EXPECT_EQ(StatesIn(pool_.Layout(), state->Data()), Expected((block + 1) * 64)) << block;
    }
  }
  for (const auto& [tokens, kept] :
       {std::pair(320, 320), {319, 256}, {256, 256}, {255, 128}, {128, 128}, {127, 0}, {0, 0}}) {
    EXPECT_EQ(cache.Reusable(tokens), kept);
    std::optional<SequenceCache> fork = cache.Fork(tokens);
    ASSERT_TRUE(fork.has_value());
    EXPECT_EQ(fork->NumTokens(), kept);
    Extend(*fork, 330 - kept);
    EXPECT_EQ(StatesOf(*fork), Expected(330)) << tokens;
  }
  cache.ReleaseKept();
  EXPECT_EQ(pool_.GetLedger().states, 1u);
  EXPECT_EQ(StatesOf(cache), Expected(320));
}

TEST_F(SequenceStateTest, AReservedStateOfAShorterChunkIsLetGo) {
  SequenceCache cache(pool_);
  ASSERT_TRUE(cache.Reserve(200));
  ASSERT_TRUE(cache.ReserveState(0));
  ASSERT_TRUE(cache.ReserveState(1));
  RunChunk(cache, 64);
  EXPECT_EQ(pool_.HeldBytes(), pool_.SequenceBytes(64));
  EXPECT_EQ(StatesOf(cache), Expected(64));
}

TEST_F(SequenceStateTest, AForkInTheMiddleOfABlockCopiesTheState) {
  SequenceCache cache(pool_);
  Extend(cache, 100);
  std::optional<SequenceCache> fork = cache.Fork();
  ASSERT_TRUE(fork.has_value());
  EXPECT_EQ(fork->NumTokens(), 100);
  Extend(cache, 20, 900);
  Extend(*fork, 50);
  EXPECT_EQ(StatesOf(*fork), Expected(150));
  BlockPool tight(Layout(), pool_.SequenceBytes(100) + pool_.OpenBytes());
  SequenceCache full(tight);
  Extend(full, 100);
  EXPECT_FALSE(full.Fork().has_value());
  EXPECT_EQ(tight.HeldBytes(), tight.SequenceBytes(100));
}

TEST_F(SequenceStateTest, TruncationGoesBackToAState) {
  for (const int keep : {0, 10, 64, 65, 127, 128, 149, 150, 1000}) {
    SequenceCache cache(pool_);
    ASSERT_TRUE(cache.Reserve(140));
    ASSERT_TRUE(cache.ReserveState(0));
    RunChunk(cache, 140);
    Extend(cache, 10);
    const int kept = cache.Truncate(keep);
    EXPECT_EQ(kept, keep >= 150 ? 150 : keep >= 64 ? 64 : 0);
    EXPECT_EQ(pool_.HeldBytes(), pool_.SequenceBytes(kept) + (kept == 150 ? pool_.StateBytes() : 0));
    Extend(cache, 160 - kept);
    EXPECT_EQ(StatesOf(cache), Expected(160)) << keep;
  }
}

// What is guessed could not be taken back.
TEST_F(SequenceStateTest, TakesNoGuesses) {
  SequenceCache cache(pool_);
  Extend(cache, 10);
  ASSERT_TRUE(cache.Reserve(1));
  EXPECT_EQ(cache.ReserveGuesses(5), 0);
}

TEST_F(SequenceStateTest, AnAbandonedChunkGivesEverythingBack) {
  SequenceCache cache(pool_);
  Extend(cache, 100);
  ASSERT_TRUE(cache.Reserve(300));
  ASSERT_TRUE(cache.ReserveState(3));
  cache.BeginChunk(300);
  cache.State(0)[0] = 5;
  cache.Release();
  EXPECT_EQ(pool_.HeldBytes(), 0u);
  Extend(cache, 10);
  EXPECT_EQ(StatesOf(cache), Expected(10));  // begins as zeros again
  SequenceCache moved(std::move(cache));
  EXPECT_EQ(StatesOf(moved), Expected(10));
}

TEST_F(SequenceStateTest, CopiesOfBlocksHaveTheirStates) {
  SequenceCache cache(pool_);
  Extend(cache, 64);
  const std::optional<SealedBlock> copy = TryCopy(pool_, cache.SealedBlocks()[0]);
  ASSERT_TRUE(copy.has_value() && copy->state != nullptr);
  EXPECT_NE(copy->state, cache.SealedBlocks()[0].state);
  EXPECT_EQ(StatesIn(pool_.Layout(), copy->state->Data()), Expected(64));
}

// The window's fine forms and the state are needed at the same place.
TEST(SequenceStateWithWindowTest, ABlockIsUsableWithStateAndFineForms) {
  BlockPool pool(Layout("kivi2:recent=64"), kLarge);
  const auto usable = [&](const std::string& states, const std::string& fine) {
    std::vector<SealedBlock> blocks;
    for (size_t i = 0; i < states.size(); ++i) {
      SealedBlock& block = blocks.emplace_back();
      block.base = pool.TryAllocateSealed();
      if (fine[i] == 'f') block.fine = pool.TryAllocate(BlockKind::kFine);
      if (states[i] == 's') block.state = pool.TryAllocate(BlockKind::kState);
    }
    return UsableBlocks(pool.Layout(), blocks);
  };
  EXPECT_EQ(usable("s-s", "fff"), 3u);
  EXPECT_EQ(usable("s--", "fff"), 1u);
  EXPECT_EQ(usable("s-s", "ff-"), 1u);
  EXPECT_EQ(usable("s-s", "--f"), 3u);
  EXPECT_EQ(usable("---", "fff"), 0u);
}

}  // namespace
}  // namespace throng::kv
