#include "workers/step_pool.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "workers/link.h"

namespace throng::workers {
namespace {

struct Sent {
  std::string worker;  // empty: any
  ToWorker message;
};

// What is sent is looked at, and what arrives is made up, by the test.
struct Wire {
  std::vector<Sent> sent;
  std::vector<Arrival> arriving;
  size_t capacity = 100;
  std::string posted_to = "w1";
};

class FakeLink final : public Link {
 public:
  explicit FakeLink(Wire& wire) : wire_(wire) {}
  size_t Capacity() override { return wire_.capacity; }
  std::string Post(const ToWorker& message) override {
    wire_.sent.push_back({{}, message});
    return wire_.posted_to;
  }
  void Send(const std::string& worker, const ToWorker& message) override {
    wire_.sent.push_back({worker, message});
  }
  void Receive(std::vector<Arrival>& arrived, double) override {
    for (Arrival& arrival : std::exchange(wire_.arriving, {})) arrived.push_back(std::move(arrival));
  }

 private:
  Wire& wire_;
};

class StepPoolTest : public testing::Test {
 protected:
  // What Wait returns after these have arrived.
  std::vector<llm::Completion> Arrive(std::vector<Arrival> arriving) {
    wire.sent.clear();
    wire.arriving = std::move(arriving);
    std::vector<llm::Completion> done;
    pool.Wait(done, 0);
    return done;
  }
  static Arrival Turn(const std::string& worker, uint64_t step, uint32_t turn, const std::string& text) {
    return {Arrival::Kind::kMessage, worker, {FromWorker::Kind::kTurn, step, turn, text}};
  }
  static Arrival Last(const std::string& worker, uint64_t step, uint32_t turn, const std::string& text) {
    return {Arrival::Kind::kMessage, worker, {FromWorker::Kind::kLast, step, turn, text}};
  }

  Wire wire;
  StepPool pool{std::make_unique<FakeLink>(wire)};
};

TEST_F(StepPoolTest, TurnsGoToTheWorkerThatHasBegun) {
  const uint64_t step = pool.NewStep({7, 3, 0}, false);
  pool.Say(step, 11, "task");
  EXPECT_TRUE(Arrive({}).empty());
  ASSERT_EQ(wire.sent.size(), 1u);
  EXPECT_EQ(wire.sent[0].message.kind, ToWorker::Kind::kBegin);
  const std::vector<llm::Completion> asked = Arrive({Turn("w1", step, 0, "asks")});
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_EQ(asked[0].id, 11u);
  EXPECT_EQ(asked[0].key.agent, 7u);
  EXPECT_EQ(asked[0].text, "asks");
  EXPECT_FALSE(pool.IsBusy());
  wire.sent.clear();
  pool.Say(step, 12, "answer");
  ASSERT_EQ(wire.sent.size(), 1u);
  EXPECT_EQ(wire.sent[0].worker, "w1");
  EXPECT_EQ(wire.sent[0].message.kind, ToWorker::Kind::kReply);
  EXPECT_EQ(wire.sent[0].message.turn, 1u);
  EXPECT_EQ(Arrive({Last("w1", step, 1, "done")}).size(), 1u);
  wire.sent.clear();
  pool.Drop(step);
  EXPECT_TRUE(wire.sent.empty());  // its worker knows that it has ended
}

TEST_F(StepPoolTest, ResultsThatComeTwiceAreDropped) {
  const uint64_t step = pool.NewStep({1, 0, 0}, false);
  pool.Say(step, 11, "task");
  EXPECT_EQ(Arrive({Turn("w1", step, 0, "asks"), Turn("w1", step, 0, "asks")}).size(), 1u);
  pool.Say(step, 12, "answer");
  EXPECT_EQ(Arrive({Last("w1", step, 1, "done"), Last("w2", step, 1, "done")}).size(), 1u);
  pool.Drop(step);
  EXPECT_TRUE(Arrive({Last("w2", step, 1, "done")}).empty());
  EXPECT_TRUE(Arrive({Turn("w2", step, 0, "asks")}).empty());
  ASSERT_EQ(wire.sent.size(), 1u);  // who still works at it may stop
  EXPECT_EQ(wire.sent[0].message.kind, ToWorker::Kind::kDrop);
}

TEST_F(StepPoolTest, AnotherWorkerIsToldWhatTheLostOneWasTold) {
  const uint64_t step = pool.NewStep({1, 0, 0}, false);
  pool.Say(step, 11, "task");
  Arrive({Turn("w1", step, 0, "asks")});
  pool.Say(step, 12, "answer");
  wire.posted_to = "w2";
  Arrival lost{Arrival::Kind::kLost, "w1"};
  EXPECT_TRUE(Arrive({lost}).empty());
  ASSERT_EQ(wire.sent.size(), 1u);
  EXPECT_EQ(wire.sent[0].message.kind, ToWorker::Kind::kBegin);
  EXPECT_EQ(wire.sent[0].message.text, "task");
  EXPECT_TRUE(Arrive({Turn("w2", step, 0, "asks")}).empty());
  ASSERT_EQ(wire.sent.size(), 1u);
  EXPECT_EQ(wire.sent[0].worker, "w2");
  EXPECT_EQ(wire.sent[0].message.text, "answer");
  const std::vector<llm::Completion> done = Arrive({Last("w2", step, 1, "done")});
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].id, 12u);
  EXPECT_EQ(pool.NumRepeated(), 1u);
}

