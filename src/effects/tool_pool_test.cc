#include "effects/tool_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <limits>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>

namespace throng::effects {
namespace {

using llm::Effect;
using Outcome = ToolResult::Outcome;
constexpr double kForever = std::numeric_limits<double>::infinity();

class FunctionTool final : public Tool {
 public:
  using Function = std::function<ToolResult(const std::string&)>;
  FunctionTool(Effect effect, double timeout_s, Function function)
      : Tool("test", effect, timeout_s), function_(std::move(function)) {}
  ToolResult Use(const std::string& arguments) override { return function_(arguments); }

 private:
  Function function_;
};

std::shared_ptr<Tool> MakeTool(Effect effect, double timeout_s, FunctionTool::Function function) {
  return std::make_shared<FunctionTool>(effect, timeout_s, std::move(function));
}

// Lets threads pass once it is open.
class Gate {
 public:
  void Open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void Pass() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

std::vector<ToolPool::Ended> WaitFor(ToolPool& pool, size_t count) {
  std::vector<ToolPool::Ended> all;
  while (all.size() < count) {
    for (ToolPool::Ended& ended : pool.Wait(kForever)) all.push_back(std::move(ended));
  }
  return all;
}

TEST(ToolPool, RunsSeveralUsesAtOnceButNoMoreThanAllowed) {
  std::atomic<int> now = 0;
  std::atomic<int> most = 0;
  const auto tool = MakeTool(Effect::kPure, 10, [&](const std::string& arguments) {
    const int running = ++now;
    for (int seen = most; seen < running && !most.compare_exchange_weak(seen, running);) {
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    --now;
    return ToolResult{Outcome::kDone, arguments};
  });
  ToolPool pool(3);
  for (uint64_t id = 1; id <= 9; ++id) pool.Start(id, tool, std::to_string(id));
  for (const ToolPool::Ended& ended : WaitFor(pool, 9)) {
    EXPECT_EQ(ended.result->text, std::to_string(ended.id));
  }
  EXPECT_EQ(most, 3);
}

TEST(ToolPool, WhatIsThrownIsAFailure) {
  const auto tool = MakeTool(
      Effect::kPure, 10, [](const std::string&) -> ToolResult { throw std::runtime_error("no such city"); });
  ToolPool pool(1);
  pool.Start(1, tool, "{}");
  const std::vector<ToolPool::Ended> ended = WaitFor(pool, 1);
  EXPECT_EQ(ended[0].result->outcome, Outcome::kFailed);
  EXPECT_EQ(ended[0].result->text, "no such city");
}

TEST(ToolPool, AResultThatIsNestedTooDeepIsNone) {
  const auto tool = MakeTool(Effect::kAtCommit, 10, [](const std::string& result) {
    return ToolResult{Outcome::kDone, result};
  });
  ToolPool pool(1);
  const std::string good = fmt::format("{}{}{}", std::string(200, '['), R"("[\"[[")", std::string(200, ']'));
  pool.Start(1, tool, good);
  pool.Start(2, tool, fmt::format(R"({{"a":{}}})", good));
  const std::vector<ToolPool::Ended> ended = WaitFor(pool, 2);
  EXPECT_EQ(ended[0].result->text, good);
  EXPECT_EQ(ended[1].result->outcome, Outcome::kUnknown);
  EXPECT_EQ(ended[1].result->text, "its result is nested more than 200 deep");
}

TEST(ToolPool, AUseThatTakesTooLongFreesItsPlaceAndIsUnknownIfItMustNotBeRepeated) {
  for (const auto& [effect, outcome] :
       {std::pair(Effect::kPure, Outcome::kFailed), std::pair(Effect::kIdempotent, Outcome::kFailed),
        std::pair(Effect::kAtCommit, Outcome::kUnknown)}) {
    auto gate = std::make_shared<Gate>();
    const auto stuck = MakeTool(effect, 0.02, [gate](const std::string&) {
      gate->Pass();
      return ToolResult{Outcome::kDone, "too late"};
    });
    const auto quick = MakeTool(effect, 10, [](const std::string&) { return ToolResult{}; });
    ToolPool pool(1);
    pool.Start(1, stuck, "{}");
    pool.Start(2, quick, "{}");
    const std::vector<ToolPool::Ended> ended = WaitFor(pool, 2);
    EXPECT_EQ(ended[0].id, 1u);
    EXPECT_EQ(ended[0].result->outcome, outcome);
    EXPECT_EQ(ended[0].result->text, "no answer within 0.02 s");
    EXPECT_EQ(ended[1].id, 2u);
    gate->Open();
    EXPECT_TRUE(pool.Wait(0.05).empty());  // what it says in the end is dropped
  }
}

TEST(ToolPool, OnlyWhatHasDoneNothingIsCancelled) {
  for (const Effect effect : {Effect::kPure, Effect::kAtCommit}) {
    Gate gate;
    std::atomic<bool> begun = false;
    std::atomic<int> done = 0;
    const auto tool = MakeTool(effect, 10, [&](const std::string&) {
      begun = true;
      gate.Pass();
      ++done;
      return ToolResult{};
    });
    ToolPool pool(1);
    pool.Start(1, tool, "{}");
    pool.Start(2, tool, "{}");
    while (!begun) std::this_thread::yield();
    pool.Cancel(2);  // has not begun
    std::vector<ToolPool::Ended> ended = WaitFor(pool, 1);
    EXPECT_EQ(ended[0].id, 2u);
    EXPECT_FALSE(ended[0].result.has_value());
    pool.Cancel(1);
    EXPECT_EQ(pool.Wait(0.02).size(), effect == Effect::kPure ? 1u : 0u);
    gate.Open();
    if (effect == Effect::kAtCommit) {
      EXPECT_EQ(WaitFor(pool, 1)[0].result->outcome, Outcome::kDone);
    }
    while (done == 0) std::this_thread::yield();  // the gate is in use until then
    EXPECT_EQ(done, 1);
  }
}

}  // namespace
}  // namespace throng::effects
