#include "effects/effects_llm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>
#include <utility>

#include "base/error.h"
#include "llm/backends/backend_spec.h"

namespace throng::effects {
namespace {

using llm::Effect;
using llm::FinishReason;

// Says its arguments after a while; fails if they are empty.
class EchoTool final : public Tool {
 public:
  EchoTool(std::string name, double seconds) : Tool(std::move(name), Effect::kPure, 10), seconds_(seconds) {}
  ToolResult Use(const std::string& arguments) override {
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds_));
    if (arguments.empty()) return {ToolResult::Outcome::kFailed, "nothing to say"};
    return {ToolResult::Outcome::kDone, arguments};
  }

 private:
  double seconds_;
};

class EffectsLlmTest : public testing::Test {
 protected:
  static std::unique_ptr<EffectsLlm> Make(uint64_t max_uses = 100,
                                          const std::string& backend = "fake:latency=1") {
    EffectsOptions options;
    options.tools =
        ToolTable({std::make_shared<EchoTool>("echo", 0), std::make_shared<EchoTool>("slow", 0.05)});
    options.max_uses = max_uses;
    return std::make_unique<EffectsLlm>(llm::MakeBackend(backend), std::move(options));
  }
  static llm::Request Ask(uint64_t id) {
    llm::Request request;
    request.id = id;
    request.key = {7, 3, static_cast<uint32_t>(id)};
    request.prompt = "where to?";
    return request;
  }
  static llm::Request Use(uint64_t id, const std::string& tool, const std::string& arguments) {
    llm::Request request = Ask(id);
    request.kind = llm::Kind::kTool;
    request.function = tool;
    request.prompt = arguments;
    return request;
  }
  static std::vector<llm::Completion> WaitFor(EffectsLlm& llm, size_t count) {
    std::vector<llm::Completion> done;
    while (done.size() < count) llm.Wait(done, llm::Llm::kForever);
    return done;
  }
};

TEST_F(EffectsLlmTest, ToolsAndModelsAnswerUnderTheirIdsAndKeys) {
  const auto llm = Make();
  llm->Submit(Use(1, "slow", "[1]"));
  llm->Submit(Ask(2));
  llm->Submit(Use(3, "echo", ""));
  std::map<uint64_t, llm::Completion> by_id;
  for (llm::Completion& done : WaitFor(*llm, 3)) by_id[done.id] = std::move(done);
  EXPECT_EQ(by_id[1].text, "[1]");
  EXPECT_EQ(by_id[1].finish, FinishReason::kStop);
  EXPECT_EQ(by_id[1].key, (llm::CallKey{7, 3, 1}));
  EXPECT_FALSE(by_id[2].text.empty());
  EXPECT_EQ(by_id[3].finish, FinishReason::kFailed);
  EXPECT_EQ(by_id[3].text, "nothing to say");
  EXPECT_FALSE(by_id[3].error.has_value());
  EXPECT_EQ(llm->GetStats().calls, 1u);  // the backend has seen one
}

// A backend in virtual time must not wait for tools, nor they for it.
TEST_F(EffectsLlmTest, ABackendInVirtualTimeGoesOnWhileAToolWorks) {
  const auto llm = Make(100, "fake:latency=100");
  llm->Submit(Use(1, "slow", "[1]"));
  llm->Submit(Ask(2));
  EXPECT_EQ(WaitFor(*llm, 1)[0].id, 2u);
  EXPECT_EQ(WaitFor(*llm, 1)[0].id, 1u);
  std::vector<llm::Completion> done;
  llm->Submit(Use(3, "slow", "[1]"));
  llm->Wait(done, 0.001);
  EXPECT_TRUE(done.empty());
}

TEST_F(EffectsLlmTest, ABudgetEndsWhatRunsAndThenStops) {
  const auto llm = Make(2);
  for (uint64_t id = 1; id <= 4; ++id) llm->Submit(Use(id, "slow", "[1]"));
  EXPECT_TRUE(llm->IsUsedUp());
  EXPECT_EQ(WaitFor(*llm, 2).size(), 2u);
  std::vector<llm::Completion> done;
  try {
    llm->Wait(done, llm::Llm::kForever);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.Code(), ErrorCode::kExhausted);
    EXPECT_STREQ(error.what(), "budget: 2 of 2 uses of tools are used up");
  }
  // A journal must know that these were not begun.
  done = WaitFor(*llm, 2);
  EXPECT_EQ(done[0].id, 3u);
  EXPECT_EQ(done[0].finish, FinishReason::kCancelled);
  EXPECT_EQ(done[1].id, 4u);
}

// A backend whose calls cannot be waited for.
class BrokenLlm final : public llm::Decorator {
 public:
  using Decorator::Decorator;
  void Wait(std::vector<llm::Completion>&, double) override {
    throw MakeError(ErrorCode::kExhausted, "budget: all tokens are used up");
  }
};

TEST_F(EffectsLlmTest, WhatToolsHaveDoneIsKnownEvenIfTheBackendEndsTheRun) {
  EffectsOptions options;
  options.tools = ToolTable({std::make_shared<EchoTool>("slow", 0.05)});
  EffectsLlm llm(std::make_unique<BrokenLlm>(llm::MakeBackend("fake")), std::move(options));
  llm.Submit(Ask(1));
  llm.Submit(Use(2, "slow", "[1]"));
  std::vector<llm::Completion> done;
  EXPECT_THROW(llm.Wait(done, llm::Llm::kForever), Error);
  EXPECT_EQ(WaitFor(llm, 1)[0].text, "[1]");
  EXPECT_THROW(llm.Wait(done, llm::Llm::kForever), Error);
}

TEST_F(EffectsLlmTest, UnknownToolsAndTwoOfOneNameAreRefused) {
  const auto message = [](const auto& code) {
    try {
      code();
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_EQ(message([&] { Make()->Submit(Use(1, "fax", "{}")); }),
            "tool \"fax\": there is none of this name, allowed: echo, slow");
  EXPECT_EQ(message([&] {
              ToolTable({std::make_shared<EchoTool>("a", 0), std::make_shared<EchoTool>("a", 0)});
            }),
            "tool \"a\": there are two of this name");
}

}  // namespace
}  // namespace throng::effects
