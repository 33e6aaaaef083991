#include "llm/decorators/retry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <thread>

#include "llm/backends/fake.h"
#include "llm/testing/numbered.h"

namespace throng::llm {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

Request Ask(uint32_t agent) {
  Request request;
  request.key.agent = agent;
  request.known_prompt_tokens = 30;
  request.known_output_tokens = 10;
  return request;
}

Request Choice() {
  Request request;
  request.key = {3, 5, 1};
  request.prompt = "where?";
  request.constraint.choices = {"park", "pub"};
  request.max_tokens = 10;
  return request;
}

Completion Says(const std::string& text, FinishReason finish = FinishReason::kStop) {
  Completion completion;
  completion.finish = finish;
  completion.text = text;
  completion.prompt_tokens = 7;
  completion.cached_prompt_tokens = 2;
  completion.output_tokens = 3;
  return completion;
}

Completion Fails(ErrorCode code, double retry_after_s = -1) {
  Completion completion;
  completion.finish = FinishReason::kError;
  completion.error = Error(code, "it failed");
  completion.retry_after_s = retry_after_s;
  return completion;
}

// Gives the scripted completions in order, the last one again and again, and remembers what it was asked. In
// real time.
class ScriptedLlm : public Decorator {
 public:
  explicit ScriptedLlm(std::deque<Completion> script)
      : Decorator(std::make_unique<FakeLlm>()), script_(std::move(script)) {}
  void Submit(Request request) override {
    asked.push_back(request);
    if (script_.front().error && script_.front().error->what() == std::string("cannot be submitted")) {
      const Error error = *script_.front().error;
      if (script_.size() > 1) script_.pop_front();
      throw error;
    }
    Inner().Submit(std::move(request));
  }
  void Wait(std::vector<Completion>& done, double seconds) override {
    std::vector<Completion> fake;
    Inner().Wait(fake, seconds);
    for (const Completion& completion : fake) {
      Completion scripted = script_.front();
      if (script_.size() > 1) script_.pop_front();
      scripted.id = completion.id;
      scripted.key = completion.key;
      done.push_back(std::move(scripted));
    }
  }

  std::vector<Request> asked;

