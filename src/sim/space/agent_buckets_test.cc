#include "sim/space/agent_buckets.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "base/rng.h"

namespace throng::sim {
namespace {

std::multiset<AgentId> IdsOf(const AgentBuckets& buckets, size_t bucket) {
  std::multiset<AgentId> ids;
  buckets.Visit(bucket, [&](const AgentBuckets::Entry& entry) {
    EXPECT_EQ(entry.pos, (Pos{static_cast<int32_t>(entry.id), 0}));
    ids.insert(entry.id);
    return false;
  });
  return ids;
}

// Few buckets, so that most are crowded; every agent moves between buckets.
TEST(AgentBuckets, HoldWhatWasPutIntoThem) {
  constexpr size_t kBuckets = 4;
  constexpr AgentId kAgents = 60;
  AgentBuckets buckets;
  buckets.Resize(kBuckets);
  std::vector<std::multiset<AgentId>> expected(kBuckets);
  std::vector<size_t> place(kAgents);
  CounterRng rng(1);
  const auto put = [&](AgentId id) {
    place[id] = rng.NextBelow(kBuckets);
    buckets.Add(place[id], {{static_cast<int32_t>(id), 0}, 0, id});
    expected[place[id]].insert(id);
  };
  for (AgentId id = 0; id < kAgents; ++id) put(id);
  for (int move = 0; move < 2000; ++move) {
    const auto id = static_cast<AgentId>(rng.NextBelow(kAgents));
    ++buckets.Find(place[id], id).step;
    buckets.Remove(place[id], id);
    expected[place[id]].erase(id);
    put(id);
    for (size_t bucket = 0; bucket < kBuckets; ++bucket) ASSERT_EQ(IdsOf(buckets, bucket), expected[bucket]);
  }
}

TEST(AgentBuckets, UseRoomAgain) {
  AgentBuckets buckets;
  buckets.Resize(2);
  const auto move_all = [&](size_t from, size_t to) {
    for (AgentId id = 0; id < 50; ++id) {
      buckets.Remove(from, id);
      buckets.Add(to, {{}, 0, id});
    }
  };
  for (AgentId id = 0; id < 50; ++id) buckets.Add(0, {{}, 0, id});
  move_all(0, 1);
  const size_t bytes = buckets.Bytes();
  for (int round = 0; round < 10; ++round) {
    move_all(1, 0);
    move_all(0, 1);
  }
  EXPECT_EQ(buckets.Bytes(), bytes);
}

TEST(AgentBuckets, AVisitEndsWhenItIsTold) {
  AgentBuckets buckets;
  buckets.Resize(1);
  for (AgentId id = 0; id < 10; ++id) buckets.Add(0, {{}, 0, id});
  int visited = 0;
  EXPECT_TRUE(buckets.Visit(0, [&](const AgentBuckets::Entry&) { return ++visited == 5; }));
  EXPECT_EQ(visited, 5);
  EXPECT_FALSE(buckets.Visit(0, [](const AgentBuckets::Entry&) { return false; }));
}

}  // namespace
}  // namespace throng::sim
