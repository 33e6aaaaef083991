#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <new>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>

#include "sim/run/run.h"
#include "sim/testing/test_worlds.h"

namespace throng::sim {
namespace {

// Pairs who share a board, a cell. In each step both read it and say something, which becomes the board. A
// guess of the next step, made while the other still thinks, never knows what the board will say; with
// `reads` false, it need not.
class BoardWorld : public WalkerWorld {
 public:
  explicit BoardWorld(bool reads) : WalkerWorld(Forty()), reads_(reads) {}

  Rules GetRules() const override { return {0, 0}; }
  Rules RulesOf(AgentId) const override { return GetRules(); }
  Body StartBody(AgentId agent) const override { return {{static_cast<int32_t>(agent / 2), 0}, ""}; }
  MindPtr StartMind(AgentId) const override { return std::make_shared<NoMind>(); }
  Lookahead Declare(AgentId, Step, const Body&, const MindPtr&) const override { return {}; }

  Task<IntentPtr> Proceed(const View& view, Caller& caller) const override {
    llm::Request request;
    request.function = "post";
    request.prompt = reads_ ? view.Cell(view.SelfBody().pos) : "?";
    auto said = std::make_shared<Said>();
    said->text = (co_await caller.Ask(std::move(request))).text;
    co_return said;
  }
  Task<void> Resolve(Step, const std::vector<Member>& members, Commit& commit) const override {
    std::string board;
    for (const Member& member : members) board += static_cast<const Said&>(*member.intent).text;
    commit.WriteCell(members[0].body.pos, board);
    co_return;
  }

 private:
  static WalkerOptions Forty() {
    WalkerOptions options;
    options.agents = 40;
    return options;
  }
  struct NoMind : Mind {
    void Hash(Hasher&) const override {}
  };
  struct Said : Intent {
    std::string text;
  };
  const bool reads_;
};

// Agents that fail, each in its own way, where their board is not what the step before left there: on guesses
// alone.
class FragileWorld : public BoardWorld {
 public:
  FragileWorld() : BoardWorld(/*reads=*/false) {}

  Task<IntentPtr> Proceed(const View& view, Caller& caller) const override {
    const bool stale = view.Now() > 0 && view.Cell(view.SelfBody().pos) != std::to_string(view.Now() - 1);
    const AgentId kind = view.Self() / 2 % 5;
    if (stale) ++failures[kind];
    if (stale && kind == 4) throw std::logic_error("thrown before there is a coroutine");
    return ProceedOn(view, caller, stale, kind);
  }
  Task<void> Resolve(Step step, const std::vector<Member>& members, Commit& commit) const override {
    commit.WriteCell(members[0].body.pos, members.size() == 2 ? std::to_string(step) : "half a board");
    co_return;
  }

  mutable size_t failures[5] = {};  // by kind

 private:
  Task<IntentPtr> ProceedOn(const View& view, Caller& caller, bool stale, AgentId kind) const {
    if (stale && kind == 0) throw std::out_of_range("no such place");
    if (stale && kind == 1) throw std::bad_alloc();
    if (stale && kind == 2) throw 42;
    if (stale && kind == 3) throw Error(ErrorCode::kInvalid, "refused");
    co_return co_await BoardWorld::Proceed(view, caller);
  }
};

// Walkers of whom nothing is known but what follows from their last commit.
class ForgetfulWorld : public WalkerWorld {
 public:
  explicit ForgetfulWorld(const WalkerOptions& options) : WalkerWorld(options), known_(options.agents) {}

  Lookahead Declare(AgentId agent, Step step, const Body&, const MindPtr&) const override {
    known_[agent] = step;
    return {};
  }
  Expectation Expect(AgentId agent, Step step, const Body& body, const MindPtr&, Step) const override {
    if (step == known_[agent]) return {body, false};
    ++failures;
    throw std::out_of_range("a state that never was");
  }

  mutable size_t failures = 0;

 private:
  mutable std::vector<Step> known_;  // by agent: its next step
};

// The first of two pairs meet in every fifth step, which they must then run together.
class LinkedWorld : public BoardWorld {
 public:
  LinkedWorld() : BoardWorld(/*reads=*/false) {}
  std::vector<Link> Links() const override {
    std::vector<Link> links;
    for (Step step = kEvery; step < 30; step += kEvery) links.push_back({step, 0, 2});
    return links;
  }
  Task<void> Resolve(Step step, const std::vector<Member>& members, Commit&) const override {
    const auto has = [&](AgentId id) {
      return std::any_of(members.begin(), members.end(), [&](const Member& each) { return each.id == id; });
    };
    const bool is_linked = step > 0 && step % kEvery == 0;
    if (is_linked && has(0) != has(2)) throw Error(ErrorCode::kInvalid, "a guess without the other");
    if (is_linked && has(0)) ++met[step];
    co_return;
  }