 private:
  std::deque<Completion> script_;
};

struct Retried {
  Completion completion;
  std::vector<Request> asked;
  double seconds = 0;
};

Retried Settled(std::deque<Completion> script, const Request& request, RetryOptions options = {}) {
  auto inner = std::make_unique<ScriptedLlm>(std::move(script));
  const ScriptedLlm& asked = *inner;
  Numbered<RetryLlm> llm(std::move(inner), std::move(options));
  const auto begin = std::chrono::steady_clock::now();
  const uint64_t id = llm.Send(request);
  std::vector<Completion> done;
  llm.Wait(done);
  EXPECT_EQ(done.size(), 1u);
  EXPECT_EQ(done.at(0).id, id);
  EXPECT_EQ(done.at(0).key, request.key);
  EXPECT_EQ(done.at(0).error.has_value(), done.at(0).finish == FinishReason::kError);
  EXPECT_EQ(done.at(0).attempts, static_cast<int>(asked.asked.size()));
  return {done.at(0), asked.asked,
          std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count()};
}

Completion OnlyAnswer(Llm& llm) {
  std::vector<Completion> done;
  llm.Wait(done);
  EXPECT_EQ(done.size(), 1u);
  return done.at(0);
}

TEST(RetryLlm, AsksAgainWhileTheBackendIsUnavailable) {
  const Completion gone = Fails(ErrorCode::kUnavailable);
  const Completion good = Settled({gone, gone, Says("hm")}, Ask(4), {.call_attempts = 3}).completion;
  EXPECT_EQ(good.finish, FinishReason::kStop);
  EXPECT_EQ(good.attempts, 3);
  const Completion weak = Settled({gone, gone, Says("hm")}, Ask(4), {.call_attempts = 2}).completion;
  EXPECT_EQ(weak.error->Code(), ErrorCode::kUnavailable);
  EXPECT_THAT(weak.error->what(), HasSubstr("it failed (asked 2 times)"));
  for (const ErrorCode code : {ErrorCode::kInvalid, ErrorCode::kUnsupported, ErrorCode::kExhausted}) {
    const Retried wrong = Settled({Fails(code)}, Ask(4));
    EXPECT_EQ(wrong.completion.error->Code(), code);
    EXPECT_EQ(wrong.asked.size(), 1u);
  }
}

TEST(RetryLlm, SaysWhatWasWrongAndCountsEachAttempt) {
  const Retried retried = Settled({Says("the zoo"), Fails(ErrorCode::kUnavailable), Says(" Pub.")}, Choice());
  EXPECT_EQ(retried.completion.text, "pub");
  EXPECT_EQ(retried.completion.prompt_tokens, 7);
  EXPECT_EQ(retried.completion.cached_prompt_tokens, 2);
  EXPECT_EQ(retried.completion.spent_prompt_tokens, 7);
  EXPECT_EQ(retried.completion.spent_cached_tokens, 2);
  EXPECT_EQ(retried.completion.spent_output_tokens, 3);
  EXPECT_FALSE(retried.asked[0].refused);
  EXPECT_EQ(retried.asked[1].refused->answer, "the zoo");
  EXPECT_EQ(retried.asked[1].refused->why,
            "That answer is not allowed: it is not one of: park, pub. Answer with one of them alone.");
  EXPECT_EQ(retried.asked[2].refused->answer, "the zoo");
}

TEST(RetryLlm, GivesUpAfterAnswersThatAreNotAllowed) {
  const Retried retried = Settled({Says("the zoo")}, Choice());
  EXPECT_EQ(retried.asked.size(), 3u);
  EXPECT_EQ(retried.completion.error->Code(), ErrorCode::kBadAnswer);
  EXPECT_THAT(
      retried.completion.error->what(),
      HasSubstr("the answer \"the zoo\" is not allowed: it is not one of: park, pub (asked 3 times)"));
  EXPECT_EQ(retried.completion.spent_prompt_tokens, 14);
  EXPECT_EQ(retried.completion.spent_cached_tokens, 4);
  EXPECT_EQ(retried.completion.text, "");  // a journal keeps none, and a resumed run must be the same
  // What is no answer at all is asked again as it was: there is nothing that the model could do better.
  Completion html = Fails(ErrorCode::kBadAnswer);
  const Retried page = Settled({html}, Choice(), {.answer_attempts = 2});
  EXPECT_EQ(page.asked.size(), 2u);
  EXPECT_FALSE(page.asked[1].refused);
  EXPECT_EQ(page.completion.error->Code(), ErrorCode::kBadAnswer);
}

TEST(RetryLlm, GivesAnAnswerThatWasCutOffMoreRoom) {
  Request request = Choice();
  request.constraint = {.choices = {},
                        .json_schema = R"({"type":"object","properties":{"a":{"type":"integer"}}})"};
  const Retried retried = Settled(
      {Says("{\"a\": ", FinishReason::kLength), Says("{\"a\"", FinishReason::kLength), Says("{\"a\": 1}")},
      request);
  EXPECT_EQ(retried.completion.text, R"({"a":1})");
  EXPECT_EQ(retried.asked[1].max_tokens, 20);
  EXPECT_EQ(retried.asked[2].max_tokens, 40);
  EXPECT_THAT(retried.asked[1].refused->why, HasSubstr("it was cut off after 10 tokens. Be brief."));
  // A text may be cut off, thoughts may not.
  request.constraint = {};
  EXPECT_EQ(Settled({Says("once upon", FinishReason::kLength)}, request).completion.finish,
            FinishReason::kLength);
  EXPECT_EQ(Settled({Says("<think>hm", FinishReason::kLength), Says("<think>hm</think>yes")}, request)
                .completion.text,
            "yes");
}

TEST(RetryLlm, AnEmptyTextIsNoAnswerUnlessItMayStopAtOnce) {
  Request request = Choice();
  request.constraint = {};
  EXPECT_EQ(Settled({Says(""), Says("hello")}, request).completion.text, "hello");
  request.stop = {"\n"};
  EXPECT_EQ(Settled({Says(""), Says("hello")}, request).completion.text, "");
}

TEST(RetryLlm, PausesGrowAndAServersTimeIsKept) {
  const RetryOptions options{.call_attempts = 4, .first_pause = 0.04, .longest_pause = 0.08};
  // 0.04, 0.08 and 0.08 s with a quarter of jitter, although the server says 0.
  const Retried zero = Settled({Fails(ErrorCode::kUnavailable, 0)}, Choice(), options);
  EXPECT_GE(zero.seconds, 0.75 * 0.2);
  EXPECT_LE(zero.seconds, 1.5);
  const Retried told = Settled({Fails(ErrorCode::kUnavailable, 0.3), Says("pub")}, Choice(), options);
  EXPECT_EQ(told.completion.text, "pub");
  EXPECT_GE(told.seconds, 0.3);
  EXPECT_LT(Settled({Fails(ErrorCode::kUnavailable), Says("pub")}, Choice()).seconds, 0.3);
}

TEST(RetryLlm, ALongWaitIsToldOrFails) {
  std::vector<std::string> told;
  RetryOptions options;
  options.on_wait = [&](const std::string& waits) { told.push_back(waits); };
  const Retried never = Settled({Fails(ErrorCode::kUnavailable, 3600)}, Choice(), options);
  EXPECT_EQ(never.asked.size(), 1u);
  EXPECT_EQ(never.completion.error->Code(), ErrorCode::kUnavailable);
  EXPECT_THAT(never.completion.error->what(), HasSubstr("it failed; it asks to wait 3600 s, allowed is 300"));
  EXPECT_THAT(told, IsEmpty());
  // Told once for many calls that wait for the same.
  options.max_wait = 4000;
  Numbered<RetryLlm> llm(
      std::make_unique<ScriptedLlm>(std::deque<Completion>{Fails(ErrorCode::kUnavailable, 3600)}), options);
  uint64_t ids[3];
  for (uint64_t& id : ids) id = llm.Send(Choice());
  std::vector<Completion> done;
  llm.Wait(done, 0.05);
  EXPECT_TRUE(done.empty());
  EXPECT_EQ(llm.StandingOf(ids[0]), Standing{.is_queued = true});
  ASSERT_EQ(told.size(), 1u);
  EXPECT_THAT(told[0], HasSubstr("it failed; asked again in 3600 s"));
  // A call that waits is cancelled at once, also by another thread.
  const auto begin = std::chrono::steady_clock::now();
  std::thread canceller([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    for (const uint64_t id : ids) llm.Cancel(id);
  });
  while (done.size() < 3) llm.Wait(done);
  canceller.join();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
  for (const Completion& completion : done) {
    EXPECT_EQ(completion.finish, FinishReason::kCancelled);
    EXPECT_THAT(completion.error->what(), HasSubstr("it failed"));
  }
}

TEST(RetryLlm, TheDefaultPausesOutlastARestart) {
  const RetryOptions options;
  double pause = options.first_pause;
  double sum = 0;
  for (int attempt = 1; attempt < options.call_attempts; ++attempt) {
    sum += 0.75 * pause;
    pause = std::min(2 * pause, options.longest_pause);
  }
  EXPECT_GT(sum, 60);
}

// Answers each kind of request with one text of its own.
class OneTextForEach : public Decorator {
 public:
  OneTextForEach(std::string text, std::string choice)
      : Decorator(std::make_unique<FakeLlm>()), text_(std::move(text)), choice_(std::move(choice)) {}
  void Submit(Request request) override {
    is_choice_[request.id] = !request.constraint.choices.empty();
    Inner().Submit(std::move(request));
  }
  void Wait(std::vector<Completion>& done, double seconds) override {
    Inner().Wait(done, seconds);
    for (Completion& completion : done) completion.text = is_choice_[completion.id] ? choice_ : text_;
  }

