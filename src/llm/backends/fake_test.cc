#include "llm/backends/fake.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "llm/grammar/automaton.h"
#include "llm/testing/numbered.h"

namespace throng::llm {
namespace {

Request MakeRequest(uint32_t agent, int32_t step, int priority = 0) {
  Request request;
  request.key = {agent, step, 0};
  request.prompt = "hello";
  request.priority = priority;
  return request;
}

std::vector<Completion> Drain(Llm& llm) {
  std::vector<Completion> all;
  for (size_t before = 1; before != all.size();) {
    before = all.size();
    llm.Wait(all);
  }
  return all;
}

std::string AnswerTo(const Request& request, uint64_t seed = 0) {
  Numbered<FakeLlm> llm({.seed = seed});
  llm.Send(request);
  return Drain(llm).at(0).text;
}

TEST(FakeLlm, AnswersDependOnRequestKeyAndSeedAlone) {
  const Request request = MakeRequest(3, 4);
  EXPECT_EQ(AnswerTo(request), AnswerTo(request));
  EXPECT_NE(AnswerTo(request), AnswerTo(MakeRequest(4, 3)));
  EXPECT_NE(AnswerTo(request), AnswerTo(request, 1));
  Request other = request;
  other.prompt += "!";
  EXPECT_NE(AnswerTo(request), AnswerTo(other));
  other = request;
  other.sampling.seed = 9;
  EXPECT_NE(AnswerTo(request), AnswerTo(other));

  Numbered<FakeLlm> llm;
  llm.Send(MakeRequest(1, 1));
  llm.Send(request);
  EXPECT_EQ(Drain(llm).at(1).text, AnswerTo(request));
}

TEST(FakeLlm, AnswersFitTheirConstraint) {
  Request request = MakeRequest(0, 0);
  request.constraint.json_schema =
      R"({"type":"object","properties":{"say":{"type":"string","pattern":"^[A-Za-z0-9 ,.:?!]{1,120}$"},"n":{"type":"integer","minimum":-3,"maximum":1000},)"
      R"("list":{"type":"array","items":{"type":"number"}},"t":{"type":"string","pattern":"^([01][0-9]|2[0-3]):00$"},"e":{"enum":["é","b"]}},"required":["say","n"]})";
  Automaton automaton(CompileGrammar(request.constraint));
  Numbered<FakeLlm> llm;
  for (uint32_t agent = 0; agent < 200; ++agent) {
    request.key.agent = agent;
    llm.Send(request);
  }
  for (const Completion& completion : Drain(llm))
    EXPECT_TRUE(automaton.Matches(completion.text)) << completion.text;
  request.constraint = {.choices = {"yes", "no"}, .json_schema = ""};
  for (uint32_t agent = 0; agent < 20; ++agent) {
    request.key.agent = agent;
    const std::string answer = AnswerTo(request);
    EXPECT_TRUE(answer == "yes" || answer == "no");
  }
  request.constraint.json_schema = R"({"type":"text"})";
  EXPECT_THROW(llm.Send(request), Error);
}

TEST(FakeLlm, TextsEndAtMaxTokensOrBeforeAStop) {
  Request request = MakeRequest(0, 0);
  request.max_tokens = 1;
  for (uint32_t agent = 0; agent < 50; ++agent) {
    request.key.agent = agent;
    EXPECT_LE(AnswerTo(request).size(), 4u);
  }
  request.max_tokens = 100;
  request.stop = {" "};
  EXPECT_EQ(AnswerTo(request).find(' '), std::string::npos);
}

TEST(FakeLlm, KnownSizesAreTaken) {
  Request request = MakeRequest(0, 0);
  request.known_prompt_tokens = 640;
  request.known_output_tokens = 22;
  Numbered<FakeLlm> llm;
  llm.Send(request);
  const Completion completion = Drain(llm).at(0);
  EXPECT_EQ(completion.prompt_tokens, 640);
  EXPECT_EQ(completion.output_tokens, 22);
  EXPECT_EQ(llm.GetStats().prompt_tokens, 640u);
}

TEST(FakeLlm, ServesByPriorityInVirtualTime) {
  Numbered<FakeLlm> llm({.latency = 2, .parallel = 1});
  const uint64_t late = llm.Send(MakeRequest(0, 9, 9));
  const uint64_t early = llm.Send(MakeRequest(1, 3, 3));
  const uint64_t also = llm.Send(MakeRequest(2, 3, 3));
  std::vector<Completion> done;
  llm.Wait(done, 1.5);
  EXPECT_TRUE(done.empty());
  EXPECT_DOUBLE_EQ(llm.Now(), 1.5);
  llm.Wait(done);
  EXPECT_EQ(done.at(0).id, early);
  EXPECT_DOUBLE_EQ(llm.Now(), 2);
  llm.Wait(done);
  llm.Wait(done);
  EXPECT_EQ(done.at(1).id, also);
  EXPECT_EQ(done.at(2).id, late);
  EXPECT_DOUBLE_EQ(llm.Now(), 6);
  llm.Wait(done);  // idle
  EXPECT_EQ(done.size(), 3u);
}

TEST(FakeLlm, ARaisedCallOvertakesThoseThatWait) {
  Numbered<FakeLlm> llm({.latency = 2, .parallel = 1});
  llm.Send(MakeRequest(0, 1, 1));
  llm.Send(MakeRequest(1, 3, 3));
  const uint64_t guess = llm.Send(MakeRequest(2, 2, 99));
  std::vector<Completion> done;
  llm.Wait(done, 0.5);
  llm.Raise(guess, 2);
  llm.Raise(12345, 0);  // unknown
  llm.Wait(done);
  llm.Wait(done);
  ASSERT_EQ(done.size(), 2u);
  EXPECT_EQ(done[1].id, guess);
  llm.Cancel(guess);  // it is over
  llm.Wait(done);
  EXPECT_EQ(done.size(), 3u);
}

TEST(FakeLlm, SpreadChangesLatenciesByTheKey) {
  Numbered<FakeLlm> llm({.latency = 1, .spread = 0.5});
  for (uint32_t agent = 0; agent < 100; ++agent) llm.Send(MakeRequest(agent, 0));
  const std::vector<Completion> done = Drain(llm);
  EXPECT_EQ(done.size(), 100u);
  EXPECT_GT(llm.Now(), 1.4);
  EXPECT_LE(llm.Now(), 1.5);
  EXPECT_FALSE(
      std::is_sorted(done.begin(), done.end(), [](const auto& a, const auto& b) { return a.id < b.id; }));
}

TEST(FakeLlm, CancelCompletesRunningAndWaitingCalls) {
  Numbered<FakeLlm> llm({.latency = 1, .parallel = 1});
  const uint64_t first = llm.Send(MakeRequest(0, 0));
  const uint64_t second = llm.Send(MakeRequest(1, 0));
  const uint64_t third = llm.Send(MakeRequest(2, 0));
  std::vector<Completion> done;
  llm.Wait(done, 0.5);
  llm.Cancel(second);
  llm.Cancel(first);
  llm.Cancel(first);
  llm.Cancel(999);
  llm.Wait(done);
  ASSERT_EQ(done.size(), 2u);
  EXPECT_EQ(done[0].id, second);
  EXPECT_EQ(done[0].finish, FinishReason::kCancelled);
  EXPECT_EQ(done[1].id, first);
  llm.Wait(done);
  ASSERT_EQ(done.size(), 3u);
  EXPECT_EQ(done[2].id, third);
  EXPECT_EQ(done[2].finish, FinishReason::kStop);
  EXPECT_DOUBLE_EQ(llm.Now(), 1.5);
}

}  // namespace
}  // namespace throng::llm
