#include "cli/flags/help_format.h"

#include <gtest/gtest.h>

namespace throng::cli {
namespace {

TEST(WrapTest, BreaksProseBetweenWords) {
  EXPECT_EQ(Wrap("one two three", 9), "one two\nthree");
  EXPECT_EQ(Wrap("one two three", 13), "one two three");
  EXPECT_EQ(Wrap("one\n\ntwo", 3), "one\n\ntwo");
  EXPECT_EQ(Wrap("ten=10,two=2 three", 8), "ten=10,\ntwo=2\nthree");
  EXPECT_EQ(Wrap("unbreakable", 5), "unbreakable");
  EXPECT_EQ(Wrap("", 5), "");
}

TEST(WrapTest, KeepsTheColumnsOfTables) {
  EXPECT_EQ(Wrap("fake   made up answers", 16), "fake   made up\n       answers");
  EXPECT_EQ(Wrap("  fake  made up", 13), "  fake  made\n        up");
}

TEST(WrapTest, BreaksExamplesAsShellsTakeThem) {
  EXPECT_EQ(Wrap("  throng run --until 09:00 --json", 31), "  throng run --until 09:00 \\\n      --json");
  EXPECT_EQ(Wrap("  throng run --event \"0 say --x\" --json", 36),
            "  throng run --event \"0 say --x\" \\\n      --json");
  EXPECT_EQ(Wrap("  throng run --event \"0 leave Nils at once\" --json", 49),
            "  throng run --event \"0 leave Nils at once\" \\\n      --json");
}

}  // namespace
}  // namespace throng::cli
