#include "cli/flags/number_checks.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace throng::cli {
namespace {

// What the check says; empty if the text passes.
std::string Say(const CLI::Validator& check, std::string text) { return check(text); }

TEST(NumberFlags, RealNumbersAreFiniteAndInTheirRange) {
  for (const char* text : {"1", "0.5", "1e300"}) EXPECT_EQ(Say(Positive(), text), "");
  for (const char* text : {"0", "-1", "nan", "inf", "1e400", "x", "", "1 2"}) {
    EXPECT_EQ(Say(Positive(), text), std::string(text) + " is no number above 0");
  }
  EXPECT_EQ(Say(NotNegative(), "0"), "");
  EXPECT_EQ(Say(NotNegative(), "-0.1"), "-0.1 is no number from 0 on");
  EXPECT_EQ(Say(NotNegative(), "nan"), "nan is no number from 0 on");
}

TEST(NumberFlags, WholeNumbersDoNotWrap) {
  EXPECT_EQ(Say(Whole(), "0"), "");
  EXPECT_EQ(Say(Whole(), "18446744073709551615"), "");
  for (const char* text : {"18446744073709551616", "-1", "1.5", "x", ""}) {
    EXPECT_EQ(Say(Whole(), text), std::string(text) + " is no whole number from 0 to 18446744073709551615");
  }
  EXPECT_EQ(Say(Whole(1), "0"), "0 is no whole number from 1 to 18446744073709551615");
}

TEST(NumberFlags, SizesHaveUnitsAndNoSign) {
  std::string text = "2kB";
  EXPECT_EQ(Bytes()(text), "");
  EXPECT_EQ(text, "2048");
  for (std::string wrong : {"-1", "-2GB", "2XB", "GB", "99999999999GB", ""}) {
    const std::string given = wrong;
    EXPECT_EQ(Bytes()(wrong), given + " is no size in bytes, such as 500MB or 2GB");
  }
}

}  // namespace
}  // namespace throng::cli
