#include "kv/cache/block_pool.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "kv/cache/slab_arena.h"
#include "kv/layer_codecs.h"

namespace throng::kv {
namespace {

constexpr size_t kLarge = size_t{1} << 30;

size_t FormulaBytes(const BlockPool& pool, size_t sealed, size_t open) {
  return sealed * pool.SealedBytes() + open * pool.OpenBytes();
}

// How many bytes of [data, data + size) occupy memory.
size_t ResidentBytes(uint8_t* data, size_t size) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> pages(size / page);
  EXPECT_EQ(mincore(data, size, pages.data()), 0);
  size_t resident = 0;
  for (const unsigned char in : pages) resident += (in & 1) * page;
  return resident;
}

TEST(BlockPoolTest, HeldBytesAreThoseOfTheFormulaAndTheLedger) {
  for (const char* codec : {"f32", "f16", "int8"}) {
    BlockPool pool(MakeLayout({.kv = codec}, AlikeLayers(3, 2, 80)), kLarge);
    std::vector<std::shared_ptr<Block>> blocks;
    for (int i = 0; i < 5; ++i) blocks.push_back(pool.TryAllocateSealed());
    for (int i = 0; i < 2; ++i) blocks.push_back(pool.TryAllocateOpen());
    ASSERT_TRUE(pool.TryHoldChunk(1000));
    EXPECT_EQ(pool.HeldBytes(), FormulaBytes(pool, 5, 2) + 1000);
    EXPECT_EQ(pool.GetLedger().held.Total(), pool.HeldBytes());
    const size_t elements = 3 * 2 * 2 * 64 * 80;
    const size_t bits = codec == std::string("f32") ? 32 : codec == std::string("f16") ? 16 : 8;
    EXPECT_EQ(pool.GetLedger().held.codes, 5 * elements * bits / 8);
    EXPECT_EQ(pool.GetLedger().held.scales, bits == 8 ? 5 * 3 * 2 * 2 * 64 * 4u : 0u);
    EXPECT_EQ(pool.GetLedger().held.open, 2 * elements * (bits == 32 ? 4 : 2));
    blocks.clear();
    pool.ReleaseChunk(1000);
    EXPECT_EQ(pool.HeldBytes(), 0u);
    EXPECT_EQ(pool.GetLedger().held.Total(), 0u);
    EXPECT_EQ(pool.GetLedger().peak.Total(), FormulaBytes(pool, 5, 2) + 1000);
  }
}

TEST(BlockPoolTest, TheBudgetIsHard) {
  const BlockLayout layout = MakeLayout({.kv = "int8"}, AlikeLayers(2, 2, 64));
  const size_t sealed = BlockPool(layout, kLarge).SealedBytes();
  const size_t open = BlockPool(layout, kLarge).OpenBytes();
  BlockPool pool(layout, 2 * sealed + open);
  auto a = pool.TryAllocateSealed();
  auto b = pool.TryAllocateSealed();
  auto c = pool.TryAllocateOpen();
  EXPECT_TRUE(a && b && c);
  EXPECT_EQ(pool.FreeBytes(), 0u);
  EXPECT_EQ(pool.TryAllocateSealed(), nullptr);
  EXPECT_EQ(pool.TryAllocateOpen(), nullptr);
  EXPECT_FALSE(pool.TryHoldChunk(1));
  b.reset();
  EXPECT_NE(b = pool.TryAllocateSealed(), nullptr);
  EXPECT_EQ(pool.GetLedger().peak.Total(), pool.BudgetBytes());
}

TEST(BlockPoolTest, ABudgetBelowOneBlockAllocatesNothing) {
  BlockPool pool(MakeLayout({.kv = "f16"}, AlikeLayers(2, 2, 64)), 100);
  EXPECT_EQ(pool.TryAllocateSealed(), nullptr);
  EXPECT_EQ(pool.TryAllocateOpen(), nullptr);
}

TEST(BlockPoolTest, BlocksAreSharedUntilTheLastReferenceGoes) {
  BlockPool pool(MakeLayout({.kv = "f16"}, AlikeLayers(1, 1, 64)), kLarge);
  BlockRef a = pool.TryAllocateSealed();
  BlockRef b = a;
  a.reset();
  EXPECT_EQ(pool.HeldBytes(), pool.SealedBytes());
  b.reset();
  EXPECT_EQ(pool.HeldBytes(), 0u);
}

TEST(BlockPoolTest, FreedMemoryGoesBackToTheOperatingSystemButForTheLast) {
  BlockPool pool(MakeLayout({.kv = "f16"}, AlikeLayers(4, 4, 128)), kLarge);
  const size_t warm = SlabArena::kWarmBytes / pool.SealedBytes();
  ASSERT_GE(warm, 2u);
  std::vector<std::shared_ptr<Block>> blocks;
  std::vector<uint8_t*> data;
  for (size_t i = 0; i < 2 * warm + 1; ++i) {
    blocks.push_back(pool.TryAllocateSealed());
    data.push_back(blocks.back()->Data());
    std::memset(data.back(), 1, blocks.back()->Bytes());
  }
  const auto resident = [&] {
    size_t bytes = 0;
    for (uint8_t* slab : data) bytes += ResidentBytes(slab, pool.SealedBytes());
    return bytes;
  };
  EXPECT_EQ(resident(), data.size() * pool.SealedBytes());
  blocks.resize(1);
  EXPECT_EQ(pool.HeldBytes(), pool.SealedBytes());
  EXPECT_EQ(resident(), (warm + 1) * pool.SealedBytes());
  EXPECT_EQ(blocks[0]->Data()[0], 1);

  for (size_t i = 0; i < warm; ++i) {  // the next ones are those that have memory
    blocks.push_back(pool.TryAllocateSealed());
    EXPECT_EQ(ResidentBytes(blocks.back()->Data(), pool.SealedBytes()), pool.SealedBytes());
  }
  blocks.push_back(pool.TryAllocateSealed());
  EXPECT_EQ(ResidentBytes(blocks.back()->Data(), pool.SealedBytes()), 0u);
}

}  // namespace
}  // namespace throng::kv
