#include "engine/local_llm.h"

#include <gtest/gtest.h>

#include <future>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "engine/testing/fake_model.h"

namespace throng::engine {
namespace {

std::unique_ptr<llm::Llm> MakeFake(LocalOptions options = {}) {
  options.kv = "f32";
  options.threads = 2;
  options.kv_budget_bytes = 16 << 20;
  return std::make_unique<LocalLlm>(std::make_shared<LocalModel>(options, FakeModel("", /*spare_logits=*/5)));
}

llm::Request Ask(const std::string& prompt, uint32_t agent) {
  llm::Request request;
  request.prompt = prompt;
  request.id = agent;
  request.key = {agent, 1, 0};
  request.constraint.choices = {"yes", "no", "perhaps"};
  request.sampling.temperature = 1;
  return request;
}

TEST(LocalLlm, AnswersEveryRequestOnce) {
  const auto llm = MakeFake();
  std::set<uint64_t> ids;
  for (uint32_t agent = 0; agent < 50; ++agent) {
    llm->Submit(Ask(fmt::format("Will it rain at {:02}?", agent), agent));
    ids.insert(agent);
  }
  std::vector<llm::Completion> done;
  std::set<std::string> texts;
  while (done.size() < 50) {
    const size_t before = done.size();
    llm->Wait(done);
    ASSERT_GT(done.size(), before);
  }
  for (const llm::Completion& completion : done) {
    EXPECT_EQ(ids.erase(completion.id), 1u);
    EXPECT_EQ(completion.finish, llm::FinishReason::kStop);
    EXPECT_EQ(completion.prompt_tokens, 20);  // BOS and 19 bytes
    texts.insert(completion.text);
  }
  EXPECT_EQ(texts, (std::set<std::string>{"yes", "no", "perhaps"}));
  const size_t all = done.size();
  llm->Wait(done);  // nothing is in flight: returns at once
  EXPECT_EQ(done.size(), all);
  EXPECT_EQ(llm->GetStats().calls, 50u);
}

TEST(LocalLlm, TheSameCallHasTheSameAnswer) {
  std::vector<std::string> texts;
  for (const int max_batch : {1, 8}) {
    const auto llm = MakeFake({.max_batch = max_batch});
    llm::Request request = Ask("What now?", 7);
    request.constraint = {};
    request.max_tokens = 50;
    for (uint32_t i = 0; i < 5; ++i) llm->Submit(Ask("another", i));
    llm->Submit(request);
    for (std::vector<llm::Completion> done; done.size() < 6;) {
      llm->Wait(done);
      for (const auto& completion : done) {
        if (completion.id == request.id) texts.push_back(completion.text);
      }
    }
  }
  EXPECT_EQ(std::set<std::string>(texts.begin(), texts.end()).size(), 1u);
}

TEST(LocalLlm, TellsWhatRunsAndWhatWaitsForAPlace) {
  std::promise<void> release;
  LoadedModel fake = FakeModel("", /*spare_logits=*/5);
  static_cast<FakeTransformer&>(*fake.transformer).before_forward =
      [released = release.get_future().share()](auto) { released.wait(); };
  LocalLlm llm(std::make_shared<LocalModel>(
      LocalOptions{.kv = "f32", .kv_budget_bytes = 16 << 20, .threads = 2, .max_batch = 1}, std::move(fake)));
  llm.Submit(Ask("What now?", 7));
  while (llm.StandingOf(7) != llm::Standing{}) std::this_thread::yield();
  llm.Submit(Ask("another", 8));
  EXPECT_EQ(llm.StandingOf(8), llm::Standing{.is_queued = true});
  EXPECT_EQ(llm.StandingOf(9), std::nullopt);
  release.set_value();
  std::vector<llm::Completion> done;
  while (done.size() < 2) llm.Wait(done, llm::Llm::kForever);
  EXPECT_EQ(llm.StandingOf(7), std::nullopt);
}

// As behind a server, whose answers are JSON.
TEST(LocalLlm, BytesThatAreNoTextBecomeReplacementCharacters) {
  const auto llm = MakeFake();
  llm::Request request = Ask("What now?", 7);
  request.constraint = {};
  request.max_tokens = 50;
  llm->Submit(request);
  std::vector<llm::Completion> done;
  llm->Wait(done);
  ASSERT_EQ(done.size(), 1u);
  EXPECT_NE(done[0].text.find("\xef\xbf\xbd"), std::string::npos);
  EXPECT_NO_THROW(nlohmann::json(done[0].text).dump());  // which throws for what is no UTF-8
}

TEST(LocalLlm, WaitsNoLongerThanTold) {
  const auto llm = MakeFake();
  std::vector<llm::Completion> done;
  llm::Request request = Ask("?", 0);
  request.constraint = {};
  llm->Submit(request);
  llm->Wait(done, 0);
  llm->Wait(done, 1e-4);
  while (done.empty()) llm->Wait(done, 10);
  EXPECT_EQ(done.size(), 1u);
}

TEST(LocalLlm, RefusesAtSubmitAndGoesOn) {
  const auto llm = MakeFake({.max_context = 100});
  llm::Request request = Ask(std::string(200, 'x'), 0);
  EXPECT_THROW(llm->Submit(request), Error);
  request = Ask("?", 0);
  request.constraint.choices.clear();
  request.constraint.json_schema = "{not json";
  EXPECT_THROW(llm->Submit(request), Error);
  std::vector<llm::Completion> done;
  llm->Wait(done);  // nothing is in flight
  EXPECT_TRUE(done.empty());
}

TEST(LocalLlm, SharesAModelAndCancelsWhatItLeavesBehind) {
  const auto model =
      std::make_shared<LocalModel>(LocalOptions{.kv = "f32", .kv_budget_bytes = 16 << 20}, FakeModel());
  LocalLlm stays(model);
  auto leaves = std::make_unique<LocalLlm>(model);
  llm::Request request = Ask("?", 0);
  request.constraint.choices.clear();
  request.constraint.json_schema =
      R"({"type": "string", "pattern": "^[a-z]{1500}$"})";  // no shorter answer is allowed
  request.max_tokens = 1600;
  leaves->Submit(request);
  leaves.reset();
  stays.Submit(Ask("!", 1));
  std::vector<llm::Completion> done;
  while (done.empty()) stays.Wait(done, llm::Llm::kForever);
  EXPECT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].key.agent, 1u);
  EXPECT_EQ(stays.GetStats().calls, 1u);
  EXPECT_EQ(model->Metrics().Counter("throng:requests_cancelled_total", "").Value(), 1);
}

}  // namespace
}  // namespace throng::engine
