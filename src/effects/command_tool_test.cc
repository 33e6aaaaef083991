#include "effects/command_tool.h"

#include <gtest/gtest.h>

#include <chrono>
#include <utility>

#include "base/error.h"

namespace throng::effects {
namespace {

using Outcome = ToolResult::Outcome;

ToolResult Use(std::vector<std::string> argv, const std::string& arguments = "{}", double timeout_s = 20,
               llm::Effect effect = llm::Effect::kPure) {
  return CommandTool("test", effect, timeout_s, std::move(argv)).Use(arguments);
}

TEST(CommandTool, GetsItsArgumentsAndReturnsJsonOrText) {
  EXPECT_EQ(Use({"cat"}, R"({"city": "Rome"})").text, R"({"city": "Rome"})");
  EXPECT_EQ(Use({"echo", "it rains"}).text, R"("it rains")");
  EXPECT_EQ(Use({"echo", "[1, 2]"}).text, "[1, 2]");
  EXPECT_EQ(Use({"true"}).text, R"("")");
  EXPECT_EQ(Use({"printf", "\\377"}).text, "\"\uFFFD\"");
}

TEST(CommandTool, FailsWithItsExitCodeAndItsLastWords) {
  const ToolResult failed = Use({"sh", "-c", "echo first >&2; echo no such city >&2; exit 3"});
  EXPECT_EQ(failed.outcome, Outcome::kFailed);
  EXPECT_EQ(failed.text, "exit code 3: no such city");
  EXPECT_EQ(Use({"sh", "-c", "kill -9 $$"}).text, "it was ended by signal 9");
  EXPECT_THROW(Use({"/no/such/program"}), Error);
  EXPECT_THROW(Use({}), Error);
}

// More than a pipe holds, in both directions; and a command that reads nothing.
TEST(CommandTool, LongArgumentsAndResultsPass) {
  const std::string text = "\"" + std::string(1 << 20, 'x') + "\"";
  EXPECT_EQ(Use({"cat"}, text).text, text);
  EXPECT_EQ(Use({"true"}, text).outcome, Outcome::kDone);
  EXPECT_EQ(Use({"cat", "/dev/zero"}).outcome, Outcome::kFailed);
  EXPECT_EQ(Use({"cat", "/dev/zero"}).text, "its output is longer than 4194304 bytes");
}

TEST(CommandTool, WhatItHasDoneIsUnknownIfItWasEndedInTheMiddle) {
  for (const char* script : {"kill -9 $$", "cat /dev/zero"}) {
    EXPECT_EQ(Use({"sh", "-c", script}, "{}", 20, llm::Effect::kAtCommit).outcome, Outcome::kUnknown);
    EXPECT_EQ(Use({"sh", "-c", script}, "{}", 20, llm::Effect::kIdempotent).outcome, Outcome::kFailed);
  }
  EXPECT_EQ(Use({"false"}, "{}", 20, llm::Effect::kAtCommit).outcome, Outcome::kFailed);
}

TEST(CommandTool, IsKilledWithWhatItStartedWhenItsTimeIsOver) {
  const auto begin = std::chrono::steady_clock::now();
  const ToolResult late = Use({"sh", "-c", "sleep 60 & sleep 60"}, "{}", 0.1);
  EXPECT_EQ(late.outcome, Outcome::kFailed);
  EXPECT_EQ(late.text, "no answer within 0.1 s");
  EXPECT_EQ(Use({"sleep", "60"}, "{}", 0.1, llm::Effect::kAtCommit).outcome, Outcome::kUnknown);
  EXPECT_EQ(Use({"sh", "-c", "exec >&- 2>&-; sleep 60"}, "{}", 0.1).text, "no answer within 0.1 s");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
}

}  // namespace
}  // namespace throng::effects