 private:
  const std::string text_;
  const std::string choice_;
  std::map<uint64_t, bool> is_choice_;
};

Request Text() {
  Request request = Choice();
  request.constraint = {};
  return request;
}

TEST(RetryLlm, AHopelessBackendIsReportedAsSuch) {
  Numbered<RetryLlm> llm(std::make_unique<ScriptedLlm>(std::deque<Completion>{Says("zoo")}),
                         RetryOptions{.unable_after = RetryLlm::kHopeless + 1});
  for (int i = 1; i <= RetryLlm::kHopeless; ++i) {
    llm.Send(Choice());
    const Completion completion = OnlyAnswer(llm);
    EXPECT_EQ(completion.error->Code(), i < RetryLlm::kHopeless ? ErrorCode::kBadAnswer : ErrorCode::kInvalid)
        << i;
    if (i == RetryLlm::kHopeless) {
      EXPECT_THAT(completion.error->what(), HasSubstr("the 30th call in a row to fail"));
    }
  }
}

TEST(RetryLlm, AKindOfAnswerThatWasGoodAndIsNoLongerEndsTheRun) {
  std::deque<Completion> script = {Says("pub")};
  for (int i = 1; i <= RetryLlm::kHopeless; ++i) {
    for (const char* answer : {"zoo", "zoo", "zoo", "hm"}) script.push_back(Says(answer));
  }
  Numbered<RetryLlm> llm(std::make_unique<ScriptedLlm>(script), RetryOptions{});
  llm.Send(Choice());
  EXPECT_EQ(OnlyAnswer(llm).text, "pub");
  for (int i = 1; i <= RetryLlm::kHopeless; ++i) {
    llm.Send(Choice());
    const Completion completion = OnlyAnswer(llm);
    EXPECT_EQ(completion.error->Code(), i < RetryLlm::kHopeless ? ErrorCode::kBadAnswer : ErrorCode::kInvalid)
        << i;
    llm.Send(Text());
    EXPECT_EQ(OnlyAnswer(llm).text, "hm");
  }
}

TEST(RetryLlm, OneCallWithBadAnswersEndsNoRun) {
  Numbered<RetryLlm> llm(std::make_unique<ScriptedLlm>(std::deque<Completion>{Says("zoo")}), RetryOptions{});
  llm.Send(Choice());
  const Completion first = OnlyAnswer(llm);
  EXPECT_EQ(first.error->Code(), ErrorCode::kBadAnswer);
  EXPECT_EQ(first.attempts, 3);
}

TEST(RetryLlm, AKindOfAnswerThatNoCallGetsEndsTheRun) {
  // Good texts prove nothing for choices.
  Numbered<RetryLlm> llm(std::make_unique<OneTextForEach>("hm", "zoo"), RetryOptions{});
  for (int i = 1; i <= 5; ++i) {
    llm.Send(Text());
    EXPECT_EQ(OnlyAnswer(llm).text, "hm");
    llm.Send(Choice());
    const Completion completion = OnlyAnswer(llm);
    EXPECT_EQ(completion.error->Code(), i < 5 ? ErrorCode::kBadAnswer : ErrorCode::kInvalid) << i;
    if (i < 5) continue;
    EXPECT_THAT(
        completion.error->what(),
        HasSubstr("\"zoo\" is not allowed: it is not one of: park, pub (asked 3 times); none of 5 calls "
                  "for one of several choices has had an answer that is allowed"));
  }
}

TEST(RetryLlm, ABackendThatAnswersNothingWellEndsTheRunWhateverIsAsked) {
  Numbered<RetryLlm> llm(std::make_unique<OneTextForEach>("", "zoo"), RetryOptions{});
  for (int i = 1; i <= 5; ++i) {
    llm.Send(i % 2 == 0 ? Text() : Choice());
    const Completion completion = OnlyAnswer(llm);
    EXPECT_EQ(completion.error->Code(), i < 5 ? ErrorCode::kBadAnswer : ErrorCode::kInvalid) << i;
    if (i < 5) continue;
    EXPECT_THAT(completion.error->what(), HasSubstr("none of 5 calls has had an answer that is allowed"));
  }
}

TEST(RetryLlm, BadAnswersAreHeldBackUntilOthersTellWhetherAnyIsGood) {
  // Of five calls at once none falls back: the run would only lose what its agents would have said.
  Numbered<RetryLlm> silly(std::make_unique<ScriptedLlm>(std::deque<Completion>{Says("zoo")}),
                           RetryOptions{});
  for (int i = 0; i < 5; ++i) silly.Send(Choice());
  std::vector<Completion> done;
  while (done.size() < 5) silly.Wait(done);
  for (const Completion& completion : done) {
    EXPECT_EQ(completion.error->Code(), ErrorCode::kInvalid);
    EXPECT_THAT(completion.error->what(), HasSubstr("none of 5 calls for one of several choices"));
  }
  // Fewer do.
  Numbered<RetryLlm> few(std::make_unique<ScriptedLlm>(std::deque<Completion>{Says("zoo")}), RetryOptions{});
  for (int i = 0; i < 4; ++i) few.Send(Choice());
  done.clear();
  few.Wait(done);
  ASSERT_EQ(done.size(), 4u);
  for (const Completion& completion : done) EXPECT_EQ(completion.error->Code(), ErrorCode::kBadAnswer);
  // The bad answers of the first call come before the good one of the second.
  const std::deque<Completion> script = {Says("zoo"), Says("zoo"), Says("zoo"),
                                         Says("zoo"), Says("zoo"), Says("park")};
  Numbered<RetryLlm> human(std::make_unique<ScriptedLlm>(script), RetryOptions{});
  const uint64_t first = human.Send(Choice());
  const uint64_t second = human.Send(Choice());
  done.clear();
  human.Wait(done);
  ASSERT_EQ(done.size(), 2u);
  const Completion& bad = done[done[0].id == first ? 0 : 1];
  const Completion& good = done[done[0].id == first ? 1 : 0];
  EXPECT_EQ(bad.error->Code(), ErrorCode::kBadAnswer);
  EXPECT_EQ(good.id, second);
  EXPECT_EQ(good.text, "park");
}

TEST(RetryLlm, APromptBeyondTheContextFailsItsCallOnly) {
  Completion too_long = Fails(ErrorCode::kExhausted);
  too_long.error = Error(ErrorCode::kExhausted, "cannot be submitted");
  const Retried retried = Settled({too_long}, Choice());
  EXPECT_EQ(retried.completion.error->Code(), ErrorCode::kExhausted);
  // The answer that was refused made the prompt too long: that is its fault.
  const Retried grown = Settled({Says("zoo"), too_long}, Choice());
  EXPECT_EQ(grown.completion.error->Code(), ErrorCode::kBadAnswer);
  EXPECT_THAT(grown.completion.error->what(), HasSubstr("zoo"));
  Completion impossible = too_long;
  impossible.error = Error(ErrorCode::kUnsupported, "cannot be submitted");
  Numbered<RetryLlm> llm(std::make_unique<ScriptedLlm>(std::deque<Completion>{impossible}), RetryOptions{});
  EXPECT_THROW(llm.Send(Choice()), Error);
  std::vector<Completion> none;
  llm.Wait(none);
  EXPECT_TRUE(none.empty());
}

TEST(RetryLlm, GivesUpCallsThatTakeTooLong) {
  Numbered<RetryLlm> llm(std::make_unique<FakeLlm>(FakeOptions{.latency = 5}),
                         RetryOptions{.call_attempts = 2, .timeout = 1});
  llm.Send(Ask(1));
  std::vector<Completion> done;
  llm.Wait(done, 0.5);
  EXPECT_TRUE(done.empty());
  llm.Wait(done);
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].error->Code(), ErrorCode::kUnavailable);
  EXPECT_THAT(done[0].error->what(), HasSubstr("no answer within 1 s for call 0 of agent 1"));
  EXPECT_NEAR(llm.Now(), 2, 1e-9);
  Numbered<RetryLlm> patient(std::make_unique<FakeLlm>(FakeOptions{.latency = 5}), RetryOptions{});
  patient.Send(Ask(1));
  EXPECT_EQ(OnlyAnswer(patient).finish, FinishReason::kStop);
}

