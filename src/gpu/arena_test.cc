#include "gpu/arena.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/rng.h"
#include "device/testing/guarded_device.h"

namespace throng::gpu {
namespace {

using enum MemoryUse;

TEST(Arena, TakesWhatTheDeviceGivesOnce) {
  const auto device = std::make_shared<device::GuardedDevice>(1, size_t{1} << 20);
  const size_t before = device->FreeBytes();
  Arena arena(device, 500000);
  EXPECT_EQ(arena.BudgetBytes(), 500000u / 256 * 256);
  EXPECT_EQ(before - device->FreeBytes(), arena.BudgetBytes());
  const device::DeviceArray<float> array(arena, 1000);
  EXPECT_EQ(before - device->FreeBytes(), arena.BudgetBytes());
  EXPECT_EQ(Arena(device).BudgetBytes(), device->FreeBytes() / 16 * 15 / 256 * 256 > 0
                                             ? (before - arena.BudgetBytes()) / 16 * 15 / 256 * 256
                                             : 0);
}

// Each use's bytes are those that it holds, whatever came and went, and nothing overlaps.
TEST(Arena, AccountsForEachUse) {
  const auto device = std::make_shared<device::GuardedDevice>(1, size_t{1} << 20);
  Arena arena(device, 1 << 19);
  CounterRng rng(1);
  struct Held {
    uint8_t* memory;
    size_t bytes;  // as taken
    MemoryUse use;
  };
  std::vector<Held> held;
  int refused = 0;
  for (int i = 0; i < 2000; ++i) {
    if (!held.empty() && rng.NextBelow(5) < 2) {
      std::swap(held[rng.NextBelow(held.size())], held.back());
      arena.Free(held.back().memory);
      held.pop_back();
    } else {
      const auto use = static_cast<MemoryUse>(rng.NextBelow(3));
      const size_t bytes = rng.NextBelow(9000);
      arena.CountAs(use);
      try {
        held.push_back({static_cast<uint8_t*>(arena.Allocate(bytes)),
                        std::max<size_t>((bytes + 255) / 256 * 256, 256), use});
      } catch (const std::bad_alloc&) {
        ++refused;
      }
    }
    size_t sums[3] = {};
    for (const Held& one : held) sums[static_cast<int>(one.use)] += one.bytes;
    for (const MemoryUse use : {kWeights, kCaches, kPasses})
      ASSERT_EQ(arena.TakenBytes(use), sums[static_cast<int>(use)]);
    ASSERT_EQ(arena.FreeBytes() + sums[0] + sums[1] + sums[2], arena.BudgetBytes());
  }
  EXPECT_GT(refused, 0);
  std::ranges::sort(held, {}, &Held::memory);
  for (size_t i = 1; i < held.size(); ++i) EXPECT_GE(held[i].memory, held[i - 1].memory + held[i - 1].bytes);
  for (const Held& one : held) arena.Free(one.memory);
  EXPECT_EQ(arena.FreeBytes(), arena.BudgetBytes());
  arena.Free(arena.Allocate(arena.BudgetBytes()));  // in one piece
}

TEST(Arena, SaysWhatTakesIt) {
  const auto device = std::make_shared<device::GuardedDevice>(1, size_t{16} << 20);
  Arena arena(device, 4 << 20);
  const device::DeviceArray<uint8_t> weights(arena, 1 << 20);
  arena.CountAs(kCaches);
  const device::DeviceArray<uint8_t> caches(arena, 2 << 20);
  arena.CountAs(kPasses);
  EXPECT_THROW(device::DeviceArray<uint8_t>(arena, (1 << 20) + 1), std::bad_alloc);
  const std::string ledger = "1.0 MB of 4.2 MB are left; weights take 1.0 MB, caches 2.1 MB, passes 0 B; ";
  EXPECT_EQ(arena.Ledger(), ledger + "outside of these 0 B are taken");
  // The device takes memory itself, as CUDA does for graphs.
  device->Allocate(3 << 20);
  EXPECT_EQ(arena.OutsideBytes(), size_t{3} << 20);
  EXPECT_EQ(arena.Ledger(), ledger + "outside of these 3.1 MB are taken");
}

TEST(Arena, ABudgetBeyondTheDeviceIsRefused) {
  try {
    const Arena arena(std::make_shared<device::GuardedDevice>(1, size_t{1} << 20), 3 << 20);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.Code(), ErrorCode::kExhausted);
    EXPECT_STREQ(error.what(), "emulated GPU has 1.0 MB of memory left, the budget is 3.1 MB");
  }
}

}  // namespace
}  // namespace throng::gpu