// As when Redis lets another worker claim what the first one had.
TEST_F(StepPoolTest, WhoHasCaughtUpGetsTheAnswer) {
  wire.posted_to = "";
  const uint64_t step = pool.NewStep({1, 0, 0}, false);
  pool.Say(step, 11, "task");
  Arrive({Turn("w1", step, 0, "asks")});
  EXPECT_TRUE(Arrive({Turn("w2", step, 0, "asks")}).empty());
  wire.sent.clear();
  pool.Say(step, 12, "answer");
  ASSERT_EQ(wire.sent.size(), 1u);
  EXPECT_EQ(wire.sent[0].worker, "w2");
}

TEST_F(StepPoolTest, WhatIsNeededSoonerGoesFirst) {
  wire.capacity = 0;
  const uint64_t guess = pool.NewStep({1, 2, 0}, true);
  const uint64_t later = pool.NewStep({2, 9, 0}, false);
  const uint64_t sooner = pool.NewStep({3, 4, 0}, false);
  pool.Say(guess, 1, "guess");
  pool.Say(later, 2, "later");
  pool.Say(sooner, 3, "sooner");
  Arrive({});
  EXPECT_TRUE(wire.sent.empty());
  wire.capacity = 2;
  Arrive({});
  ASSERT_EQ(wire.sent.size(), 2u);
  EXPECT_EQ(wire.sent[0].message.text, "sooner");
  EXPECT_EQ(wire.sent[1].message.text, "later");
  Arrive({Last("w1", later, 0, "done")});
  ASSERT_EQ(wire.sent.size(), 1u);
  EXPECT_EQ(wire.sent[0].message.text, "guess");
}

TEST_F(StepPoolTest, CancelledTurnsComeBackAsSuch) {
  const uint64_t step = pool.NewStep({1, 0, 0}, false);
  pool.Say(step, 11, "task");
  Arrive({});
  pool.Cancel(11);
  EXPECT_TRUE(pool.IsBusy());
  const std::vector<llm::Completion> done = Arrive({Last("w1", step, 0, "done")});
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].finish, llm::FinishReason::kCancelled);
  EXPECT_FALSE(pool.IsBusy());
}

TEST_F(StepPoolTest, AStepThatNoWorkerSurvivesIsNamed) {
  const uint64_t step = pool.NewStep({42, 17, 0}, false);
  const uint64_t other = pool.NewStep({43, 17, 0}, false);
  pool.Say(step, 11, "task");
  pool.Say(other, 12, "task");
  Arrive({});
  Arrival lost{Arrival::Kind::kLost, "w1"};
  lost.message.step = step;
  for (int i = 1; i < StepPool::kMostLosses; ++i) EXPECT_TRUE(Arrive({lost}).empty());
  try {
    Arrive({lost});
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("agent 42, step 17"), std::string::npos) << error.what();
  }
}

TEST_F(StepPoolTest, WhatMayBeLostWithRedisIsSaidAgain) {
  wire.posted_to = "";
  const uint64_t step = pool.NewStep({1, 0, 0}, false);
  pool.Say(step, 11, "task");
  Arrive({});
  Arrive({{Arrival::Kind::kReset}});
  ASSERT_EQ(wire.sent.size(), 1u);
  EXPECT_EQ(wire.sent[0].message.kind, ToWorker::Kind::kBegin);
}

}  // namespace
}  // namespace throng::workers
