#include <gtest/gtest.h>

#include "sim/run/run.h"
#include "sim/testing/test_worlds.h"

namespace throng::sim {
namespace {

// In step 1 each agent moves, writes and speaks; then it drops that and waves instead.
class WaveringWorld : public WalkerWorld {
 public:
  using WalkerWorld::WalkerWorld;
  Task<IntentPtr> Proceed(const View&, Caller&) const override { co_return nullptr; }
  Task<void> Resolve(Step step, const std::vector<Member>& members, Commit& commit) const override {
    if (step != 1) co_return;
    for (const Member& member : members) {
      commit.SetBody(member.id, {member.body.pos, "speaking"});
      commit.SetMind(member.id, nullptr);
      commit.WriteCell(member.body.pos, "chalk");
      commit.AddEvent({member.id, "say", "hello"});
      commit.Remove(member.id);
    }
    commit.Discard();
    for (const Member& member : members) commit.AddEvent({member.id, "wave", ""});
  }
};

class CommitWatcher : public RunObserver {
 public:
  void OnCommit(const CommitRecord& record) override {
    for (const MemberCommit& member : record.members) {
      EXPECT_FALSE(member.body_changed || member.mind_changed || member.removed);
      EXPECT_NE(member.body.status, "speaking");
      EXPECT_NE(member.mind, nullptr);
    }
    EXPECT_TRUE(record.cells.empty());
    for (const Event& event : record.events) EXPECT_EQ(event.kind, "wave");
    events += record.events.size();
  }
  void OnStep(Step, const Digest&) override {}

  size_t events = 0;
};

TEST(Commit, WhatIsDiscardedWasNeverWritten) {
  const WaveringWorld world(WalkerOptions{});
  HashLlm llm(1);
  CommitWatcher watcher;
  RunOptions options;
  options.steps = 3;
  options.observers = {&watcher};
  RunWorld(world, llm, options);
  EXPECT_EQ(watcher.events, world.NumAgents());
}

}  // namespace
}  // namespace throng::sim
