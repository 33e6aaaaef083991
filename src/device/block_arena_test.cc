// Blocks in a device's memory: what the budget holds, and blocks that leave and come back.
#include "device/block_arena.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "base/error.h"
#include "device/codec_kernels.h"
#include "device/emulation/emulated_device.h"
#include "kv/block_layout.h"
#include "kv/layer_codecs.h"
#include "kv/open_codec.h"
#include "kv/testing/random_rows.h"

namespace throng::device {
namespace {

std::vector<uint8_t> Bytes(Device& device, const uint8_t* block, size_t size) {
  std::vector<uint8_t> bytes(size);
  device.CopyFrom(bytes.data(), block, size);
  return bytes;
}

// The table as kernels read it.
std::vector<const uint8_t*> Read(Device& device, PageTable& table) {
  std::vector<const uint8_t*> blocks(static_cast<size_t>(table.NumBlocks()));
  device.CopyFrom(blocks.data(), table.OnDevice(), blocks.size() * sizeof(uint8_t*));
  return blocks;
}

TEST(BlockArena, KeepsToItsBudget) {
  const auto device = MakeEmulatedDevice({.seed = 1});
  BlockArena arena(*device, 1000, 256);
  std::vector<uint8_t*> taken;
  while (const auto block = arena.Take()) taken.push_back(*block);
  EXPECT_EQ(taken.size(), 3u);
  EXPECT_EQ(arena.Ledger().used, 768u);
  EXPECT_EQ(arena.Ledger().free, 0u);
  EXPECT_EQ(arena.Ledger().rest, 232u);
  arena.Give(taken[1]);
  EXPECT_EQ(arena.Ledger().free, 256u);
  EXPECT_EQ(arena.Take(), taken[1]);
}

TEST(BlockArena, RefusesABudgetWithoutRoomForABlock) {
  const auto device = MakeEmulatedDevice({.seed = 1});
  try {
    const BlockArena arena(*device, 100, 256);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.Code(), ErrorCode::kInvalid);
    EXPECT_STREQ(error.what(),
                 "KV cache of emulated GPU: the budget of 100 bytes has no room for a block of 256");
  }
}

TEST(PageTable, TellsKernelsWhereBlocksAre) {
  const auto device = MakeEmulatedDevice({.seed = 2});
  BlockArena arena(*device, 5 * 256, 256);
  PageTable table(arena);
  std::vector<const uint8_t*> expected;
  for (int i = 0; i < 4; ++i) {
    uint8_t* const block = table.Append();
    ASSERT_NE(block, nullptr);
    expected.push_back(block);
    EXPECT_EQ(Read(*device, table), expected);
  }
  EXPECT_EQ(table.Append(), nullptr) << "four blocks and the table are all";
}

TEST(PageTable, GivesItsBlocksBack) {
  const auto device = MakeEmulatedDevice({.seed = 2});
  BlockArena arena(*device, 5 * 256, 256);
  {
    PageTable table(arena);
    while (table.Append() != nullptr) {
    }
    std::vector<uint8_t> spilled(256);
    table.Spill(1, spilled);
    EXPECT_EQ(arena.Ledger().free, 256u);
  }
  EXPECT_EQ(arena.Ledger().free, 5u * 256);
}

TEST(PageTable, BringsSpilledBlocksBack) {
  const auto device = MakeEmulatedDevice({.seed = 3});
  BlockArena arena(*device, 4 * 256, 256);
  PageTable table(arena);
  std::vector<std::vector<uint8_t>> contents;
  for (int i = 0; i < 3; ++i) {
    contents.emplace_back(256, static_cast<uint8_t>(i + 1));
    device->CopyTo(table.Append(), contents.back().data(), 256);
  }
  Read(*device, table);
  std::vector<uint8_t> first(256), second(256);
  table.Spill(0, first);
  table.Spill(1, second);
  EXPECT_EQ(first, contents[0]);
  EXPECT_EQ(second, contents[1]);
  EXPECT_FALSE(table.IsHere(1));
  ASSERT_TRUE(table.Restore(0, first));
  ASSERT_TRUE(table.Restore(1, second));  // in the other order, so each is where the other was
  const auto places = Read(*device, table);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(Bytes(*device, places[i], 256), contents[i]) << i;

  table.Spill(2, first);
  const auto taken = arena.Take();
  EXPECT_FALSE(table.Restore(2, first)) << "somebody else has its place";
  arena.Give(*taken);
  EXPECT_TRUE(table.Restore(2, first));
}

// A block that kernels seal in the arena and that is spilled has the bytes of a block of the processor's
// cache.
TEST(PageTable, SpillsTheBlocksOfTheProcessorsCache) {
  const kv::LayerShape layer{2, 64, 64};
  const kv::BlockLayout layout = kv::MakeLayout(kv::CodecFlags{.kv = "flashq4"}, {&layer, 1});
  const auto device = MakeEmulatedDevice({.seed = 4});
  BlockArena arena(*device, 3 * layout.bytes, layout.bytes);
  PageTable table(arena);
  uint8_t* const block = table.Append();
  ASSERT_NE(block, nullptr);
  std::vector<uint8_t> expected(layout.bytes), got(layout.bytes);
  device->CopyTo(block, expected.data(), expected.size());  // so that padding is 0 in both

  const auto open = kv::MakeOpenCodec(kv::OpenType::kF16, 64);
  std::vector<std::unique_ptr<DeviceArray<uint16_t>>> rows;
  std::vector<SealJob> jobs;
  kv::AlignedBytes page(layout.bytes);
  for (int head = 0; head < 2; ++head) {
    const kv::PageSpec& spec = layout.At(0, head);
    for (const kv::Part part : {kv::Part::kKeys, kv::Part::kValues}) {
      const bool is_values = part == kv::Part::kValues;
      const auto values = kv::Normal(64 * 64, static_cast<uint64_t>(2 * head + is_values + 1));
      std::vector<uint16_t> halves(64 * 64);
      open->Append(part, reinterpret_cast<uint8_t*>(halves.data()), 0, 64, values.data(), 64);
      const size_t offset = is_values ? spec.values_offset : spec.keys_offset;
      const kv::Codec& codec = is_values ? *spec.values : *spec.keys;
      codec.Seal(part, *open, reinterpret_cast<const uint8_t*>(halves.data()), {}, page.data());
      std::memcpy(expected.data() + offset, page.data(), codec.Bytes(part));
      rows.push_back(std::make_unique<DeviceArray<uint16_t>>(*device, std::span<const uint16_t>(halves)));
      jobs.push_back({rows.back()->Data(), block + offset, is_values ? 1 : 0});
    }
  }
  const DeviceArray<SealJob> device_jobs(*device, std::span<const SealJob>(jobs));
  const SealArgs args{device_jobs.Data(), nullptr};
  device->Launch(KernelId::kSealFlashq4Dim64, {static_cast<int>(jobs.size()), 1, 1}, &args);
  device->Wait();
  table.Spill(0, got);
  EXPECT_EQ(got, expected);
}

}  // namespace
}  // namespace throng::device
