#include "llm/decorators/decorator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "llm/backends/fake.h"
#include "llm/decorators/budget.h"
#include "llm/decorators/retry.h"
#include "llm/decorators/router.h"
#include "llm/decorators/shuffle.h"
#include "llm/testing/numbered.h"

namespace throng::llm {
namespace {

using ::testing::HasSubstr;

Request Ask(uint32_t agent) {
  Request request;
  request.key.agent = agent;
  request.known_prompt_tokens = 30;
  request.known_output_tokens = 10;
  return request;
}

Completion OnlyAnswer(Llm& llm) {
  std::vector<Completion> done;
  llm.Wait(done);
  EXPECT_EQ(done.size(), 1u);
  return done.at(0);
}

// Records what it is told.
class ToldLlm : public Decorator {
 public:
  explicit ToldLlm(std::vector<std::pair<uint32_t, int32_t>>& told)
      : Decorator(std::make_unique<FakeLlm>()), told_(told) {}
  bool WantsExpectations() const override { return true; }
  void ExpectNext(uint32_t agent, int32_t step) override { told_.emplace_back(agent, step); }

 private:
  std::vector<std::pair<uint32_t, int32_t>>& told_;
};

TEST(Decorator, PassesExpectationsOn) {
  std::vector<std::pair<uint32_t, int32_t>> told;
  RetryLlm llm(std::make_unique<ToldLlm>(told), {});
  EXPECT_TRUE(llm.WantsExpectations());
  llm.ExpectNext(3, 40);
  EXPECT_EQ(told, (std::vector<std::pair<uint32_t, int32_t>>{{3, 40}}));
  EXPECT_FALSE(RetryLlm(std::make_unique<FakeLlm>(), {}).WantsExpectations());
}

// Knows of one call.
class StandingLlm : public Decorator {
 public:
  StandingLlm() : Decorator(std::make_unique<FakeLlm>(FakeOptions{.latency = 1})) {}
  std::optional<Standing> StandingOf(uint64_t id) const override {
    return id == 1 ? std::optional(Standing{.server = "a"}) : std::nullopt;
  }
};

TEST(Decorator, PassesOnWhereACallIs) {
  auto router = std::make_unique<RouterLlm>(std::make_unique<FakeLlm>());
  router->Route("say", std::make_shared<StandingLlm>());
  Numbered<BudgetLlm> llm(std::make_unique<RetryLlm>(std::move(router), RetryOptions()), BudgetOptions());
  Request request = Ask(3);
  request.function = "say";
  ASSERT_EQ(llm.Send(request), 1u);
  EXPECT_EQ(llm.StandingOf(1), Standing{.server = "a"});
  llm.Send(request);
  EXPECT_EQ(llm.StandingOf(2), std::nullopt);  // not known there
  EXPECT_EQ(llm.StandingOf(3), std::nullopt);  // nowhere
}

TEST(BudgetLlm, StopsWhenTheTokensAreUsedUp) {
  auto fake = std::make_unique<FakeLlm>(FakeOptions{.latency = 1, .parallel = 1});
  const FakeLlm& backend = *fake;
  BudgetOptions options;
  options.max_tokens = 100;
  options.used_before = {10, 10};
  Numbered<BudgetLlm> llm(std::move(fake), options);
  std::vector<Completion> done;
  for (uint32_t agent = 0; agent < 3; ++agent) llm.Send(Ask(agent));
  llm.Wait(done);
  EXPECT_FALSE(llm.IsUsedUp());
  llm.Wait(done);
  EXPECT_TRUE(llm.IsUsedUp());
  llm.Send(Ask(3));  // is not sent; the third, which was, still arrives
  llm.Wait(done);
  EXPECT_EQ(done.size(), 3u);
  EXPECT_EQ(llm.Used().prompt, 100u);
  EXPECT_EQ(llm.Used().output, 40u);
  try {
    llm.Wait(done);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.Code(), ErrorCode::kExhausted);
    EXPECT_THAT(error.what(), HasSubstr("140 of 100 tokens are used up"));
  }
  EXPECT_EQ(backend.GetStats().calls, 3u);
}

TEST(BudgetLlm, CountsTheAttemptsWhoseAnswersWereNotTaken) {
  class SpentLlm : public Decorator {
   public:
    SpentLlm() : Decorator(std::make_unique<FakeLlm>()) {}
    void Wait(std::vector<Completion>& done, double seconds) override {
      Inner().Wait(done, seconds);
      for (Completion& completion : done) {
        completion.spent_prompt_tokens = 200;
        completion.spent_output_tokens = 7;
      }
    }
  };
  Numbered<BudgetLlm> llm(std::make_unique<SpentLlm>(), BudgetOptions{});
  llm.Send(Ask(0));
  OnlyAnswer(llm);
  EXPECT_EQ(llm.Used().prompt, 230u);
  EXPECT_EQ(llm.Used().output, 17u);
}

TEST(BudgetLlm, StopsWhenTheMoneyIsSpent) {
  BudgetOptions options;
  options.max_cost = 0.001;
  options.price = {10, 40};
  Numbered<BudgetLlm> llm(std::make_unique<FakeLlm>(), options);
  std::vector<Completion> done;
  llm.Send(Ask(0));  // 30 prompt tokens at 10 and 10 of the answer at 40 per million
  llm.Wait(done);
  EXPECT_NEAR(CostOf(llm.Used(), {10, 40}), 0.0007, 1e-12);
  EXPECT_FALSE(llm.IsUsedUp());
  llm.Send(Ask(1));
  llm.Wait(done);
  EXPECT_TRUE(llm.IsUsedUp());
  llm.Send(Ask(2));
  EXPECT_THROW(llm.Wait(done), Error);
}

TEST(ShuffleLlm, ReleasesEverythingInAnotherOrder) {
  std::set<std::vector<uint64_t>> orders;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Numbered<ShuffleLlm> llm(std::make_unique<FakeLlm>(FakeOptions{.latency = 1, .spread = 0.9}), seed);
    for (uint32_t agent = 0; agent < 30; ++agent) llm.Send(Ask(agent));
    std::vector<uint64_t> order;
    std::vector<Completion> done;
    while (order.size() < 30) {
      done.clear();
      llm.Wait(done);
      ASSERT_FALSE(done.empty());
      for (const Completion& completion : done) order.push_back(completion.id);
      if (order.size() == 15) llm.Send(Ask(99));  // submits in between
    }
    orders.insert(order);
  }
  EXPECT_EQ(orders.size(), 20u);
}

// One call at a time, as a scheduler with one ready cluster asks: each must come back without a further
// submission.
TEST(ShuffleLlm, NeverHoldsTheLastCall) {
  Numbered<ShuffleLlm> llm(std::make_unique<FakeLlm>(FakeOptions{.latency = 1}), 3);
  std::vector<Completion> done;
  for (uint32_t i = 1; i <= 50; ++i) {
    llm.Send(Ask(i));
    llm.Wait(done);
    ASSERT_EQ(done.size(), i);
  }
  llm.Wait(done);
  EXPECT_EQ(done.size(), 50u);
}

}  // namespace
}  // namespace throng::llm
