#include "base/amx.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "base/simd_target.h"

namespace throng {
namespace {

class AmxTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!AmxInt8Usable()) GTEST_SKIP() << "no AMX here";
  }
  void TearDown() override { AllowAmx(true); }
};

#ifdef __x86_64__

// Tile 7 as a kernel sees it: 16 rows of 64 bytes.
void StoreTile7(int8_t (&to)[16][64]) {
  asm volatile("tilestored %%tmm7, (%0, %1, 1)" : : "r"(to), "r"(int64_t{64}) : "memory");
}

TEST_F(AmxTest, TilesHave16RowsOf64BytesUntilTheOuterScopeEnds) {
  int8_t rows[16][64];
  const auto all_are = [&](int8_t value) {
    return std::all_of(&rows[0][0], &rows[0][0] + sizeof(rows), [&](int8_t x) { return x == value; });
  };
  const TileScope outer;
  std::fill_n(&rows[0][0], sizeof(rows), int8_t{5});
  asm volatile("tileloadd (%0, %1, 1), %%tmm7" : : "r"(rows), "r"(int64_t{64}) : "memory");
  { const TileScope inner; }
  std::fill_n(&rows[0][0], sizeof(rows), int8_t{1});
  StoreTile7(rows);
  EXPECT_TRUE(all_are(5));
}

#endif

TEST_F(AmxTest, IsOffWhereItIsNotAllowed) {
  AllowAmx(false);
  EXPECT_FALSE(AmxInt8Usable());
  AllowAmx(true);
  EXPECT_TRUE(AmxInt8Usable());
}

TEST_F(AmxTest, CanBeNamedAsTheTarget) {
  ASSERT_EQ(setenv("THRONG_FORCE_TARGET", "AMX", 1), 0);
  ApplyForcedTarget();
  unsetenv("THRONG_FORCE_TARGET");
  EXPECT_TRUE(AmxInt8Usable());
}

}  // namespace
}  // namespace throng
