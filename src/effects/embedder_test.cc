#include "effects/embedder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "base/error.h"
#include "effects/effects_llm.h"
#include "llm/backends/backend_spec.h"

namespace throng::effects {
namespace {

using Json = nlohmann::json;
using Outcome = ToolResult::Outcome;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A text's embedding is in its words, split at commas: "1,-2".
class Numbers final : public Embedder {
 public:
  std::string Identity() const override { return "numbers"; }
  std::vector<std::string> asked;

 protected:
  std::vector<std::vector<float>> Embed(const std::vector<std::string>& texts) override {
    std::vector<std::vector<float>> embeddings;
    for (const std::string& text : texts) {
      asked.push_back(text);
      if (text == "away") throw Error(ErrorCode::kUnavailable, "it is away");
      if (text == "nan") {
        embeddings.push_back({std::numeric_limits<float>::quiet_NaN(), 1});
      } else if (text != "missing") {
        embeddings.push_back(Json::parse("[" + text + "]").get<std::vector<float>>());
      }
    }
    return embeddings;
  }
};

ToolResult Use(Embedder& embedder, const std::vector<std::string>& texts) {
  return embedder.Use(Json{{"texts", texts}}.dump());
}

TEST(Embedder, KeepsDirectionsInWholeNumbers) {
  Numbers embedder;
  const ToolResult result = Use(embedder, {"1,-2,0.5", "-0.5,0,0.25", "0,0,0"});
  EXPECT_EQ(result.outcome, Outcome::kDone);
  EXPECT_EQ(result.text, "[[64,-127,32],[-127,0,64],[0,0,0]]");
}

TEST(Embedder, EmbedsEachTextOnce) {
  Numbers embedder;
  EXPECT_EQ(Use(embedder, {"1,2", "2,1", "1,2"}).text, "[[64,127],[127,64],[64,127]]");
  EXPECT_EQ(Use(embedder, {"2,1", "0,1"}).text, "[[127,64],[0,127]]");
  EXPECT_THAT(embedder.asked, ElementsAre("1,2", "2,1", "0,1"));
}

// Agents that ask at the same time, too.
TEST(Embedder, ATextThatSomebodyElseAsksForIsWaitedFor) {
  struct Slow final : Embedder {
    std::string Identity() const override { return "slow"; }
    std::vector<std::vector<float>> Embed(const std::vector<std::string>& texts) override {
      asked += texts.size();
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      if (std::exchange(fails, false)) throw Error(ErrorCode::kUnavailable, "away for once");
      return std::vector<std::vector<float>>(texts.size(), {1.0f});
    }
    std::atomic<size_t> asked = 0;
    bool fails = false;
  };
  for (const bool fails : {false, true}) {
    Slow embedder;
    embedder.fails = fails;
    std::atomic<int> done = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] { done += Use(embedder, {"a", "b"}).outcome == Outcome::kDone; });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(embedder.asked, fails ? 4u : 2u);  // who was not answered fails, and the next one asks again
    EXPECT_EQ(done, fails ? 3 : 4);
  }
}

TEST(Embedder, WhatIsNoEmbeddingIsNoAnswer) {
  Numbers embedder;
  const auto why = [&](const std::vector<std::string>& texts) {
    const ToolResult result = Use(embedder, texts);
    EXPECT_EQ(result.outcome, Outcome::kUnavailable);
    return result.text;
  };
  EXPECT_EQ(why({"away"}), "it is away");
  EXPECT_THAT(why({"nan"}), HasSubstr("something that is no number"));
  EXPECT_THAT(why({"1,2", "missing"}), HasSubstr("1 embeddings of 2 texts; allowed: one of each"));
  EXPECT_THAT(why({"1,2", "1,2,3"}), HasSubstr("3 numbers, and one of 2; allowed: equally many"));
  EXPECT_THAT(why({""}), HasSubstr("allowed: equally many"));
  EXPECT_EQ(Use(embedder, {"3,4"}).outcome, Outcome::kDone);
}

// A run's journal keeps answers, and this is none: the run asks again when it is resumed.
TEST(Embedder, AnEmbedderThatIsAwayIsAnErrorOfTheRun) {
  EffectsOptions options;
  options.embedder = std::make_shared<Numbers>();
  EffectsLlm llm(llm::MakeBackend("fake"), std::move(options));
  llm::Request request;
  request.id = 1;
  request.kind = llm::Kind::kEmbedding;
  request.prompt = R"({"texts":["away"]})";
  llm.Submit(request);
  std::vector<llm::Completion> done;
  llm.Wait(done, llm::Llm::kForever);
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].finish, llm::FinishReason::kError);
  EXPECT_EQ(done[0].text, "");
  ASSERT_TRUE(done[0].error.has_value());
  EXPECT_EQ(done[0].error->Code(), ErrorCode::kUnavailable);
  EXPECT_STREQ(done[0].error->what(), "it is away");
}

TEST(FakeEmbedder, TextsAreAsNearAsTheyHaveWordsInCommon) {
  FakeEmbedder embedder;
  const auto embeddings =
      Json::parse(
          Use(embedder, {"the concert is at 18:00", "The CONCERT, at 18:00!", "bread and honey", "?"}).text)
          .get<std::vector<std::vector<double>>>();
  const auto cosine = [&](size_t a, size_t b) {
    double dot = 0;
    double aa = 0;
    double bb = 0;
    for (size_t i = 0; i < embeddings[a].size(); ++i) {
      dot += embeddings[a][i] * embeddings[b][i];
      aa += embeddings[a][i] * embeddings[a][i];
      bb += embeddings[b][i] * embeddings[b][i];
    }
    return dot / std::sqrt(aa * bb);
  };
  EXPECT_GT(cosine(0, 1), 0.7);
  EXPECT_LT(cosine(0, 2), 0.4);
  EXPECT_THAT(embeddings[3], testing::Each(0.0));
}

}  // namespace
}  // namespace throng::effects
