#include "llm/regular/kinds.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "base/error.h"
#include "llm/regular/pattern.h"

namespace throng::llm {
namespace {

using ::testing::HasSubstr;

Regular Of(const char* regex) { return RegexTexts(regex, "regex"); }

TEST(Kinds, EachTextIsOfTheKindThatItsLanguagesAre) {
  const Regular all = Of("[a-d]{0,4}|x*");
  const std::vector<Regular> languages = {Of("a.*"), Of(".*b.*"), Of("x+|ab"), Of("[]"), Of("(..)*")};
  const std::vector<KindOfText> kinds = KindsOf(all, languages, 100, "x");
  std::vector<std::string> texts = {"", "x", "xx", "xxxxx", "abcda", "y"};
  for (size_t i = 0; texts.size() < 400; ++i)
    for (const char c : std::string("abcd"))
      if (texts[i].size() < 4) texts.push_back(texts[i] + c);
  std::set<std::vector<bool>> seen;
  for (const std::string& text : texts) {
    std::vector<bool> in;
    for (const Regular& one : languages) in.push_back(one.Matches(text));
    int found = 0;
    for (const KindOfText& kind : kinds) {
      if (!kind.texts.Matches(text)) continue;
      ++found;
      EXPECT_EQ(kind.in, in) << text;
    }
    EXPECT_EQ(found, all.Matches(text)) << text;
    if (all.Matches(text)) seen.insert(in);
  }
  EXPECT_EQ(kinds.size(), seen.size());
  for (size_t i = 0; i < kinds.size(); ++i) {
    EXPECT_TRUE(IsDeterministic(kinds[i].texts));
    if (i > 0) {
      EXPECT_LT(kinds[i - 1].in, kinds[i].in);
    }
  }
}

TEST(Kinds, OfNoLanguagesOrNoTexts) {
  const std::vector<KindOfText> one = KindsOf(Of("ab*"), {}, 1, "x");
  ASSERT_EQ(one.size(), 1u);
  EXPECT_TRUE(one[0].texts.Matches("abb"));
  EXPECT_TRUE(KindsOf(Regular(), {Of("a")}, 1, "x").empty());
}

TEST(Kinds, RefusesTooMany) {
  try {
    KindsOf(Of("[ab]*"), {Of("a.*"), Of(".*a")}, 2, "names");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("names has more than 2 kinds of texts"));
  }
}

}  // namespace
}  // namespace throng::llm
