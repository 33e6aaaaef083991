#include "engine/prefix/open_rows.h"

#include <gtest/gtest.h>

#include <numeric>

#include "engine/testing/fake_transformer.h"

namespace throng::engine {
namespace {

class OpenRowsTest : public ::testing::Test {
 protected:
  static std::vector<int32_t> Tokens(size_t n, int32_t first = 0) {
    std::vector<int32_t> tokens(n);
    std::iota(tokens.begin(), tokens.end(), first);
    return tokens;
  }
  // The first n of 0, 1, 2, ..., then others.
  static std::vector<int32_t> Parted(size_t n) {
    std::vector<int32_t> tokens = Tokens(n);
    const std::vector<int32_t> others = Tokens(100 - n, 1000);
    tokens.insert(tokens.end(), others.begin(), others.end());
    return tokens;
  }

  kv::BlockPool pool_{FakeTransformer::Layout(), 64 << 20};
  OpenRows rows_{pool_};
  const int path_ = 0, other_path_ = 0;
};

TEST_F(OpenRowsTest, FindsTheRowsWithMostOfTheTokens) {
  const kv::BlockRef few = pool_.TryAllocateOpen(), many = pool_.TryAllocateOpen();
  rows_.Add(&path_, std::span<const int32_t>(Parted(20)).first(64), few);
  rows_.Add(&path_, std::span<const int32_t>(Parted(50)).first(64), many);
  EXPECT_EQ(rows_.Find(&path_, Tokens(64)).rows, many);
  EXPECT_EQ(rows_.Find(&path_, Tokens(64)).count, 50);
  EXPECT_EQ(rows_.Find(&path_, Parted(20)).rows, few);
}

TEST_F(OpenRowsTest, KeepsTheLongestOfThoseThatBeginAlike) {
  const kv::BlockRef whole = pool_.TryAllocateOpen(), part = pool_.TryAllocateOpen();
  rows_.Add(&path_, Tokens(30), part);
  EXPECT_EQ(rows_.Find(&path_, Tokens(64)).count, 30);
  rows_.Add(&path_, Tokens(64), whole);
  EXPECT_EQ(rows_.Bytes(), pool_.OpenBytes());
  rows_.Add(&path_, Tokens(30), part);  // is in there
  EXPECT_EQ(rows_.Bytes(), pool_.OpenBytes());
  const OpenRows::Found found = rows_.Find(&path_, Parted(50));
  EXPECT_EQ(found.rows, whole);
  EXPECT_EQ(found.count, 50);
  EXPECT_EQ(rows_.Find(&path_, Parted(16)).count, 16);
  EXPECT_EQ(rows_.Find(&path_, Parted(15)).count, 0) << "too few to look for";
  EXPECT_EQ(rows_.Find(&path_, Tokens(64)).count, 63) << "the last row's query is wanted";
  EXPECT_EQ(rows_.Find(&other_path_, Tokens(64)).count, 0);
  EXPECT_EQ(rows_.Find(nullptr, Tokens(64)).count, 0);
  rows_.Add(&path_, Tokens(15, 500), part);
  EXPECT_EQ(rows_.Bytes(), pool_.OpenBytes());
}

TEST_F(OpenRowsTest, LeavesInOrderOfUseAndWithThePath) {
  for (int i = 0; i < 3; ++i) rows_.Add(&path_, Tokens(64, i * 100), pool_.TryAllocateOpen());
  rows_.Add(&other_path_, Tokens(64), pool_.TryAllocateOpen());
  EXPECT_EQ(rows_.Find(&path_, Tokens(40)).count, 40);  // used last
  EXPECT_TRUE(rows_.DropOldest());
  EXPECT_EQ(rows_.Find(&path_, Tokens(40, 100)).count, 0);
  EXPECT_EQ(rows_.Find(&path_, Tokens(40)).count, 40);
  rows_.Forget(&path_);
  EXPECT_EQ(rows_.Bytes(), pool_.OpenBytes());
  EXPECT_EQ(rows_.Find(&path_, Tokens(40)).count, 0);
  EXPECT_TRUE(rows_.DropOldest());
  EXPECT_FALSE(rows_.DropOldest());
  EXPECT_EQ(pool_.HeldBytes(), 0u);
}

TEST_F(OpenRowsTest, TakesAnEighthOfTheBudget) {
  kv::BlockPool pool(FakeTransformer::Layout(), 40 * pool_.OpenBytes());
  OpenRows rows(pool);
  for (int i = 0; i < 20; ++i) rows.Add(&path_, Tokens(64, i * 100), pool.TryAllocateOpen());
  EXPECT_EQ(rows.Bytes(), 5 * pool.OpenBytes());
  EXPECT_EQ(rows.Find(&path_, Tokens(64, 1900)).count, 63);
  EXPECT_EQ(rows.Find(&path_, Tokens(64, 1400)).count, 0);
}

TEST_F(OpenRowsTest, CopiesAreMadeAsLongAsTheyPay) {
  int copies = 0;
  for (; rows_.Pays() && copies < 1000; ++copies) rows_.Spend(1);
  EXPECT_EQ(copies, 256);
  rows_.Add(&path_, Tokens(64), pool_.TryAllocateOpen());
  rows_.Find(&path_, Tokens(8));
  EXPECT_FALSE(rows_.Pays());
  rows_.Find(&path_, Tokens(40));
  EXPECT_TRUE(rows_.Pays());
}

TEST_F(OpenRowsTest, NoticesWhereAnotherWentOnAlikeForLonger) {
  EXPECT_FALSE(rows_.WasSeen(7, Tokens(64), 0));
  rows_.See(7, Tokens(64));
  EXPECT_TRUE(rows_.WasSeen(7, Tokens(64), 0));
  EXPECT_FALSE(rows_.WasSeen(8, Tokens(64), 0));
  EXPECT_TRUE(rows_.WasSeen(7, Parted(40), 0));
  EXPECT_TRUE(rows_.WasSeen(7, Parted(40), 31));
  EXPECT_FALSE(rows_.WasSeen(7, Parted(40), 40));
  EXPECT_FALSE(rows_.WasSeen(7, Parted(15), 0));
}

}  // namespace
}  // namespace throng::engine
