#include "kv/cache/spill_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <vector>

#include "base/error.h"

namespace throng::kv {
namespace {

constexpr size_t kBlock = 5000;

std::vector<uint8_t> Block(uint8_t fill) { return std::vector<uint8_t>(kBlock, fill); }

TEST(SpillFileTest, GivesBackWhatWasWrittenAndReusesSlots) {
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "spill_file_test";
  std::filesystem::create_directories(folder);
  {
    SpillFile file(folder, kBlock, 3 * kBlock + 10);
    EXPECT_TRUE(std::filesystem::is_empty(folder));
    std::vector<int64_t> slots;
    for (uint8_t i = 0; i < 3; ++i) slots.push_back(file.Write(Block(i).data()));
    EXPECT_EQ(slots, (std::vector<int64_t>{0, 1, 2}));
    EXPECT_TRUE(file.IsFull());
    EXPECT_EQ(file.Write(Block(9).data()), -1);
    file.Free(1);
    EXPECT_EQ(file.Write(Block(7).data()), 1);
    for (const auto& [slot, fill] : {std::pair<int64_t, uint8_t>{0, 0}, {1, 7}, {2, 2}}) {
      std::vector<uint8_t> block(kBlock);
      EXPECT_TRUE(file.Read(slot, block.data()));
      EXPECT_EQ(block, Block(fill));
    }
    EXPECT_EQ(file.NumBlocks(), 3u);
  }
  std::filesystem::remove_all(folder);
}

TEST(SpillFileTest, AFullDiskLosesTheBlockAlone) {
  SpillFile file(testing::TempDir(), kBlock, 100 * kBlock);
  EXPECT_EQ(file.Write(Block(1).data()), 0);
  signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  getrlimit(RLIMIT_FSIZE, &limit);
  const rlimit small{.rlim_cur = kBlock + 100, .rlim_max = limit.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  EXPECT_EQ(file.Write(Block(2).data()), -1);
  setrlimit(RLIMIT_FSIZE, &limit);
  std::vector<uint8_t> block(kBlock);
  EXPECT_TRUE(file.Read(0, block.data()));
  EXPECT_EQ(block, Block(1));
  EXPECT_EQ(file.Write(Block(3).data()), 1);
  EXPECT_TRUE(file.Read(1, block.data()));
  EXPECT_EQ(block, Block(3));
}

TEST(SpillFileTest, RefusesAFolderThatIsNone) {
  EXPECT_THROW(SpillFile("/nonexistent/folder", kBlock, kBlock), Error);
}

}  // namespace
}  // namespace throng::kv
