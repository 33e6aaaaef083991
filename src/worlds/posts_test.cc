// Posts, likes, messages, and networks of followers that change while the world runs, in every mode.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <tuple>

#include "llm/backends/fake.h"
#include "sim/drawn_readers.h"
#include "sim/run/run.h"
#include "sim/testing/test_worlds.h"
#include "worlds/example_worlds.h"

namespace throng::worlds {
namespace {

using ::testing::HasSubstr;

// People who come and go, and follow others as they like: some who are not yet born, or have left.
sim::WalkerOptions RandomWalkers(uint64_t seed) {
  sim::WalkerOptions walkers;
  walkers.seed = seed;
  walkers.posts = {1 + static_cast<sim::Step>(seed % 4), 1 + static_cast<sim::Step>(seed % 6)};
  walkers.horizon = seed % 2 == 1 ? 1 + static_cast<sim::Step>(seed % 9) : 0;
  walkers.rules = seed % 3 == 0 ? sim::Rules{0, 0} : sim::Rules{2, 1};
  walkers.naps = seed % 5 == 0;
  walkers.width = walkers.height = 10 + static_cast<int32_t>(seed);
  walkers.agents = 4 + static_cast<uint32_t>(seed % 9);
  walkers.reserve = seed % 4 == 2 ? 0 : 20;
  return walkers;
}

std::vector<sim::Intervention> RandomInterventions(const sim::WalkerOptions& walkers, sim::Step steps) {
  CounterRng rng(walkers.seed, 98);
  std::vector<sim::Intervention> interventions;
  const uint32_t ids = walkers.agents + walkers.reserve;
  for (uint64_t i = 0; i < walkers.seed % 5; ++i) {
    const std::string what[] = {fmt::format("add {} 1 1", ids - 1 - rng.NextBelow(3)),
                                fmt::format("remove {}", rng.NextBelow(ids)),
                                fmt::format("tell {} news", rng.NextBelow(ids))};
    interventions.push_back(
        {static_cast<sim::Step>(rng.NextBelow(static_cast<uint64_t>(steps))), what[rng.NextBelow(3)]});
  }
  return interventions;
}

TEST(Posts, ReadersAreDrawnWhereNothingElseTellsWherePeopleAre) {
  const auto microblog = MakeMicroblogWorld(30, 1);
  const std::vector<std::vector<sim::AgentId>> readers = DrawnReaders(*microblog);
  ASSERT_EQ(readers.size(), 30u);
  const sim::MindPtr mind = microblog->StartMind(7);
  EXPECT_THAT(readers[7], ::testing::ElementsAreArray(microblog->Follows(7, mind)));
  EXPECT_FALSE(readers[7].empty());
  EXPECT_TRUE(DrawnReaders(*MakeMicroblogWorld(1001, 1)).empty());  // too many
  EXPECT_TRUE(DrawnReaders(*MakeFollowerWorld(30, 1)).empty());     // a network
  EXPECT_TRUE(DrawnReaders(*MakeColonyWorld(30, 1)).empty());       // people who move
}

TEST(Posts, EveryModeAndTimingLeavesTheSameHash) {
  constexpr sim::Step kSteps = 14;
  const std::tuple<sim::Mode, sim::Coupling, uint64_t> others[] = {
      {sim::Mode::kSingle, sim::Coupling::kPaper, 2},
      {sim::Mode::kOutOfOrder, sim::Coupling::kPaper, 3},
      {sim::Mode::kOutOfOrder, sim::Coupling::kVersioned, 4},
      {sim::Mode::kOutOfOrder, sim::Coupling::kPaper, 5},
      {sim::Mode::kSpeculative, sim::Coupling::kPaper, 6},
      {sim::Mode::kSpeculative, sim::Coupling::kVersioned, 7}};
  sim::Step spread = 0;
  uint64_t births = 0;
  uint64_t squashed = 0;
  uint64_t confirmed = 0;
  for (uint64_t seed = 0; seed < 30; ++seed) {
    const sim::WalkerOptions walkers = RandomWalkers(seed);
    sim::RunOptions options;
    options.steps = kSteps;
    options.seed = seed;
    options.interventions = RandomInterventions(walkers, kSteps);
    options.speculation.least_chance = 0;
    options.speculation.waste_share = 100;
    const auto run = [&](sim::Mode mode, sim::Coupling coupling, uint64_t timing) {
      sim::HashLlm llm(timing);
      options.mode = mode;
      options.coupling = coupling;
      return sim::RunWorld(sim::WalkerWorld(walkers), llm, options);
    };
    const sim::RunResult lockstep = run(sim::Mode::kLockstep, sim::Coupling::kPaper, 1);
    for (const auto& [mode, coupling, timing] : others) {
      const sim::RunResult result = run(mode, coupling, timing);
      ASSERT_EQ(result.step_hashes, lockstep.step_hashes) << "seed " << seed << ", " << sim::ModeName(mode);
      if (walkers.horizon > 0) {
        ASSERT_LE(result.stats.max_spread, walkers.horizon);
      }
      spread = std::max(spread, result.stats.max_spread);
      births += result.stats.births;
      squashed += result.stats.squashed_steps;
      confirmed += result.stats.confirmed_steps;
    }
  }
  EXPECT_GT(spread, 3);
  EXPECT_GT(births, 50u);
  EXPECT_GT(squashed, 100u);
  EXPECT_GT(confirmed, 100u);
}

// Counts events by kind.
class EventCounter final : public sim::RunObserver {
 public:
  void OnCommit(const sim::CommitRecord& record) override {
    for (const sim::Event& event : record.events) ++counts[event.kind];
  }
  void OnStep(sim::Step, const Digest&) override {}
  std::map<std::string, int> counts;
};

TEST(Posts, AMicroblogIsTheSameInEveryOrder) {
  EventCounter events;
  sim::Step spread = 0;
  for (uint64_t seed = 0; seed < 4; ++seed) {
    const auto agents = static_cast<uint32_t>(1 + 60 * seed);
    const auto run = [&](sim::Mode mode, uint64_t timing) {
      llm::FakeLlm llm([timing](const llm::Request& request) {
        CounterRng rng(timing, request.key.agent, request.key.step);
        return rng.NextBelow(8) == 0 ? 40 * rng.NextDouble() : 1 + rng.NextDouble();
      });
      sim::RunOptions options;
      options.mode = mode;
      options.steps = 60;
      options.observers = {&events};
      return sim::RunWorld(*MakeMicroblogWorld(agents, seed), llm, options);
    };
    const sim::RunResult lockstep = run(sim::Mode::kLockstep, 1);
    for (uint64_t timing = 2; timing < 4; ++timing) {
      const sim::RunResult result = run(sim::Mode::kOutOfOrder, timing);
      EXPECT_EQ(result.step_hashes, lockstep.step_hashes) << "seed " << seed;
      spread = std::max(spread, result.stats.max_spread);
    }
    EXPECT_EQ(run(sim::Mode::kSpeculative, 4).hash, lockstep.hash) << "seed " << seed;
    EXPECT_EQ(run(sim::Mode::kSingle, 5).hash, lockstep.hash) << "seed " << seed;
  }
  EXPECT_EQ(spread, 8);
  for (const char* kind : {"post", "like", "message", "follow", "unfollow"}) {
    EXPECT_GT(events.counts[kind], 50) << kind;
  }
}

// Three people far apart. What each does in which step is up to the test; all they read is noted.
class ThreeWorld : public sim::WalkerWorld {
 public:
  struct Whom : sim::Mind {
    explicit Whom(std::vector<sim::AgentId> whom) : follows(std::move(whom)) {}
    void Hash(Hasher& hasher) const override {
      for (const sim::AgentId agent : follows) hasher.Add(agent);
    }
    std::vector<sim::AgentId> follows;
  };
  using Does = std::function<void(sim::AgentId, sim::Step, sim::Commit&)>;
  using Reads = std::function<std::string(const sim::View&)>;