TEST(RetryLlm, ASilentBackendIsAskedForTenMinutesAtMost) {
  // Nine attempts of 300 s would be 45 minutes.
  RetryOptions options{.timeout = 300};
  std::vector<std::string> told;
  options.on_wait = [&](const std::string& waits) { told.push_back(waits); };
  Numbered<RetryLlm> llm(std::make_unique<FakeLlm>(FakeOptions{.stuck = 1}), options);
  llm.Send(Ask(1));
  llm.Send(Ask(2));
  std::vector<Completion> done;
  while (done.size() < 2) llm.Wait(done);
  EXPECT_NEAR(llm.Now(), 600, 1e-6);
  for (const Completion& completion : done) {
    EXPECT_EQ(completion.error->Code(), ErrorCode::kUnavailable);
    EXPECT_EQ(completion.attempts, 2);
    EXPECT_THAT(completion.error->what(), HasSubstr("fake"));
    EXPECT_THAT(completion.error->what(), HasSubstr("(asked 2 times); nothing has come from it for 600 s"));
  }
  ASSERT_EQ(told.size(), 1u);
  EXPECT_THAT(told[0], HasSubstr("no answer within 300 s"));
  // Short attempts are all made, so that a restart does not matter.
  Numbered<RetryLlm> brief(std::make_unique<FakeLlm>(FakeOptions{.stuck = 1}), RetryOptions{.timeout = 5});
  brief.Send(Ask(1));
  EXPECT_EQ(OnlyAnswer(brief).attempts, 9);
}

