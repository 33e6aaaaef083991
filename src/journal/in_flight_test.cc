#include "journal/in_flight.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "journal/llm/journaled_llm.h"
#include "journal/read/timeline.h"
#include "journal/store/database.h"
#include "journal/store/scratch_journal.h"
#include "sim/testing/test_worlds.h"

namespace throng::journal {
namespace {

using Json = nlohmann::json;

// Knows of two of its calls.
class StandingLlm : public sim::HashLlm {
 public:
  StandingLlm() : HashLlm(1) {}
  std::optional<llm::Standing> StandingOf(uint64_t id) const override {
    if (id == 1) return llm::Standing{.server = "http://a:8000/v1"};
    if (id == 2) return llm::Standing{.is_queued = true};
    return std::nullopt;
  }
};

class InFlightTest : public testing::Test {
 protected:
  InFlightTest() { Get().Begin({}, world_, {}, "test"); }
  Journal& Get() { return journal_.Get(); }
  // As another process sees it.
  std::optional<InFlightRow> Told() { return CallsInFlight(*Journal::OpenToRead(Get().Path())); }
  static llm::Request Ask(uint64_t id, uint32_t agent, bool guess) {
    llm::Request request;
    request.id = id;
    request.key = {agent, 7, 1};
    request.function = "act";
    request.guess = guess;
    return request;
  }

  sim::WalkerWorld world_{sim::WalkerOptions{}};
  ScratchJournal journal_;
};

TEST_F(InFlightTest, ReadersAreToldWhatASessionWaitsFor) {
  Get().StartSession();
  EXPECT_FALSE(Told().has_value());
  StandingLlm backend;
  JournaledLlm llm(backend, Get());
  llm.Submit(Ask(1, 4, false));
  llm.Submit(Ask(2, 3, true));
  llm.Submit(Ask(3, 2, true));
  llm.Raise(3, 0);  // its step asks the same
  std::vector<llm::Completion> done;
  llm.Wait(done, 0);
  ASSERT_TRUE(done.empty());
  const std::optional<InFlightRow> told = Told();
  ASSERT_TRUE(told.has_value());
  EXPECT_EQ(told->session, 1);
  EXPECT_EQ(told->s, 0);
  EXPECT_GE(told->age_s, 0);
  EXPECT_EQ(Json::parse(told->calls),
            Json::parse(R"([[7,2,1,"act",0.0,null,0,null,null],[7,3,1,"act",0.0,null,1,1,null],
                            [7,4,1,"act",0.0,null,0,0,"http://a:8000/v1"]])"));
  Get().EndSession("done");
  EXPECT_FALSE(Told().has_value());
}

TEST_F(InFlightTest, WhatIsToldReplacesWhatWasTold) {
  const CallInFlight answered = {
      .key = {1, 2, 0}, .function = "say", .issued_s = 1, .arrived_s = 1.5, .is_guess = true};
  Get().TellInFlight(0.5, {answered});  // outside of a session
  Get().StartSession();
  Get().TellInFlight(1.5, {{{4, 2, 0}, "act", 0.5}, {{3, 9, 0}, "act", 0.25}});
  Get().TellInFlight(2, {answered});
  Get().Flush();
  const std::optional<InFlightRow> told = Told();
  ASSERT_TRUE(told.has_value());
  EXPECT_EQ(told->s, 2);
  EXPECT_EQ(told->calls, R"([[2,1,0,"say",1.0,1.5,1,null,null]])");
}

TEST_F(InFlightTest, ASessionForgetsWhatAKilledProgramTold) {
  Get().StartSession();
  Get().TellInFlight(1, {{{4, 2, 0}, "act", 0.5}});
  Get().Flush();
  ASSERT_TRUE(Told().has_value());
  Get().StartSession();
  EXPECT_FALSE(Told().has_value());
}

}  // namespace
}  // namespace throng::journal