  ThreeWorld(sim::PostRules posts, sim::Step horizon, Does does, Reads reads)
      : WalkerWorld(Three()),
        posts_(posts),
        horizon_(horizon),
        does_(std::move(does)),
        reads_(std::move(reads)) {}
  sim::PostRules GetPostRules() const override { return posts_; }
  sim::Step Horizon() const override { return horizon_; }
  sim::MindPtr StartMind(sim::AgentId agent) const override {
    return std::make_shared<Whom>(agent == 0 ? std::vector<sim::AgentId>{1} : std::vector<sim::AgentId>{});
  }
  sim::Lookahead Declare(sim::AgentId, sim::Step, const sim::Body&, const sim::MindPtr&) const override {
    return {};
  }
  sim::Body StartBody(sim::AgentId agent) const override { return {{static_cast<int32_t>(agent), 0}, ""}; }
  std::span<const sim::AgentId> Follows(sim::AgentId, const sim::MindPtr& mind) const override {
    return static_cast<const Whom&>(*mind).follows;
  }
  sim::Task<sim::IntentPtr> Proceed(const sim::View& view, sim::Caller&) const override {
    const std::string read = reads_(view);
    if (!read.empty()) noted[{view.Self(), view.Now()}] = read;
    co_return nullptr;
  }
  sim::Task<void> Resolve(sim::Step step, const std::vector<sim::Member>& members,
                          sim::Commit& commit) const override {
    for (const sim::Member& member : members) does_(member.id, step, commit);
    co_return;
  }
  mutable std::map<std::pair<sim::AgentId, sim::Step>, std::string> noted;

