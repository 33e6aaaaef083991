// What viewers read of a journal: times of calls, clusters, series, texts.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "journal/read/search.h"
#include "journal/read/series.h"
#include "journal/read/timeline.h"
#include "journal/store/database.h"
#include "journal/store/scratch_journal.h"
#include "sim/testing/test_worlds.h"

namespace throng::journal {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// A journal whose rows a test writes itself.
class ReadTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const sim::WalkerWorld world{sim::WalkerOptions{}};
    sim::RunOptions options;
    options.steps = 20;
    scratch_.Get().Begin({{"price", "1,2"}}, world, options, "none");
  }

  void Add(const std::string& rows) { scratch_.Get().GetDatabase().Execute(("INSERT INTO " + rows).c_str()); }

  ScratchJournal scratch_;
  const Journal& journal_ = scratch_.Get();
};

TEST_F(ReadTest, CallsHaveTheirTimesAndCost) {
  Add("answers VALUES(3, 1, 0, 'act', x'00', 0, 'walk', 1000, 10, 600, 2, 500, 5, 1.5, 2.25, NULL, NULL, "
      "NULL, NULL, "
      "NULL, NULL), (9, 1, 0, 'act', x'00', 2, 'away', 1, 1, 0, 1, 0, 0, 3, 3, 4, NULL, NULL, NULL, NULL, "
      "'x')");
  const std::vector<CallTimes> calls = CallsBetween(journal_, 0, 10);
  ASSERT_EQ(calls.size(), 2u);
  EXPECT_EQ(calls[0].prompt_tokens, 1500);
  EXPECT_EQ(calls[0].output_tokens, 15);
  EXPECT_DOUBLE_EQ(*calls[0].cost, (1500 + 2 * 15) / 1e6);
  EXPECT_EQ(calls[0].arrived_s, 2.25);
  EXPECT_EQ(calls[0].session, 0);
  EXPECT_EQ(calls[1].finish, "failed");
  EXPECT_EQ(calls[1].session, 4);
  EXPECT_EQ(CallsBetween(journal_, 3, 9).size(), 1u);
}

TEST_F(ReadTest, ClustersAreThoseOfSeveral) {
  Add("commits VALUES(5, 0, '0', x'00'), (5, 1, '1,4', x'00'), (5, 2, '2,3,7', x'00'), (6, 0, '0,1', x'00')");
  EXPECT_THAT(ClustersAt(journal_, 5), ElementsAre(ElementsAre(1, 4), ElementsAre(2, 3, 7)));
  EXPECT_THAT(ClustersAt(journal_, 7), IsEmpty());
  Add("commits VALUES(8, 0, '1,x', x'00')");
  EXPECT_THROW(ClustersAt(journal_, 8), Error);
}

TEST_F(ReadTest, SeriesAreAveragedToAFewPoints) {
  Add("hashes SELECT value, x'00' FROM json_each('[0,1,2,3,4,5,6,7]')");
  Add("collected SELECT value, -1, 'total', value FROM json_each('[0,1,2,3,4,5,6,7]')");
  Add("collected VALUES(2, 0, 'mood', 1), (2, 1, 'mood', 4.0), (2, 2, 'mood', 'text'), (3, 0, 'mood', NULL)");
  const std::vector<Series> exact = AllSeries(journal_, 100);
  ASSERT_EQ(exact.size(), 2u);
  EXPECT_EQ(exact[0].name, "mood");
  EXPECT_TRUE(exact[0].of_agents);
  ASSERT_EQ(exact[0].points.size(), 1u);
  EXPECT_DOUBLE_EQ(exact[0].points[0].mean, 2.5);
  EXPECT_DOUBLE_EQ(exact[0].points[0].max, 4);
  EXPECT_EQ(exact[1].points.size(), 8u);
  const std::vector<Series> coarse = AllSeries(journal_, 3);
  ASSERT_EQ(coarse[1].points.size(), 3u);
  EXPECT_EQ(coarse[1].points[1].step, 3);
  EXPECT_DOUBLE_EQ(coarse[1].points[1].mean, 4);
}

TEST_F(ReadTest, TextsAreFoundWhereverTheyAre) {
  Add("chronicle VALUES(1, 0, 0, 'say', 'to Ben: The Concert is at 11.', NULL), (2, 0, 0, 'say', '100% of "
      "a_b', NULL)");
  Add("parts VALUES(1, 'You know: the con'), (2, 'cert is free.')");
  Add("answers VALUES(3, 1, 0, 'act', x'00', 0, 'go to the concert', 1, 1, 0, 1, 0, 0, 0, 1, NULL, NULL, "
      "NULL, NULL, "
      "NULL, NULL), (4, 1, 2, 'talk', x'00', 0, 'no', 1, 1, 0, 1, 0, 0, 0, 1, NULL, NULL, NULL, NULL, "
      "'[65]', NULL)");
  const std::vector<Hit> hits = Find(journal_, "CONCERT", 50);
  ASSERT_EQ(hits.size(), 3u);
  EXPECT_EQ(hits[0].excerpt, "to Ben: The Concert is at 11.");
  EXPECT_FALSE(hits[0].call.has_value());
  EXPECT_EQ(hits[1].excerpt, "go to the concert");
  EXPECT_EQ(hits[2].excerpt, "You know: the concert is free.");  // of two parts
  EXPECT_EQ(hits[2].call, 2);
  EXPECT_EQ(Find(journal_, "concert", 1).size(), 2u);  // an event and a call
  EXPECT_EQ(Find(journal_, "0% of", 50).size(), 1u);
  EXPECT_THAT(Find(journal_, "a%b", 50), IsEmpty());  // no pattern
  EXPECT_EQ(Find(journal_, "a_b", 50).size(), 1u);
}

TEST_F(ReadTest, ExcerptsAreCutBetweenCharacters) {
  std::string umlauts;
  for (int i = 0; i < 100; ++i) umlauts += "ü";
  Add("chronicle VALUES(1, 0, 0, 'say', '" + umlauts + "x" + umlauts + "', NULL)");
  const std::vector<Hit> hits = Find(journal_, "x", 50);
  ASSERT_EQ(hits.size(), 1u);
  std::string half;
  for (int i = 0; i < 30; ++i) half += "ü";
  EXPECT_EQ(hits[0].excerpt, "…" + half + "x" + half + "…");
}

}  // namespace
}  // namespace throng::journal
