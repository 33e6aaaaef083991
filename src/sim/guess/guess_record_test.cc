#include "sim/guess/guess_record.h"

#include <gtest/gtest.h>

#include "sim/guess/speculation_options.h"

namespace throng::sim {
namespace {

TEST(GuessRecord, LearnsFromOutcomes) {
  GuessRecord record;
  const size_t near = record.ClassOf(Basis::kStays, 0, 1, "plan");
  const size_t far = record.ClassOf(Basis::kStays, 20, 4, "plan");
  const size_t planned = record.ClassOf(Basis::kPlanned, 0, 1, "plan");
  const size_t rating = record.ClassOf(Basis::kStays, 0, 1, "rate");
  EXPECT_NE(near, far);
  EXPECT_NE(near, planned);
  EXPECT_NE(near, rating);
  EXPECT_EQ(near, record.ClassOf(Basis::kStays, 0, 1, "plan"));
  const double before = record.Chance(near);
  for (int i = 0; i < 50; ++i) record.Add(near, false);
  EXPECT_LT(record.Chance(near), before / 5);
  EXPECT_EQ(record.Chance(far), before);
  EXPECT_EQ(record.Chance(planned), before);
  // A class without outcomes borrows from wider classes, until it has outcomes of its own.
  EXPECT_LT(record.Chance(rating), before / 2);
  for (int i = 0; i < 100; ++i) record.Add(rating, true);
  EXPECT_GT(record.Chance(rating), 0.95);
}

TEST(GuessRecord, TrustsAGuessOnlyOnceOthersLikeItWereRight) {
  const double least_chance = SpeculationOptions().least_chance;
  GuessRecord record;
  const size_t post = record.ClassOf(Basis::kItself, 0, 1, "post");
  EXPECT_LT(record.Chance(post), least_chance);
  record.Add(post, true);
  record.Add(post, true);
  EXPECT_GT(record.Chance(post), least_chance);
  for (int i = 0; i < 4; ++i) record.Add(post, false);
  EXPECT_LT(record.Chance(post), least_chance);
}

}  // namespace
}  // namespace throng::sim
