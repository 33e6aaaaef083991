// The dependency graph of agents on a network.

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <set>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/rng.h"
#include "sim/dependency_graph.h"
#include "sim/space/network.h"

namespace throng::sim {
namespace {

using Follows = std::vector<std::vector<NodeId>>;

// In a chain where each agent follows the next, the first may never be more than h steps ahead of one h hops
// away, and an agent that is followed runs ahead without limit.
TEST(NetworkGraph, AgentsHHopsApartDifferByH) {
  constexpr AgentId kAgents = 6;
  Follows follows(kAgents);
  std::vector<Pos> start;
  for (AgentId agent = 0; agent < kAgents; ++agent) {
    if (agent + 1 < kAgents) follows[agent] = {agent + 1};
    start.push_back({static_cast<int32_t>(agent), 0});
  }
  const Space space(std::make_shared<const Network>(follows));
  DependencyGraph graph(space, Rules{1, 0}, Coupling::kPaper, start, 100);
  ClusterList ready;
  graph.Start(ready);
  ASSERT_EQ(ready.Size(), kAgents);
  // The last agent of the chain does nothing; all others run as far as they can.
  std::vector<AgentId> runnable = {0, 1, 2, 3, 4};
  while (!runnable.empty()) {
    const std::vector<AgentId> one = {runnable.back()};
    runnable.pop_back();
    ready.Clear();
    graph.Commit(one, std::vector<Pos>{graph.PosOf(one[0])}, ready);
    for (const AgentId agent : ready.members) runnable.push_back(agent);
  }
  for (AgentId agent = 0; agent < kAgents; ++agent) {
    EXPECT_EQ(graph.StepOf(agent), static_cast<Step>(kAgents - 1 - agent));
  }
}

// Runs all agents but the one that stands still as far as they can, on a grid where nobody is near anybody.
std::vector<Step> RunAhead(const std::vector<std::vector<AgentId>>& follows, Step latency, Step horizon,
                           AgentId still, const std::vector<AgentId>& unborn = {}) {
  std::vector<Pos> start;
  for (AgentId agent = 0; agent < follows.size(); ++agent) start.push_back({static_cast<int32_t>(agent), 0});
  const Space space(static_cast<int32_t>(follows.size()), 1, Metric::kChebyshev);
  DependencyGraph graph(space, Rules{0, 0}, Coupling::kPaper, start, 1000);
  graph.SetFollows(latency, [&](AgentId agent) { return std::span<const AgentId>(follows[agent]); });
  graph.SetHorizon(horizon);
  for (const AgentId agent : unborn) graph.Reserve(agent);
  ClusterList ready;
  graph.Start(ready);
  std::vector<AgentId> runnable = ready.members;
  while (!runnable.empty()) {
    const std::vector<AgentId> one = {runnable.back()};
    runnable.pop_back();
    if (one[0] == still) continue;
    ready.Clear();
    graph.Commit(one, std::vector<Pos>{graph.PosOf(one[0])}, ready);
    for (const AgentId agent : ready.members) runnable.push_back(agent);
  }
  std::vector<Step> steps;
  for (AgentId agent = 0; agent < follows.size(); ++agent) steps.push_back(graph.StepOf(agent));
  return steps;
}

TEST(NetworkGraph, AReaderLeadsWhomItFollowsByTheLatency) {
  const std::vector<std::vector<AgentId>> follows = {{1}, {2}, {3}, {}, {0, 2, 3}, {}};
  EXPECT_EQ(RunAhead(follows, 3, 0, 3), (std::vector<Step>{9, 6, 3, 0, 3, 1000}));
  EXPECT_EQ(RunAhead(follows, 3, 7, 3), (std::vector<Step>{7, 6, 3, 0, 3, 7}));
  EXPECT_EQ(RunAhead(follows, 0, 7, 3), (std::vector<Step>{7, 7, 7, 0, 7, 7}));
}

// Whoever bears it may be anybody, so readers of somebody not yet born are bound to all.
TEST(NetworkGraph, AReaderOfTheUnbornLeadsNobodyByMoreThanTheLatency) {
  const std::vector<std::vector<AgentId>> follows = {{4}, {}, {4}, {}, {}};
  EXPECT_EQ(RunAhead(follows, 2, 0, 3, {4}), (std::vector<Step>{2, 1000, 2, 0, Proximity::kAbsent}));
}

TEST(NetworkGraph, RefusesSpeeds) {
  const Space space(std::make_shared<const Network>(Follows{{1}, {}}));
  const std::vector<Pos> start = {{0, 0}, {1, 0}};
  EXPECT_THROW(DependencyGraph(space, Rules{1, 1}, Coupling::kPaper, start, 1), Error);
}

// By definition, agents at one node form a cluster, which is ready when no agent it reads is behind.
void Walk(uint64_t seed) {
  CounterRng rng(seed);
  Follows follows(2 + rng.NextBelow(14));
  for (auto& list : follows) {
    for (uint64_t i = rng.NextBelow(4); i > 0; --i)
      list.push_back(static_cast<NodeId>(rng.NextBelow(follows.size())));
  }
  const auto network = std::make_shared<const Network>(follows);
  std::vector<Pos> start(1 + rng.NextBelow(20));
  std::vector<Rules> rules(start.size());
  for (size_t i = 0; i < start.size(); ++i) {
    start[i] = {static_cast<int32_t>(rng.NextBelow(follows.size())), 0};
    rules[i] = {static_cast<int>(rng.NextBelow(4)), 0};
  }
  constexpr Step kEnd = 8;
  DependencyGraph graph(Space(network), rules, Coupling::kPaper, start, kEnd);
  const auto is_blocked = [&](AgentId a) {
    for (AgentId b = 0; b < start.size(); ++b) {
      const auto read = network->Within(static_cast<NodeId>(start[a].x), rules[a].radius_p);
      const bool reads = std::count(read.begin(), read.end(), static_cast<NodeId>(start[b].x)) > 0;
      if (reads && graph.StepOf(b) < graph.StepOf(a)) return true;
    }
    return false;
  };
  const auto definition = [&] {
    std::set<std::vector<AgentId>> ready;
    for (AgentId a = 0; a < start.size(); ++a) {
      std::vector<AgentId> cluster;
      for (AgentId b = 0; b < start.size(); ++b) {
        if (start[b] == start[a] && graph.StepOf(b) == graph.StepOf(a)) cluster.push_back(b);
      }
      if (graph.StepOf(a) < kEnd && std::none_of(cluster.begin(), cluster.end(), is_blocked))
        ready.insert(cluster);
    }
    return ready;
  };
  std::set<std::vector<AgentId>> ready;
  ClusterList list;
  graph.Start(list);
  while (true) {
    for (size_t i = 0; i < list.Size(); ++i) {
      ASSERT_TRUE(ready.emplace(list[i].begin(), list[i].end()).second);
    }
    ASSERT_EQ(ready, definition());
    if (ready.empty()) break;
    auto it = ready.begin();
    std::advance(it, rng.NextBelow(ready.size()));
    const std::vector<AgentId> members = *it;
    ready.erase(it);
    list.Clear();
    graph.Commit(members, std::vector<Pos>(members.size(), start[members[0]]), list);
    for (AgentId a = 0; a < start.size(); ++a) ASSERT_TRUE(graph.InvariantHolds(a));
  }
  EXPECT_EQ(graph.BaseStep(), kEnd);
}

TEST(NetworkGraph, ReadyClustersAreThoseOfTheDefinition) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    Walk(seed);
    if (HasFatalFailure()) FAIL() << "seed " << seed;
  }
}

}  // namespace
}  // namespace throng::sim
