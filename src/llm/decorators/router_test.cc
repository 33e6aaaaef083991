#include "llm/decorators/router.h"

#include <gtest/gtest.h>

#include <map>

#include "llm/backends/fake.h"
#include "llm/testing/numbered.h"

namespace throng::llm {
namespace {

Request Ask(uint32_t agent, const char* function) {
  Request request;
  request.key.agent = agent;
  request.function = function;
  request.known_prompt_tokens = 30;
  request.known_output_tokens = 10;
  return request;
}

std::unique_ptr<Llm> Fake(double latency, uint64_t seed = 0) {
  return std::make_unique<FakeLlm>(FakeOptions{.latency = latency, .seed = seed});
}

TEST(RouterLlm, SendsEachCallToItsBackend) {
  Numbered<RouterLlm> llm(Fake(1));
  const std::shared_ptr<Llm> other = Fake(2, 9);
  llm.Route("say", other);
  llm.Route("talk", other);
  std::map<uint64_t, std::string> functions;
  for (const char* function : {"act", "say", "talk", "plan"})
    functions[llm.Send(Ask(1, function))] = function;
  std::vector<Completion> done;
  std::map<std::string, double> arrived;
  while (done.size() < 4) {
    const size_t before = done.size();
    llm.Wait(done);
    ASSERT_GT(done.size(), before);
    for (size_t i = before; i < done.size(); ++i) arrived[functions.at(done[i].id)] = llm.Now();
  }
  EXPECT_EQ(other->GetStats().calls, 2u);
  EXPECT_EQ(llm.Default().GetStats().calls, 2u);
  EXPECT_EQ(llm.GetStats().calls, 4u);
  EXPECT_NEAR(arrived["act"], 1, 2 * RouterLlm::kQuantum);
  EXPECT_NEAR(arrived["plan"], 1, 2 * RouterLlm::kQuantum);
  EXPECT_NEAR(arrived["say"], 2, 2 * RouterLlm::kQuantum);
  EXPECT_NE(llm.Identity().find("say: fake latency=2"), std::string::npos);
}

TEST(RouterLlm, OneClockForChainsOverBackends) {
  Numbered<RouterLlm> llm(Fake(1));
  llm.Route("say", Fake(3));
  std::vector<Completion> done;
  for (int round = 0; round < 5; ++round) {  // act, then say: 4 s a round, with plans of 1 s beside them
    for (const char* function : {"act", "say"}) {
      const uint64_t id = llm.Send(Ask(1, function));
      uint64_t plan = llm.Send(Ask(2, "plan"));
      for (bool arrived = false; !arrived;) {
        done.clear();
        llm.Wait(done);
        ASSERT_FALSE(done.empty());
        for (const Completion& completion : done) {
          if (completion.id == id) arrived = true;
          if (completion.id == plan && !arrived) plan = llm.Send(Ask(2, "plan"));
        }
      }
    }
  }
  EXPECT_NEAR(llm.Now(), 20, 0.2);
}

TEST(RouterLlm, WaitsNoLongerThanAskedAndPassesCancelsOn) {
  Numbered<RouterLlm> llm(Fake(5));
  llm.Route("say", Fake(5));
  std::vector<Completion> done;
  llm.Wait(done, 1);  // nothing is in flight
  const uint64_t act = llm.Send(Ask(1, "act"));
  const uint64_t say = llm.Send(Ask(1, "say"));
  llm.Wait(done, 2);
  EXPECT_TRUE(done.empty());
  EXPECT_NEAR(llm.Now(), 2, 0.01);
  llm.Cancel(say);
  llm.Wait(done);
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].id, say);
  EXPECT_EQ(done[0].finish, FinishReason::kCancelled);
  llm.Wait(done);
  ASSERT_EQ(done.size(), 2u);
  EXPECT_EQ(done[1].id, act);
}

}  // namespace
}  // namespace throng::llm
