#include "engine/sampling/text_stream.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace throng::engine {
namespace {

TEST(TextStream, CutsBeforeTheFirstStopString) {
  TextStream stream({"END", "\n"});
  EXPECT_FALSE(stream.Append("one EN"));
  EXPECT_EQ(stream.TakeFinal(), "one ");  // "EN" may become a stop string
  EXPECT_TRUE(stream.Append("D two\n"));
  EXPECT_EQ(stream.Text(), "one ");
  EXPECT_EQ(stream.TakeFinal(), "");
  EXPECT_EQ(stream.TakeRest(), "");
}

TEST(TextStream, StopsOnlyWhereItMay) {
  TextStream stream({"b", "abcd"});
  EXPECT_FALSE(stream.Append("ab", /*may_stop=*/false));
  EXPECT_FALSE(stream.Append("c"));  // the older "b" does not count
  EXPECT_EQ(stream.TakeFinal(), "");
  EXPECT_TRUE(stream.Append("d"));  // ends here, wherever it begins
  EXPECT_EQ(stream.Text(), "");
}

TEST(TextStream, GivesBackWhatOnlyLookedLikeAStop) {
  TextStream stream({"aab"});
  EXPECT_FALSE(stream.Append("aa"));
  EXPECT_EQ(stream.TakeFinal(), "");
  EXPECT_FALSE(stream.Append("a"));
  EXPECT_EQ(stream.TakeFinal(), "a");
  EXPECT_TRUE(stream.Append("b"));
  EXPECT_EQ(stream.Text(), "a");
}

TEST(TextStream, KeepsCharactersWhole) {
  TextStream stream({});
  EXPECT_FALSE(stream.Append("x\xe2\x82"));
  EXPECT_EQ(stream.TakeFinal(), "x");
  EXPECT_FALSE(stream.Append("\xac"));
  EXPECT_EQ(stream.TakeFinal(), "\xe2\x82\xac");
  EXPECT_FALSE(stream.Append("\xf0\x9f"));
  EXPECT_EQ(stream.TakeFinal(), "");
  EXPECT_EQ(stream.TakeRest(), "\xf0\x9f");  // the answer ended within a character
}

TEST(TextStream, DoesNotWaitForeverOnBytesThatAreNoUtf8) {
  TextStream stream({});
  stream.Append("\x80\x80\x80\x80\x80");
  EXPECT_EQ(stream.TakeFinal().size(), 5u);
  stream.Append("\xf5");  // begins no character
  EXPECT_EQ(stream.TakeFinal(), "\xf5");
}

// However the bytes are cut into tokens, the text is the same, and what was taken is a prefix of it.
RC_GTEST_PROP(TextStream, DoesNotDependOnHowTheBytesAreCut, ()) {
  const auto chars = *rc::gen::container<std::string>(rc::gen::elementOf(std::string("ab\n")));
  const auto stop = *rc::gen::container<std::string>(rc::gen::elementOf(std::string("ab\n")));
  const size_t found = stop.empty() ? std::string::npos : chars.find(stop);
  TextStream stream({stop});
  std::string taken;
  for (size_t at = 0; at < chars.size() && !stream.Stopped();) {
    const size_t length = *rc::gen::inRange<size_t>(1, 4);
    stream.Append(chars.substr(at, length));
    taken += stream.TakeFinal();
    at += length;
  }
  taken += stream.TakeRest();
  RC_ASSERT(stream.Text() == chars.substr(0, found));
  RC_ASSERT(taken == stream.Text());
}

}  // namespace
}  // namespace throng::engine
