#include "kv/cache/spill_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <optional>
#include <vector>

#include "base/error.h"

namespace throng::kv {
namespace {

constexpr size_t kBaseBytes = 5000, kFineBytes = 9000, kStateBytes = 20000;

BlockLayout Layout(size_t fine = 0, size_t state = 0) {
  BlockLayout layout;
  layout.bytes = kBaseBytes;
  layout.fine_bytes = fine;
  layout.state_bytes = state;
  return layout;
}

class SpillFileTest : public testing::Test {
 protected:
  BlockRef Slab(BlockKind kind, int fill) {
    const auto slab = pool_.TryAllocate(kind);
    std::memset(slab->Data(), fill, slab->Bytes());
    return slab;
  }
  SealedBlock Block(int fill) { return {.base = Slab(BlockKind::kSealed, fill)}; }

  // What every byte of the slab is; empty if the file does not give it back.
  std::optional<int> Read(SpillFile& file, int64_t block, BlockKind kind = BlockKind::kSealed) {
    const auto slab = pool_.TryAllocate(kind);
    if (!file.Read(block, kind, *slab)) return std::nullopt;
    const std::vector<uint8_t> data(slab->Data(), slab->Data() + slab->Bytes());
    EXPECT_EQ(data, std::vector<uint8_t>(data.size(), data.front()));
    return data.front();
  }

  BlockPool pool_{Layout(kFineBytes, kStateBytes), 1 << 20};
};

TEST_F(SpillFileTest, GivesBackWhatWasWrittenAndReusesSlots) {
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "spill_file_test";
  std::filesystem::create_directories(folder);
  {
    SpillFile file(folder, Layout(), 3 * kBaseBytes + 10);
    EXPECT_TRUE(std::filesystem::is_empty(folder));
    std::vector<int64_t> blocks;
    for (int i = 0; i < 3; ++i) blocks.push_back(file.Write(Block(i)));
    EXPECT_EQ(blocks, (std::vector<int64_t>{0, 1, 2}));
    EXPECT_FALSE(file.HasRoom(Block(9)));
    EXPECT_EQ(file.Write(Block(9)), -1);
    file.Free(1);
    EXPECT_EQ(file.Write(Block(7)), 1);
    EXPECT_EQ(Read(file, 0), 0);
    EXPECT_EQ(Read(file, 1), 7);
    EXPECT_EQ(Read(file, 2), 2);
    EXPECT_EQ(file.NumBlocks(), 3u);
  }
  std::filesystem::remove_all(folder);
}

TEST_F(SpillFileTest, AFullDiskLosesTheBlockAlone) {
  SpillFile file(testing::TempDir(), Layout(0, kStateBytes), 100 * kBaseBytes);
  EXPECT_EQ(file.Write(Block(1)), 0);
  signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  getrlimit(RLIMIT_FSIZE, &limit);
  const rlimit small{.rlim_cur = 2 * kBaseBytes + 100, .rlim_max = limit.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  const SealedBlock with_state{.base = Slab(BlockKind::kSealed, 2), .state = Slab(BlockKind::kState, 2)};
  EXPECT_EQ(file.Write(with_state), -1);  // the pages would fit
  EXPECT_EQ(file.Write(Block(3)), 1);
  EXPECT_EQ(file.Write(Block(4)), -1);
  setrlimit(RLIMIT_FSIZE, &limit);
  EXPECT_EQ(Read(file, 0), 1);
  EXPECT_EQ(Read(file, 1), 3);
  EXPECT_EQ(file.Write(with_state), 2);
  EXPECT_EQ(Read(file, 2), 2);
  EXPECT_EQ(Read(file, 2, BlockKind::kState), 2);
}

TEST_F(SpillFileTest, ABlockHoldsWhatWasWrittenAndTakesNoMore) {
  SpillFile file(testing::TempDir(), pool_.Layout(), 3 * kBaseBytes + 2 * kFineBytes + kStateBytes);
  const auto write = [&](const std::vector<BlockKind>& kinds, int fill) {
    SealedBlock block;
    for (const BlockKind kind : kinds) block.Of(kind) = Slab(kind, fill);
    return file.Write(block);
  };
  using enum BlockKind;
  const std::vector<std::vector<BlockKind>> written = {
      {kSealed, kFine}, {kSealed}, {kFine}, {kSealed, kState}};
  for (int i = 0; i < 4; ++i) EXPECT_EQ(write(written[i], 10 + i), i);
  EXPECT_EQ(write({kSealed}, 20), -1);
  for (int i = 0; i < 4; ++i) {
    for (const BlockKind kind : kSealedKinds) {
      const bool has = std::ranges::find(written[i], kind) != written[i].end();
      EXPECT_EQ(file.Has(i, kind), has);
      if (has) {
        EXPECT_EQ(Read(file, i, kind), 10 + i);
      }
    }
  }
  file.Free(3);
  EXPECT_EQ(write({kState, kSealed}, 30), 3);
  EXPECT_EQ(Read(file, 3, BlockKind::kState), 30);
}

TEST_F(SpillFileTest, RefusesAFolderThatIsNone) {
  EXPECT_THROW(SpillFile("/nonexistent/folder", Layout(), kBaseBytes), Error);
}

}  // namespace
}  // namespace throng::kv
