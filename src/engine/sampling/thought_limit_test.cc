#include "engine/sampling/thought_limit.h"

#include <gtest/gtest.h>

#include "engine/sampling/constrain.h"
#include "llm/tools/answer_grammar.h"

namespace throng::engine {
namespace {

// Tokens are single bytes, but for the last one, which is a part of a character more.
std::shared_ptr<const Vocabulary> Bytes() {
  std::vector<std::string> bytes;
  for (int byte = 0; byte < 256; ++byte) bytes.push_back(std::string(1, static_cast<char>(byte)));
  bytes.push_back("");
  return std::make_shared<Vocabulary>(bytes, std::vector<int32_t>{256});
}

std::vector<int32_t> Tokens(std::string_view text) {
  std::vector<int32_t> tokens;
  for (const char byte : text) tokens.push_back(static_cast<uint8_t>(byte));
  return tokens;
}

class ThoughtLimitTest : public ::testing::Test {
 protected:
  ThoughtLimitTest() : vocabulary_(Bytes()) {
    llm::AnswerForm form = {.format = llm::FormatOf("</think>", false), .tools = {}, .text = {}};
    form.thought = llm::AnswerForm::Thought::kMay;
    constraint_ = std::make_shared<Constraint>(llm::CompileAnswer(form), vocabulary_);
  }

  // What a model of these tokens writes, each of which it draws unless another is forced.
  std::string Write(std::string_view drawn, int most_tokens) {
    ThoughtWatch watch({.most_tokens = most_tokens,
                        .begin = "<think>",
                        .end = "</think>",
                        .begun = false,
                        .end_tokens = Tokens("</think>"),
                        .spelling = vocabulary_});
    Matcher matcher(constraint_);
    std::string text;
    size_t next = 0;
    for (int count = 0; next < drawn.size(); ++count) {
      const std::optional<int32_t> forced = watch.Next(count, text, matcher);
      const int32_t token = forced ? *forced : static_cast<uint8_t>(drawn[next++]);
      EXPECT_TRUE(matcher.Accept(token)) << text << " and " << token;
      text += static_cast<char>(token);
      watch.Read(text);
    }
    return text;
  }

  std::shared_ptr<const Vocabulary> vocabulary_;
  std::shared_ptr<Constraint> constraint_;
};

TEST_F(ThoughtLimitTest, EndsTheThoughtAndNothingElse) {
  EXPECT_EQ(Write("<think>abcdefYes", 100), "<think>abcdefYes");
  EXPECT_EQ(Write("<think>abcYes", 10), "<think>abc</think>Yes");
  EXPECT_EQ(Write("<think>Yes", 0), "<think></think>Yes");
  EXPECT_EQ(Write("<think>a</think>Yes, long", 16), "<think>a</think>Yes, long");
  EXPECT_EQ(Write("Yes, without a thought", 3), "Yes, without a thought");
}

TEST_F(ThoughtLimitTest, WaitsForTheEndOfACharacter) {
  EXPECT_EQ(Write("<think>ab\xc3\xa4Yes", 10), "<think>ab\xc3\xa4</think>Yes");
}

TEST_F(ThoughtLimitTest, GoesOnWithAnEndThatHasBegun) {
  EXPECT_EQ(Write("<think>ab</tYes", 11), "<think>ab</think>tYes");
  EXPECT_EQ(Write("<think>a</Yes", 10), "<think>a</think>Yes");
}

}  // namespace
}  // namespace throng::engine
