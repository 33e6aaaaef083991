#include "engine/sampling/constraint_cache.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "base/error.h"
#include "llm/effort.h"
#include "llm/grammar/grammar.h"

namespace throng::engine {
namespace {

std::shared_ptr<const Vocabulary> Bytes() {
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  tokens.emplace_back();
  return std::make_shared<Vocabulary>(tokens, std::vector<int32_t>{256});
}

llm::Grammar Letter(char letter) {
  llm::Grammar grammar;
  grammar.SetRoot(grammar.Bytes(std::string(1, letter)));
  return grammar;
}

TEST(ConstraintCache, KeepsWhatIsUsed) {
  ConstraintCache cache(Bytes(), 2);
  llm::Constraint a, b, c;
  a.choices = {"a", "b"};
  b.choices = {"ab"};
  c.json_schema = R"({"type":"boolean"})";
  const auto first = cache.Get(a);
  EXPECT_NE(cache.Get(b), first);
  EXPECT_EQ(cache.Get(a), first);
  cache.Get(c);  // b goes
  EXPECT_EQ(cache.Get(a), first);
  EXPECT_FALSE(first->LongestAnswerTokens() == std::nullopt);
}

// The second key is made while the first is waited for; whoever asks for the first waits, and it is made
// once.
TEST(ConstraintCache, WhatIsBeingCompiledKeepsOthersFree) {
  ConstraintCache cache(Bytes());
  std::promise<void> go_on;
  std::promise<void> begun;
  std::atomic<int> made = 0;
  const auto slow = [&] {
    if (++made == 1) begun.set_value();
    go_on.get_future().wait();
    return Letter('a');
  };
  std::shared_ptr<Constraint> first, second;
  std::thread one([&] { first = cache.Get("slow", slow); });
  begun.get_future().wait();
  std::thread two([&] { second = cache.Get("slow", slow); });
  EXPECT_NE(cache.Get("other", [] { return Letter('b'); }), nullptr);
  {
    const llm::Effort quick(1000);  // who may not wait is told
    EXPECT_THROW(cache.Get("slow", slow), llm::Effort::Spent);
  }
  go_on.set_value();
  one.join();
  two.join();
  EXPECT_EQ(first, second);
  EXPECT_EQ(made, 1);
}

TEST(ConstraintCache, EffortIsLimited) {
  ConstraintCache cache(Bytes());
  const auto some = [] {
    llm::Effort::Spend(2000);
    return Letter('a');
  };
  {
    const llm::Effort quick(1000);
    EXPECT_THROW(cache.Get("some", some), llm::Effort::Spent);
  }
  EXPECT_NE(cache.Get("some", some), nullptr);  // what failed is not kept
  const auto endless = []() -> llm::Grammar {
    while (true) llm::Effort::Spend(1000);
  };
  try {
    cache.Get("endless", endless);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.Code(), ErrorCode::kInvalid);
    EXPECT_NE(std::string(error.what()).find("steps to compile"), std::string::npos);
  }
}

}  // namespace
}  // namespace throng::engine
