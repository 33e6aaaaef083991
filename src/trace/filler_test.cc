#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "base/error.h"
#include "trace/filler_llm.h"
#include "trace/filler_words.h"

namespace throng::trace {
namespace {

using ::testing::HasSubstr;

// Answers at once, and counts the tokens of prompts as it is told.
class Counting : public llm::Llm {
 public:
  using Count = std::function<int(const std::string& prompt)>;

  explicit Counting(Count count) : count_(std::move(count)) {}

  void Submit(llm::Request request) override {
    llm::Completion completion;
    completion.id = request.id;
    completion.finish = llm::FinishReason::kLength;
    completion.prompt_tokens = count_(request.prompt);
    completion.output_tokens = std::min(request.max_tokens, longest_answer);
    asked.push_back(std::move(request));
    answers_.push_back(std::move(completion));
  }
  void Wait(std::vector<llm::Completion>& done, double) override {
    done.insert(done.end(), answers_.begin(), answers_.end());
    answers_.clear();
  }
  void Cancel(uint64_t) override {}
  double Now() const override { return 0; }
  std::string Identity() const override { return "counting"; }
  llm::Stats GetStats() const override { return {}; }

  std::vector<llm::Request> asked;
  int longest_answer = 1000;

 private:
  Count count_;
  std::vector<llm::Completion> answers_;
};

// 7 tokens of a template, and what each word costs.
int CountWords(const std::string& prompt, const std::function<int(const std::string&)>& cost) {
  int tokens = 7;
  size_t begin = prompt.find(' ');
  while (begin != prompt.npos) {
    const size_t end = prompt.find(' ', begin + 1);
    tokens += cost(prompt.substr(begin + 1, end == prompt.npos ? end : end - begin - 1));
    begin = end;
  }
  return tokens;
}

int OnePerWord(const std::string& prompt) {
  return CountWords(prompt, [](const std::string&) { return 1; });
}

TEST(FillerWords, TextsHaveTheTokensThatAreAskedFor) {
  Counting server(OnePerWord);
  const FillerWords words(server);
  EXPECT_EQ(server.asked.size(), 2u);
  EXPECT_EQ(words.TokensPerWord(), 1);
  EXPECT_EQ(words.LeastTokens(), 7);
  for (const int tokens : {7, 8, 100, 3000}) EXPECT_EQ(OnePerWord(words.Text(tokens, 0, 1, tokens)), tokens);
  EXPECT_EQ(OnePerWord(words.Text(3, 0, 1, 1)), 7);  // the shortest there is
}

TEST(FillerWords, TextsShareTheirBeginningAndNoMore) {
  Counting server(OnePerWord);
  const FillerWords words(server);
  EXPECT_EQ(words.Text(100, 40, 1, 2), words.Text(100, 40, 1, 2));
  const auto shared = [](const std::string& a, const std::string& b) {
    const auto parts = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
    return OnePerWord(std::string(a.begin(), parts.first));
  };
  EXPECT_NEAR(shared(words.Text(100, 40, 1, 2), words.Text(100, 40, 1, 3)), 40, 3);
  EXPECT_NEAR(shared(words.Text(100, 0, 1, 2), words.Text(100, 0, 1, 3)), 7, 3);
  EXPECT_NEAR(shared(words.Text(100, 40, 1, 2), words.Text(100, 40, 2, 2)), 7, 3);
}

TEST(FillerWords, OnlyWordsThatCostTheSameAreTaken) {
  const auto by_length = [](const std::string& word) { return word.size() > 3 ? 2 : 1; };
  Counting server([&](const std::string& prompt) { return CountWords(prompt, by_length); });
  const FillerWords words(server);
  EXPECT_EQ(words.TokensPerWord(), 1);
  EXPECT_EQ(CountWords(words.Text(500, 0, 1, 2), by_length), 500);
}

TEST(FillerWords, DearWordsAreExactToHalfAWord) {
  const auto three = [](const std::string&) { return 3; };
  Counting server([&](const std::string& prompt) { return CountWords(prompt, three); });
  const FillerWords words(server);
  EXPECT_EQ(words.TokensPerWord(), 3);
  for (int tokens = 100; tokens < 103; ++tokens)
    EXPECT_NEAR(CountWords(words.Text(tokens, 0, 1, 2), three), tokens, 1);
}

TEST(FillerWords, AServerThatDoesNotCountIsRefused) {
  Counting server([](const std::string&) { return 0; });
  try {
    const FillerWords words(server);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.Code(), ErrorCode::kUnsupported);
    EXPECT_THAT(error.what(), HasSubstr("usage.prompt_tokens"));
  }
  Counting blind([](const std::string&) { return 5; });
  EXPECT_THROW(FillerWords{blind}, Error);
}

TEST(FillerLlm, DifferencesAreCounted) {
  auto owned = std::make_unique<Counting>(OnePerWord);
  Counting& server = *owned;
  const FillerWords words(server);
  FillerLlm filler(std::move(owned), words, {.shared = 0.5, .nonce = 3});
  const auto ask = [&](int prompt, int output, uint32_t call) {
    llm::Request request;
    request.id = call + 1;
    request.key.call = call;
    request.function = "plan";
    request.known_prompt_tokens = prompt;
    request.known_output_tokens = request.max_tokens = output;
    filler.Submit(std::move(request));
    std::vector<llm::Completion> done;
    filler.Wait(done);
    return server.asked.back().prompt;
  };
  const std::string one = ask(100, 10, 0);
  EXPECT_EQ(filler.Differences().prompts, 0u);
  EXPECT_EQ(filler.Differences().answers, 0u);
  const std::string other = ask(100, 10, 1);
  EXPECT_NE(one, other);
  EXPECT_EQ(one.substr(0, 100), other.substr(0, 100));
  server.longest_answer = 4;
  ask(2, 10, 2);
  EXPECT_EQ(filler.Differences().prompts, 1u);
  EXPECT_EQ(filler.Differences().prompt_tokens, 5);
  EXPECT_EQ(filler.Differences().answers, 1u);
  EXPECT_EQ(filler.Differences().output_tokens, -6);
}

}  // namespace
}  // namespace throng::trace
