// Agents that use tools: once per use in every mode, and on a guess only what does nothing to the outside.
#include <gtest/gtest.h>

#include <map>
#include <memory>

#include "base/error.h"
#include "sim/run/run.h"
#include "sim/testing/test_worlds.h"

namespace throng::sim {
namespace {

using llm::Effect;

// Walkers who post what they are about to do, and remember what came of it.
class PostingWorld final : public WalkerWorld {
 public:
  using WalkerWorld::WalkerWorld;
  Task<IntentPtr> Proceed(const View& view, Caller& caller) const override {
    const llm::Completion posted = co_await caller.Use(
        "post", fmt::format(R"({{"agent":{},"status":{:?}}})", view.Self(), view.SelfBody().status));
    if (posted.text.empty()) throw MakeError(ErrorCode::kInvalid, "a use has no result");
    co_return co_await WalkerWorld::Proceed(view, caller);
  }
};

// Counts the uses of the tool.
class ToolLlm final : public HashLlm {
 public:
  using HashLlm::HashLlm;
  void Submit(llm::Request request) override {
    if (request.kind == llm::Kind::kTool) ++(request.guess ? guessed : used)[request.key];
    HashLlm::Submit(std::move(request));
  }
  std::map<llm::CallKey, int> used;
  std::map<llm::CallKey, int> guessed;
};

RunOptions Options(Mode mode, Effect effect) {
  RunOptions options;
  options.mode = mode;
  options.steps = 12;
  options.effect_of = [effect](const std::string& tool) {
    if (tool != "post") throw MakeError(ErrorCode::kInvalid, "tool {:?}: there is none", tool);
    return effect;
  };
  return options;
}

WalkerOptions Walkers() {
  WalkerOptions options;
  options.width = options.height = 60;
  return options;
}

TEST(Effects, EachIsAskedOnceInEveryModeAndOnAGuessOnlyIfItIsPure) {
  const PostingWorld world(Walkers());
  for (const Effect effect : {Effect::kPure, Effect::kIdempotent, Effect::kAtCommit}) {
    Digest hash;
    for (const Mode mode : {Mode::kSingle, Mode::kLockstep, Mode::kOutOfOrder, Mode::kSpeculative}) {
      for (uint64_t timing = 1; timing <= 3; ++timing) {
        ToolLlm llm(timing);
        RunOptions options = Options(mode, effect);
        options.speculation.least_chance = 0.5;
        const RunResult result = RunWorld(world, llm, options);
        if (mode == Mode::kSingle) hash = result.hash;
        EXPECT_EQ(result.hash, hash) << ModeName(mode);
        EXPECT_EQ(result.stats.effects, 12u * 14u);
        if (mode != Mode::kSpeculative) {
          EXPECT_EQ(result.stats.effects + result.stats.calls, llm.GetStats().calls);
        }
        if (mode == Mode::kSpeculative && effect == Effect::kPure) {
          EXPECT_FALSE(llm.guessed.empty());
          continue;
        }
        EXPECT_TRUE(llm.guessed.empty());
        EXPECT_EQ(llm.used.size(), 12u * 14u);
        for (const auto& [key, count] : llm.used) EXPECT_EQ(count, 1);
      }
    }
  }
}

Step LastUse(const ToolLlm& llm) {
  Step last = 0;
  for (const auto& [key, count] : llm.used) last = std::max(last, key.step);
  return last;
}

// Out of order, some agents are beyond the step with which an event ends the run.
TEST(Effects, ARunThatEndsEarlyHasDoneNothingOfLaterSteps) {
  const PostingWorld world(Walkers());
  Step furthest = 0;
  for (uint64_t timing = 1; timing <= 5; ++timing) {
    for (const Effect effect : {Effect::kIdempotent, Effect::kAtCommit}) {
      ToolLlm llm(timing);
      RunOptions options = Options(Mode::kOutOfOrder, effect);
      options.ends_after = [](Step step) { return step == 4; };
      const RunResult result = RunWorld(world, llm, options);
      EXPECT_EQ(result.step_hashes.size(), 5u);
      if (effect == Effect::kAtCommit) {
        EXPECT_EQ(LastUse(llm), 4);
      } else {
        furthest = std::max(furthest, LastUse(llm));
      }
    }
  }
  EXPECT_GT(furthest, 4);  // so holding back was needed
}

TEST(Effects, AToolThatIsNotThereEndsTheRunWithItsName) {
  const PostingWorld world(Walkers());
  ToolLlm llm(1);
  RunOptions options = Options(Mode::kOutOfOrder, Effect::kPure);
  options.effect_of = nullptr;
  try {
    RunWorld(world, llm, options);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("step 0: tool \"post\": this run has no tools"),
              std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace throng::sim