  static constexpr Step kEvery = 5;
  mutable std::map<Step, int> met;  // how often the step was run with both, on guesses too
};

RunStats RunBoards(bool reads, Mode mode) {
  const BoardWorld world(reads);
  HashLlm llm(1);
  RunOptions options;
  options.mode = mode;
  options.steps = 30;
  return RunWorld(world, llm, options).stats;
}

TEST(Speculation, AsksOnWhereGuessesAreRight) {
  const RunStats stats = RunBoards(false, Mode::kSpeculative);
  EXPECT_EQ(stats.wasted_calls, 0u);
  EXPECT_GT(stats.speculated_calls, stats.calls / 3);
  EXPECT_LT(stats.backend_s, 0.8 * RunBoards(false, Mode::kOutOfOrder).backend_s);
}

// Remembers the priorities of calls, and that they were raised.
class RaisableLlm : public HashLlm {
 public:
  RaisableLlm() : HashLlm(1) {}
  void Submit(llm::Request request) override {
    asked_[request.id] = {request.key.step, request.priority};
    HashLlm::Submit(std::move(request));
  }
  void Raise(uint64_t id, int priority) override {
    ++raised;
    EXPECT_EQ(priority, asked_.at(id).first);
    EXPECT_GT(asked_.at(id).second, priority);
  }
  size_t raised = 0;

 private:
  std::map<uint64_t, std::pair<Step, int>> asked_;  // step and priority, by id
};

TEST(Speculation, AGuessThatIsNeededBeforeItIsAnsweredIsRaised) {
  const BoardWorld world(/*reads=*/false);
  RaisableLlm llm;
  RunOptions options;
  options.mode = Mode::kSpeculative;
  options.steps = 30;
  RunWorld(world, llm, options);
  EXPECT_GT(llm.raised, 0u);
}

// Counts what is asked more than once.
class CountingLlm : public HashLlm {
 public:
  CountingLlm() : HashLlm(1) {}
  void Submit(llm::Request request) override {
    if (!asked_.emplace(request.key, request.prompt).second) ++asked_again;
    HashLlm::Submit(std::move(request));
  }
  size_t asked_again = 0;

 private:
  std::set<std::pair<llm::CallKey, std::string>> asked_;
};

// One who has done its part of a step guesses how the others end it, which they may do before the guess is
// asked.
TEST(Speculation, AsksNothingThatAConfirmedStepHasAskedMeanwhile) {
  WalkerOptions walkers;
  walkers.crowd = true;
  const WalkerWorld world(walkers);
  CountingLlm llm;
  RunOptions options;
  options.mode = Mode::kSpeculative;
  options.steps = 60;
  const RunStats stats = RunWorld(world, llm, options).stats;
  EXPECT_GT(stats.speculated_calls, 0u);
  EXPECT_EQ(llm.asked_again, 0u);
}

TEST(Speculation, SurvivesWhateverAWorldThrowsOnAGuess) {
  const FragileWorld world;
  RunOptions options;
  options.steps = 30;
  HashLlm first(1), second(2);
  const Digest hash = RunWorld(world, first, options).hash;
  EXPECT_THAT(world.failures, ::testing::Each(0u));
  options.mode = Mode::kSpeculative;
  EXPECT_EQ(RunWorld(world, second, options).hash, hash);
  EXPECT_THAT(world.failures, ::testing::Each(::testing::Gt(0u)));
}

TEST(Speculation, SurvivesAWorldThatCannotExpectFromAGuess) {
  WalkerOptions walkers;
  walkers.agents = 20;
  walkers.width = walkers.height = 30;
  const ForgetfulWorld world(walkers);
  RunOptions options;
  options.steps = 30;
  options.speculation.least_chance = 0;
  HashLlm first(1), second(2);
  const Digest hash = RunWorld(world, first, options).hash;
  options.mode = Mode::kSpeculative;
  EXPECT_EQ(RunWorld(world, second, options).hash, hash);
  EXPECT_GT(world.failures, 0u);
}

TEST(Speculation, GuessesThatThoseWhoAreLinkedMeet) {
  const LinkedWorld world;
  RunOptions options;
  options.steps = 30;
  options.speculation.burst_calls = 100;
  HashLlm first(1), second(2);
  const Digest hash = RunWorld(world, first, options).hash;
  const std::map<Step, int> once = std::exchange(world.met, {});
  options.mode = Mode::kSpeculative;
  EXPECT_EQ(RunWorld(world, second, options).hash, hash);
  int more = 0;
  for (const auto& [step, times] : world.met) more += times - once.at(step);
  EXPECT_GT(more, 0);
}

// What other agents write to cells is nobody's behaviour in sight, but makes guesses wrong all the same.
TEST(Speculation, SoonAsksNoMoreWhereGuessesAreWrong) {
  const RunStats stats = RunBoards(true, Mode::kSpeculative);
  EXPECT_EQ(stats.calls, 1200u);
  EXPECT_LE(stats.wasted_calls, SpeculationOptions().trials);
  EXPECT_GT(stats.speculated_steps, 100u);  // guesses that were not asked
}

}  // namespace
}  // namespace throng::sim