 private:
  static sim::WalkerOptions Three() {
    sim::WalkerOptions walkers;
    walkers.agents = 3;
    walkers.rules = {0, 0};
    return walkers;
  }
  sim::PostRules posts_;
  sim::Step horizon_;
  Does does_;
  Reads reads_;
};

std::string ReadFeed(const sim::View& view) {
  std::string text;
  for (const sim::Post& post : view.Feed(2, nullptr)) {
    text += fmt::format("{}:{}+{} ", post.id.by, post.text, view.Likes(post.id));
  }
  for (const sim::Message& message : view.Messages())
    text += fmt::format("{}>{} ", message.from, message.text);
  return text;
}

std::string RunThree(const ThreeWorld& world) {
  sim::HashLlm llm(1);
  sim::RunOptions options;
  options.steps = 12;
  try {
    sim::RunWorld(world, llm, options);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Posts, AreReadFromTheirLatencyOnAndForAsLongAsTheyAreKept) {
  const ThreeWorld world(
      {2, 3}, 4,
      [](sim::AgentId agent, sim::Step step, sim::Commit& commit) {
        if (agent == 1 && step == 1) {
          EXPECT_EQ(commit.AddPost(1, "a"), (sim::PostId{1, 1, 0}));
        }
        if (agent == 2 && step == 2) commit.AddPost(2, "b");
        if (agent == 2 && step == 2) commit.AddPost(2, "c");
        if (agent == 0 && step == 3)
          commit.SetMind(0, std::make_shared<ThreeWorld::Whom>(std::vector<sim::AgentId>{2}));
        if (agent == 0 && step == 4) commit.Like(0, {2, 2, 0});
        if (agent == 0 && step == 6) commit.Send(0, 1, "hi");
      },
      ReadFeed);
  EXPECT_EQ(RunThree(world), "no error");
  using Noted = std::map<std::pair<sim::AgentId, sim::Step>, std::string>;
  EXPECT_EQ(world.noted, (Noted{{{0, 3}, "1:a+0 "},
                                {{0, 4}, "2:c+0 2:b+0 "},
                                {{0, 5}, "2:c+0 2:b+0 "},
                                {{0, 6}, "2:c+0 2:b+0 "},
                                {{1, 10}, "0>hi "}}));
}

TEST(Posts, LikesCountForAllAtTheHorizon) {
  const ThreeWorld world(
      {1, 20}, 3,
      [](sim::AgentId agent, sim::Step step, sim::Commit& commit) {
        if (agent == 1 && step == 0) commit.AddPost(1, "a");
        if (agent == 1 && step == 1) commit.AddPost(1, "b");
        if (agent == 1 && step == 1) commit.AddPost(1, "c");
        if (agent == 2 && step == 2) commit.Like(2, {1, 0, 0}, 5);
        if (agent == 2 && step == 3) commit.Like(2, {1, 1, 1}, -1);
      },
      [](const sim::View& view) {
        std::string text;
        const auto likes = [&](const sim::Post& post) { return view.Likes(post.id); };
        if (view.Self() == 0 && view.Now() > 1) {
          for (const sim::Post& post : view.Feed(2, likes)) text += post.text;
        }
        return text;
      });
  EXPECT_EQ(RunThree(world), "no error");
  const auto at = [&](sim::Step step) { return world.noted[{0, step}]; };
  EXPECT_EQ(at(2) + at(3) + at(4), "cbcbcb");
  EXPECT_EQ(at(5), "ac");
  EXPECT_EQ(at(6), "ab");
  EXPECT_EQ(at(11), "ab");
}

TEST(Posts, WhatBreaksTheRulesIsRefused) {
  const auto error_of = [](const ThreeWorld::Does& does, const ThreeWorld::Reads& reads,
                           sim::Step latency = 2, sim::Step horizon = 3) {
    return RunThree(ThreeWorld({latency, 3}, horizon, does, reads));
  };
  const auto nothing = [](sim::AgentId, sim::Step, sim::Commit&) {};
  const auto in_step_3 = [](const std::function<void(sim::Commit&)>& what) {
    return [what](sim::AgentId agent, sim::Step step, sim::Commit& commit) {
      if (agent == 0 && step == 3) what(commit);
    };
  };
  const auto follow = [&](std::vector<sim::AgentId> whom) {
    return in_step_3(
        [whom](sim::Commit& commit) { commit.SetMind(0, std::make_shared<ThreeWorld::Whom>(whom)); });
  };
  EXPECT_THAT(
      error_of(nothing,
               [](const sim::View& view) {
                 view.Posts(1);
                 return "";
               }),
      HasSubstr("agent 2 (walker2), step 0: agent 2 (walker2) reads posts of agent 1, whom it does not"));
  EXPECT_EQ(error_of(follow({1, 2}), ReadFeed), "no error");
  EXPECT_THAT(error_of(follow({2, 1}), ReadFeed),
              HasSubstr("agent 0 (walker0): it follows agent 1; allowed are"));
  EXPECT_THAT(error_of(follow({0}), ReadFeed),
              HasSubstr("it follows agent 0; allowed are others from 0 to 2"));
  EXPECT_THAT(error_of(follow({3}), ReadFeed), HasSubstr("it follows agent 3"));
  EXPECT_THAT(
      error_of(in_step_3([](sim::Commit& commit) { commit.AddPost(1, "as somebody else"); }), ReadFeed),
      HasSubstr("which is not a member of this cluster"));
  const auto like = [&](sim::PostId post) {
    return in_step_3([post](sim::Commit& commit) { commit.Like(0, post); });
  };
  EXPECT_EQ(error_of(like({1, 1, 0}), ReadFeed), "no error");
  EXPECT_THAT(error_of(like({1, 2, 0}), ReadFeed),
              HasSubstr("likes post 0 of agent 1 in step 2, but nobody can"));
  EXPECT_THAT(error_of(like({7, 1, 0}), ReadFeed), HasSubstr("likes post 0 of agent 7"));
  EXPECT_THAT(error_of(like({1, 1, 0}), ReadFeed, 2, 0),
              HasSubstr("likes a post, but the world has no horizon"));
  const auto send = [&](sim::AgentId to) {
    return in_step_3([to](sim::Commit& commit) { commit.Send(0, to, "hello"); });
  };
  EXPECT_EQ(error_of(send(0), ReadFeed, 0), "no error");
  EXPECT_EQ(
      error_of(in_step_3([](sim::Commit& commit) { commit.AddPost(0, std::string(65536, 'a')); }), ReadFeed),
      "no error");
  EXPECT_THAT(
      error_of(in_step_3([](sim::Commit& commit) { commit.AddPost(0, std::string(65537, 'a')); }), ReadFeed),
      HasSubstr("agent 0 (walker0) posts a text of 65537 bytes, allowed are 65536"));
  EXPECT_THAT(
      error_of(in_step_3([](sim::Commit& commit) { commit.Send(0, 1, std::string(65537, 'a')); }), ReadFeed),
      HasSubstr("sends a message of 65537 bytes"));
  EXPECT_THAT(error_of(send(3), ReadFeed), HasSubstr("sends a message to agent 3, but the world has ids"));
  EXPECT_THAT(error_of(send(1), ReadFeed, 2, 0), HasSubstr("sends a message, but the world has no horizon"));
  const auto post = in_step_3([](sim::Commit& commit) { commit.AddPost(0, "hello"); });
  EXPECT_THAT(error_of(post, ReadFeed, 0), HasSubstr("posts something, but the world has no posts"));
  EXPECT_THAT(error_of(nothing, ReadFeed, -1), HasSubstr("posts of latency -1"));
}

}  // namespace
}  // namespace throng::worlds
