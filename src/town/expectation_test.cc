// What others expect of people (TownWorld::Expect) is what they then do.

#include <gtest/gtest.h>

#include <algorithm>

#include "sim/run/run.h"
#include "town/mind/mind.h"
#include "town/testing/scripted_llm.h"
#include "town/town.h"

namespace throng::town {
namespace {

constexpr sim::Step kFar = 40;  // how far guesses look ahead

// One person's body and mind at the start of each step.
class Diary : public sim::RunObserver {
 public:
  Diary(const Town& town, sim::AgentId agent)
      : agent(agent), bodies{town.StartBody(agent)}, minds{town.StartMind(agent)} {}
  void OnCommit(const sim::CommitRecord& record) override {
    for (const sim::MemberCommit& member : record.members) {
      if (member.id != agent) continue;
      bodies.push_back(member.body);
      minds.push_back(member.mind);
    }
  }
  void OnStep(sim::Step, const Digest&) override {}

  const sim::AgentId agent;
  std::vector<sim::Body> bodies;
  std::vector<sim::MindPtr> minds;
};

// Runs the town with one agent and these others alone, from one morning to the next.
Diary Live(const Town& town, sim::AgentId agent, const std::vector<sim::AgentId>& others = {}) {
  TestLlm llm;
  Diary diary(town, agent);
  sim::RunOptions options;
  options.steps = 30 * 360;
  options.observers = {&diary};
  for (sim::AgentId id = 0; id < town.NumAgents(); ++id) {
    const bool stays = id == agent || std::find(others.begin(), others.end(), id) != others.end();
    if (!stays) options.interventions.push_back({0, "leave " + town.AgentName(id)});
  }
  sim::RunWorld(town, llm, options);
  EXPECT_EQ(diary.bodies.size(), static_cast<size_t>(options.steps) + 1);
  return diary;
}

TEST(Expectation, WhoIsLeftAloneDoesAsExpected) {
  const auto town = LoadTown(std::string(THRONG_SOURCE_DIR) + "/town");
  for (const sim::AgentId agent : {0u, 7u, 16u}) {
    const Diary diary = Live(*town, agent);
    const auto end = static_cast<sim::Step>(diary.bodies.size()) - 1;
    int64_t all = 0;
    int64_t planned = 0;
    int64_t moved = 0;
    int64_t decided = 0;  // moves due to a decision not made yet
    int64_t foreseen = 0;
    int64_t woke = 0;
    int64_t slept = 0;
    for (sim::Step step = 0; step + kFar <= end; ++step) {
      const sim::Body& now = diary.bodies[step];
      for (sim::Step later = step; later <= step + kFar; ++later) {
        const auto [body, is_planned] = town->Expect(agent, step, now, diary.minds[step], later);
        ++all;
        if (!is_planned) {
          decided += diary.bodies[later].pos != now.pos;
          foreseen += diary.bodies[later].pos != now.pos && body == diary.bodies[later];
          continue;
        }
        ++planned;
        ASSERT_EQ(body, diary.bodies[later])
            << agent << " in step " << step << " about step " << later << ": " << body.status
            << " instead of " << diary.bodies[later].status;
        moved += body.pos != now.pos;
        woke += now.status == "sleep" && body.status != "sleep";
        slept += now.status != "sleep" && body.status == "sleep";
      }
    }
    EXPECT_GT(planned, all * 9 / 10);
    EXPECT_GT(moved, all / 100);
    EXPECT_GE(woke, kFar);  // from each of the steps before it
    EXPECT_GT(slept, 0);
    EXPECT_GT(decided, 100);
    EXPECT_GT(foreseen, decided / 2);
  }
}

TEST(Expectation, WhoTalksStaysUntilTheTalkHasEnded) {
  const auto town = LoadTown(std::string(THRONG_SOURCE_DIR) + "/town");
  const Diary diary = Live(*town, 0, {1});
  int64_t talking = 0;
  for (size_t step = 0; step + kFar < diary.bodies.size(); ++step) {
    const auto& mind = static_cast<const TownMind&>(*diary.minds[step]);
    const auto now = static_cast<sim::Step>(step);
    for (sim::Step later = now + 1; later <= mind.busy_until; ++later) {
      ++talking;
      const auto [body, is_planned] = town->Expect(0, now, diary.bodies[step], diary.minds[step], later);
      ASSERT_TRUE(is_planned);
      ASSERT_EQ(body, diary.bodies[later]);
    }
  }
  EXPECT_GT(talking, 20);
}

}  // namespace
}  // namespace throng::town
