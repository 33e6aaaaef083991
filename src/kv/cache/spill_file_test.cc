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
    SpillFile file(folder, kBlock, 0, 3 * kBlock + 10);
    EXPECT_TRUE(std::filesystem::is_empty(folder));
    std::vector<int64_t> slots;
    for (uint8_t i = 0; i < 3; ++i) slots.push_back(file.Write(Block(i).data(), nullptr));
    EXPECT_EQ(slots, (std::vector<int64_t>{0, 1, 2}));
    EXPECT_TRUE(file.IsFull());
    EXPECT_EQ(file.Write(Block(9).data(), nullptr), -1);
    file.Free(1);
    EXPECT_EQ(file.Write(Block(7).data(), nullptr), 1);
    for (const auto& [slot, fill] : {std::pair<int64_t, uint8_t>{0, 0}, {1, 7}, {2, 2}}) {
      std::vector<uint8_t> block(kBlock);
      EXPECT_TRUE(file.Read(slot, block.data(), nullptr));
      EXPECT_EQ(block, Block(fill));
    }
    EXPECT_EQ(file.NumBlocks(), 3u);
  }
  std::filesystem::remove_all(folder);
}

TEST(SpillFileTest, AFullDiskLosesTheBlockAlone) {
  SpillFile file(testing::TempDir(), kBlock, 0, 100 * kBlock);
  EXPECT_EQ(file.Write(Block(1).data(), nullptr), 0);
  signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  getrlimit(RLIMIT_FSIZE, &limit);
  const rlimit small{.rlim_cur = kBlock + 100, .rlim_max = limit.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  EXPECT_EQ(file.Write(Block(2).data(), nullptr), -1);
  setrlimit(RLIMIT_FSIZE, &limit);
  std::vector<uint8_t> block(kBlock);
  EXPECT_TRUE(file.Read(0, block.data(), nullptr));
  EXPECT_EQ(block, Block(1));
  EXPECT_EQ(file.Write(Block(3).data(), nullptr), 1);
  EXPECT_TRUE(file.Read(1, block.data(), nullptr));
  EXPECT_EQ(block, Block(3));
}

TEST(SpillFileTest, ASlotHoldsTheFormsThatWereWritten) {
  constexpr size_t kFine = 9000;
  const std::vector<uint8_t> fine(kFine, 77);
  SpillFile file(testing::TempDir(), kBlock, kFine, 3 * (kBlock + kFine));
  EXPECT_EQ(file.Write(Block(1).data(), fine.data()), 0);
  EXPECT_EQ(file.Write(Block(2).data(), nullptr), 1);
  EXPECT_EQ(file.Write(nullptr, fine.data()), 2);
  EXPECT_TRUE(file.IsFull());
  for (const auto& [slot, has_base, has_fine] :
       {std::tuple(0, true, true), {1, true, false}, {2, false, true}}) {
    EXPECT_EQ(file.HasBase(slot), has_base);
    EXPECT_EQ(file.HasFine(slot), has_fine);
    std::vector<uint8_t> base(kBlock), read(kFine);
    EXPECT_TRUE(file.Read(slot, has_base ? base.data() : nullptr, has_fine ? read.data() : nullptr));
    EXPECT_EQ(base, Block(has_base ? static_cast<uint8_t>(slot + 1) : 0));
    EXPECT_EQ(read, has_fine ? fine : std::vector<uint8_t>(kFine));
  }
}

TEST(SpillFileTest, RefusesAFolderThatIsNone) {
  EXPECT_THROW(SpillFile("/nonexistent/folder", kBlock, 0, kBlock), Error);
}

}  // namespace
}  // namespace throng::kv
