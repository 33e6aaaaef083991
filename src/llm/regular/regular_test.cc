#include "llm/regular/regular.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "llm/regular/pattern.h"

namespace throng::llm {
namespace {

using ::testing::HasSubstr;

Regular Of(std::string_view regex) { return RegexTexts(regex, "regex"); }

std::vector<std::string> AllTexts(std::string_view alphabet, size_t longest) {
  std::vector<std::string> texts = {""};
  for (size_t i = 0; texts[i].size() < longest; ++i)
    for (const char c : alphabet) texts.push_back(texts[i] + c);
  return texts;
}

TEST(Regular, CombinesAsSetsDo) {
  const std::vector<const char*> regexes = {"",      "[]",   "a*",    "(ab)*|c",
                                            "[^a]*", ".{2}", "a.*|b", "(a|b)*a(a|b){2}"};
  const std::vector<std::string> texts = AllTexts("abc", 5);
  for (const char* left : regexes) {
    const Regular a = Of(left);
    const Regular not_a = Complement(a, "x");
    const Regular short_a = WithLength(a, 1, 3, "x");
    const Regular long_a = WithLength(a, 3, Grammar::kUnbounded, "x");
    for (const std::string& text : texts) {
      ASSERT_EQ(not_a.Matches(text), !a.Matches(text)) << left << " " << text;
      ASSERT_EQ(Reduced(a).Matches(text), a.Matches(text)) << left << " " << text;
      ASSERT_EQ(short_a.Matches(text), a.Matches(text) && !text.empty() && text.size() <= 3)
          << left << " " << text;
      ASSERT_EQ(long_a.Matches(text), a.Matches(text) && text.size() >= 3) << left << " " << text;
    }
    for (const char* right : regexes) {
      const Regular b = Of(right);
      const Regular both = Intersection(a, b, "x");
      const Regular either = Union(a, b, "x");
      const Regular after = Concatenation(a, b, "x");
      for (const std::string& text : texts) {
        ASSERT_EQ(both.Matches(text), a.Matches(text) && b.Matches(text))
            << left << " " << right << " " << text;
        ASSERT_EQ(either.Matches(text), a.Matches(text) || b.Matches(text))
            << left << " " << right << " " << text;
        bool splits = false;
        for (size_t i = 0; i <= text.size(); ++i)
          splits |= a.Matches(text.substr(0, i)) && b.Matches(text.substr(i));
        ASSERT_EQ(after.Matches(text), splits) << left << " " << right << " " << text;
      }
    }
  }
}

TEST(Regular, OfALengthHasNoStatesThatEndNowhere) {
  EXPECT_TRUE(WithLength(Of("abc"), 0, 2, "x").Empty());
  EXPECT_TRUE(WithLength(Of("abc"), 4, Grammar::kUnbounded, "x").Empty());
  EXPECT_EQ(WithLength(Of("a(bcd)*"), 0, 6, "x").States().size(), 5u);  // "abcd" is the longest
  EXPECT_EQ(WithLength(Of("ab*"), 3, Grammar::kUnbounded, "x").States().size(), 4u);
}

TEST(Regular, IsMinimalWhenReduced) {
  EXPECT_EQ(Of("(a|b)*a(a|b){3}").States().size(), 16u);  // one for each set of the last four
  EXPECT_EQ(Of("a|b|c|[d-z]").States().size(), 2u);
  EXPECT_EQ(Of("(a|a)*").States().size(), 1u);
  EXPECT_EQ(PatternTexts("", "x").States().size(), 1u);
  EXPECT_EQ(PatternTexts("\\S", "x").States().size(), 2u);
  EXPECT_LT(Of("(a|b)*a(a|b){30}").States().size(), 100u);  // not deterministic: that would take 2^31
}

TEST(Regular, CountsCodePoints) {
  const Regular two = WithLength(PatternTexts("é", "x"), 2, 2, "x");
  EXPECT_TRUE(two.Matches("é😀"));
  EXPECT_FALSE(two.Matches("é"));
  EXPECT_FALSE(two.Matches("é\xff\xff"));
  EXPECT_TRUE(Intersection(Of("[^]\xef\xbf\xbd"), two, "x").Matches("é\xff"));  // U+FFFD
}

TEST(Regular, KnowsRuns) {
  const auto run = [](const Regular& a) -> std::string {
    const auto found = AsRun(a);
    return found ? fmt::format("{} ranges, {} to {}", found->set.size(), found->min, found->max) : "none";
  };
  EXPECT_EQ(run(Of("[a-cx]{2,5}")), "2 ranges, 2 to 5");
  EXPECT_EQ(run(Of("")), "0 ranges, 0 to 0");
  EXPECT_EQ(run(Of("a*")), "1 ranges, 0 to -1");
  EXPECT_EQ(run(WithLength(PatternTexts("^[a-z]+$", "x"), 0, 7, "x")), "1 ranges, 1 to 7");
  EXPECT_EQ(run(WithLength(PatternTexts("^\\w*$", "x"), 3, Grammar::kUnbounded, "x")), "4 ranges, 3 to -1");
  for (const char* regex : {"ab", "a|aaa", "a*b", "(aa)*", "[]", "ab*"})
    EXPECT_EQ(run(Of(regex)), "none") << regex;
}

TEST(Regular, IsBounded) {
  const auto error_of = [](auto make) -> std::string {
    try {
      make();
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(error_of([] { Chars({{'a', 'a'}}, 0, 100000, "x"); }), HasSubstr("x needs more than 65536"));
  const Regular a = Of("(a|b)*a(a|b){12}");
  const Regular b = Of("(a|b)*b(a|b){12}");
  EXPECT_EQ(error_of([&] { Intersection(a, b, "x"); }), "no error");
  EXPECT_THAT(error_of([&] { Complement(Of("(a|b)*a(a|b){25}"), "x"); }), HasSubstr("x needs too many"));
  EXPECT_THAT(error_of([&] { WithLength(PatternTexts("a", "x"), 0, 65536, "x"); }),
              HasSubstr("x needs more than"));
}

}  // namespace
}  // namespace throng::llm
