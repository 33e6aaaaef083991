// How each family of pre-tokenizers cuts text into words.

#include "model/tokenizer/tokenizer_split.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>
#include <set>
#include <string>

#include "base/error.h"

namespace throng::model {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

std::vector<std::string> Words(const char* pre, const std::string& text) {
  std::vector<uint32_t> ends;
  WordSplitter(FindPreTokenizer(pre)).Split(text, ends);
  std::vector<std::string> words;
  size_t begin = 0;
  for (const uint32_t end : ends) {
    EXPECT_GT(end, begin);
    words.push_back(text.substr(begin, end - begin));
    begin = end;
  }
  EXPECT_EQ(begin, text.size());
  return words;
}

TEST(WordSplitter, SplitsAsEachModelFamilyDoes) {
  EXPECT_THAT(Words("gpt-2", "Don't  stop 42x\n\n y"),
              ElementsAre("Don", "'t", " ", " stop", " 42", "x", "\n\n", " y"));
  EXPECT_THAT(Words("llama-bpe", "DON'T  stop 12345\n\n y!\n"),
              ElementsAre("DON", "'T", " ", " stop", " ", "123", "45", "\n\n", " y", "!\n"));
  EXPECT_THAT(Words("qwen2", "x 123"), ElementsAre("x", " ", "1", "2", "3"));
  EXPECT_THAT(Words("smollm", "x 12"), ElementsAre("x", " ", "1", "2"));
  EXPECT_THAT(Words("", "a, 1234 b"), ElementsAre("a", ",", " ", "123", "4", " b"));
  EXPECT_THAT(Words("falcon", "a`` 1234"), ElementsAre("a", "``", " ", "123", "4"));
}

TEST(WordSplitter, KeepsMarksWithTheirLettersWhereTheModelDoes) {
  EXPECT_THAT(Words("qwen2", "n\u0303a"), ElementsAre("n", "\u0303a"));
  EXPECT_THAT(Words("qwen35", "n\u0303a \u0303!"), ElementsAre("n\u0303a", " \u0303", "!"));
  EXPECT_THAT(Words("deepseek-v3", "n\u0303a"), ElementsAre("n\u0303a"));
}

TEST(WordSplitter, CutsBeforeCapitalsWhereTheModelDoes) {
  EXPECT_THAT(Words("gpt-4o", "helloWorld HTTPServer's 1234/\n"),
              ElementsAre("hello", "World", " HTTPServer's", " ", "123", "4", "/\n"));
  EXPECT_THAT(Words("tekken", "helloWorld's 12"), ElementsAre("hello", "World", "'s", " ", "1", "2"));
  // Capitals of every alphabet, which llama.cpp takes for small letters.
  EXPECT_THAT(Words("tekken", "\u0430\u0411\u0431"), ElementsAre("\u0430", "\u0411\u0431"));
}

TEST(WordSplitter, CutsWritingSystemsWhereTheModelDoes) {
  EXPECT_THAT(Words("deepseek-v3", "x=\u6F22\u5B57\u30AB a.b"),
              ElementsAre("x", "=", "\u6F22\u5B57\u30AB", " a", ".b"));
  EXPECT_THAT(Words("kimi-k2", "Ab\u6F22\u5B57\u304B1234"),
              ElementsAre("Ab", "\u6F22\u5B57", "\u304B", "123", "4"));
  EXPECT_THAT(Words("youtu", "\uAC00\u3042\uFF0Cx"), ElementsAre("\uAC00", "\u3042", "\uFF0C", "x"));
  EXPECT_THAT(Words("deepseek-llm", "\u00E4b 12\u4E00  "),
              ElementsAre("\u00E4", "b", " ", "12", "\u4E00", "  "));  // its marks include A to Z
  EXPECT_THAT(Words("deepseek-coder", "ab, 12\u4E00\n"),
              ElementsAre("ab", ",", " ", "1", "2", "\u4E00", "\n"));
  EXPECT_THAT(Words("exaone-moe", "a b c, d\n\n"), ElementsAre("a b c", ",", " d", "\n\n"));
}

TEST(WordSplitter, CountsDigitsFromTheEndWhereTheModelDoes) {
  EXPECT_THAT(Words("tiny_aya", "1234567 12"), ElementsAre("1", "234", "567", " ", "12"));
  EXPECT_THAT(Words("tiny_aya", "1234a"), ElementsAre("123", "4", "a"));  // no border of a word follows
  EXPECT_THAT(Words("superbpe", "ab 12345"), ElementsAre("ab ", "12", "345"));
  EXPECT_THAT(Words("afmoe", "\u0661\u0662\u0663\u0664"), ElementsAre("\u0661", "\u0662\u0663\u0664"));
}

TEST(WordSplitter, SplitsByMarksAndLinesOnlyWhereTheModelDoes) {
  EXPECT_THAT(Words("bloom", "a-1 b, c"), ElementsAre("a-1", " b", ",", " c"));
  EXPECT_THAT(Words("viking", "a-12"), ElementsAre("a-", "1", "2"));
  EXPECT_THAT(Words("gemma4", "a b\n\nc"), ElementsAre("a b", "\n\n", "c"));
  EXPECT_THAT(Words("laguna", "a!\n\nb"), ElementsAre("a", "!", "\n\n", "b"));
  EXPECT_THAT(Words("chameleon", "IMGIMGABZ 1\t"), ElementsAre("IMGIMGABZ", " ", "1", "\t"));
  EXPECT_THAT(Words("jais-2", std::string(7, ' ') + "a"), ElementsAre("    ", "  ", " a"));
}

TEST(WordSplitter, TakesWhiteSpaceAsUnicodeDefinesIt) {
  // A no-break space and an ideographic space are white space, a Mongolian vowel separator is not.
  EXPECT_THAT(Words("gpt-2", "\u00A0\u3000a"), ElementsAre("\u00A0", "\u3000", "a"));
  EXPECT_THAT(Words("gpt-2", "\u180E!"), ElementsAre("\u180E!"));
}

TEST(WordSplitter, MakesWordsOfBytesThatAreNotUtf8) {
  EXPECT_THAT(Words("gpt-2", "ab\xFF\xE2\x82!"), ElementsAre("ab", "\xFF", "\xE2\x82", "!"));
}

TEST(WordSplitter, NeedsLinearTimeForEveryFamily) {
  std::set<const SplitStep*> seen;
  for (const PreTokenizer& pre : PreTokenizers()) {
    if (!seen.insert(pre.steps.data()).second) continue;
    const WordSplitter splitter(pre);
    for (const char* unit : {" ", "\n", "a", "A", "3", "!", "\u0301", "\u6F22", "a ", "aB", " \n"}) {
      for (const char* end : {"", "!", "a", "\u6F22"}) {
        std::string text;
        while (text.size() < 6'000) text += unit;
        text += end;
        const std::clock_t begin = std::clock();
        std::vector<uint32_t> ends;
        splitter.Split(text, ends);
        EXPECT_EQ(ends.back(), text.size());
        // Milliseconds: less than one is needed, and a time that grows with the square takes more.
        EXPECT_LT(1000.0 * static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC, 50)
            << pre.name << " with a run of \"" << unit << "\" before \"" << end << '"';
      }
    }
  }
}

TEST(WordSplitter, HasOneRowForEachName) {
  std::set<std::string> names;
  for (const PreTokenizer& pre : PreTokenizers()) EXPECT_TRUE(names.insert(pre.name).second) << pre.name;
}

TEST(WordSplitter, NamesTheKnownOnesWhenAskedForAnother) {
  EXPECT_THAT([] { FindPreTokenizer("klingon"); },
              ThrowsMessage<Error>(AllOf(HasSubstr("klingon"), HasSubstr("gpt-2"), HasSubstr("llama-bpe"),
                                         HasSubstr("qwen2"), HasSubstr("default"))));
}

}  // namespace
}  // namespace throng::model
