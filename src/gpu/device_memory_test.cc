#include "gpu/device_memory.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/rng.h"
#include "device/testing/guarded_device.h"
#include "kv/cache/block_pool.h"
#include "kv/cache/sequence_cache.h"
#include "kv/layer_codecs.h"

namespace throng::gpu {
namespace {

using kv::BlockKind;

kv::BlockLayout Layout() {
  kv::CodecFlags flags;
  flags.kv = "flashq4";
  return kv::MakeLayout(flags, kv::AlikeLayers(2, 2, 64));
}

struct Memory {
  explicit Memory(size_t budget) {
    const auto arena = std::make_shared<Arena>(std::make_shared<device::GuardedDevice>());
    auto made = std::make_unique<DeviceMemory>(arena, Layout(), budget);
    memory = made.get();
    pool = std::make_unique<kv::BlockPool>(Layout(), budget, kv::SoftmaxKind::kExact, std::move(made));
  }
  DeviceMemory* memory;
  std::unique_ptr<kv::BlockPool> pool;
};

// The pool's account is what the memory has given out, whatever came and went.
TEST(DeviceMemory, TheLedgerIsTheMemorys) {
  constexpr size_t kBudget = 2000003;
  Memory of(kBudget);
  const size_t whole = of.memory->FreeBytes();
  EXPECT_GE(whole, kBudget - 255);
  CounterRng rng(1);
  std::vector<std::shared_ptr<kv::Block>> blocks;
  int refused = 0;
  for (int i = 0; i < 2000; ++i) {
    if (!blocks.empty() && rng.NextBelow(5) < 2) {
      std::swap(blocks[rng.NextBelow(blocks.size())], blocks.back());
      blocks.pop_back();
    } else if (auto block =
                   of.pool->TryAllocate(rng.NextBelow(3) == 0 ? BlockKind::kOpen : BlockKind::kSealed)) {
      blocks.push_back(std::move(block));
    } else {
      ++refused;
    }
    ASSERT_EQ(of.pool->HeldBytes(), whole - of.memory->FreeBytes());
  }
  EXPECT_GT(refused, 0);
  blocks.clear();
  EXPECT_EQ(of.memory->FreeBytes(), whole);
  // In one piece.
  std::vector<std::shared_ptr<kv::Block>> open;
  while (auto block = of.pool->TryAllocateOpen()) open.push_back(std::move(block));
  EXPECT_EQ(open.size(), whole / of.pool->OpenBytes());
}

// Blocks do not overlap, and those that are freed leave room for others of their size, however many there
// are.
TEST(DeviceMemory, SealedBlocksBeginAtOneEndAndOpenOnesAtTheOther) {
  Memory of(1 << 20);
  std::vector<std::shared_ptr<kv::Block>> sealed, open;
  for (int i = 0; i < 6; ++i) {
    sealed.push_back(of.pool->TryAllocateSealed());
    open.push_back(of.pool->TryAllocateOpen());
  }
  for (int i = 1; i < 6; ++i) {
    EXPECT_EQ(sealed[i]->Data(), sealed[i - 1]->Data() + of.pool->SealedBytes());
    EXPECT_EQ(open[i]->Data(), open[i - 1]->Data() - of.pool->OpenBytes());
  }
  const uint8_t* const hole = sealed[2]->Data();
  sealed[2].reset();
  const uint8_t* const open_hole = open[1]->Data();
  open[1].reset();
  EXPECT_EQ(of.pool->TryAllocateSealed()->Data(), hole);
  EXPECT_EQ(of.pool->TryAllocateOpen()->Data(), open_hole);
}

TEST(DeviceMemory, BlocksAreCopiedToItAndBackAndWithinIt) {
  Memory of(1 << 20);
  const auto a = of.pool->TryAllocateSealed();
  const auto b = of.pool->TryAllocateSealed();
  std::vector<uint8_t> bytes(a->Bytes());
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 7);
  a->CopyFromHost(bytes.data());
  b->CopyFrom(*a);
  std::vector<uint8_t> buffer;
  const uint8_t* read = b->OnHost(buffer);
  EXPECT_EQ(std::vector<uint8_t>(read, read + b->Bytes()), bytes);
}

TEST(DeviceMemory, AnArenaWithoutSoMuchMemorySaysIt) {
  const auto arena = std::make_shared<Arena>(std::make_shared<device::GuardedDevice>(), size_t{1} << 20);
  try {
    DeviceMemory memory(arena, Layout(), size_t{3} << 20);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.Code(), ErrorCode::kExhausted);
    EXPECT_STREQ(error.what(),
                 "KV cache: emulated GPU has no memory for a budget of 3.1 MB: 1.0 MB of 1.0 MB are left; "
                 "weights take 0 B, caches 0 B, passes 0 B; outside of these 0 B are taken");
  }
  const DeviceMemory memory(arena, Layout(), size_t{1} << 19);
  EXPECT_EQ(arena->TakenBytes(MemoryUse::kCaches), size_t{1} << 19);
}

}  // namespace
}  // namespace throng::gpu