TEST(RetryLlm, ABackendThatAnswersOthersIsNotSilent) {
  auto inner =
      std::make_unique<FakeLlm>([](const Request& request) { return request.key.agent == 1 ? 1e9 : 200; });
  Numbered<RetryLlm> llm(std::move(inner), RetryOptions{.call_attempts = 4, .timeout = 300});
  const uint64_t stuck = llm.Send(Ask(1));
  uint64_t last = 0;
  while (last != stuck) {
    llm.Send(Ask(2));
    const Completion completion = OnlyAnswer(llm);
    last = completion.id;
    if (last == stuck) {
      EXPECT_EQ(completion.attempts, 4);
    }
  }
  EXPECT_NEAR(llm.Now(), 1200, 1e-6);
}

// Always answers, whether the call was cancelled or not.
class StubbornLlm : public Decorator {
 public:
  StubbornLlm() : Decorator(std::make_unique<FakeLlm>(FakeOptions{.latency = 5})) {}
  void Cancel(uint64_t) override {}
};

TEST(RetryLlm, ALateAnswerIsTakenInsteadOfAskingAgain) {
  Numbered<RetryLlm> llm(std::make_unique<StubbornLlm>(), RetryOptions{.call_attempts = 3, .timeout = 1});
  const uint64_t id = llm.Send(Ask(1));
  std::vector<Completion> done;
  llm.Wait(done);
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].id, id);
  EXPECT_EQ(done[0].finish, FinishReason::kStop);
  EXPECT_EQ(llm.GetStats().calls, 1u);
  EXPECT_NEAR(llm.Now(), 5, 1e-9);
}

TEST(RetryLlm, LaterAttemptsOfARaisedCallAreRaised) {
  auto inner = std::make_unique<ScriptedLlm>(std::deque<Completion>{Says("zoo"), Says("pub")});
  const ScriptedLlm& asked = *inner;
  Numbered<RetryLlm> llm(std::move(inner), RetryOptions{});
  Request request = Choice();
  request.priority = 9;
  llm.Raise(llm.Send(request), 2);
  EXPECT_EQ(OnlyAnswer(llm).text, "pub");
  EXPECT_EQ(asked.asked.at(0).priority, 9);
  EXPECT_EQ(asked.asked.at(1).priority, 2);
}

TEST(RetryLlm, CancelReachesTheCall) {
  Numbered<RetryLlm> llm(std::make_unique<FakeLlm>(FakeOptions{.latency = 5}),
                         RetryOptions{.call_attempts = 3, .timeout = 1});
  const uint64_t id = llm.Send(Ask(1));
  std::vector<Completion> done;
  llm.Wait(done, 2.5);  // the third attempt
  llm.Cancel(id);
  llm.Wait(done);
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].id, id);
  EXPECT_EQ(done[0].finish, FinishReason::kCancelled);
}

}  // namespace
}  // namespace throng::llm
