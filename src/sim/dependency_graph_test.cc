#include "sim/dependency_graph.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <tuple>

#include "base/error.h"
#include "base/rng.h"

namespace throng::sim {
namespace {

// The rules of sections 2 and 2b, implemented literally, in O(n^2).
class Oracle {
 public:
  // rules: one for each agent
  Oracle(const DependencyGraph& graph, const Space& space, std::vector<Rules> rules, Coupling coupling,
         Step end, std::vector<Link> links, std::vector<Step> barriers)
      : graph_(graph),
        space_(space),
        rules_(std::move(rules)),
        coupling_(coupling),
        end_(end),
        links_(std::move(links)),
        barriers_(std::move(barriers)) {}

  int64_t Reach(AgentId a, AgentId b) const {
    const auto [r_a, v_a] = rules_[a];
    const auto [r_b, v_b] = rules_[b];
    if (coupling_ == Coupling::kVersioned) return std::max({r_a, r_b, v_a + v_b});
    return std::max({r_a + v_b, r_b + v_a, v_a + v_b});
  }

  bool Linked(AgentId a, AgentId b) const {
    return std::any_of(links_.begin(), links_.end(), [&](const Link& link) {
      return link.step == graph_.StepOf(a) && ((link.a == a && link.b == b) || (link.a == b && link.b == a));
    });
  }

  bool Blocked(AgentId a) const {
    const bool at_barrier = std::count(barriers_.begin(), barriers_.end(), graph_.StepOf(a)) > 0;
    for (AgentId b = 0; b < graph_.NumAgents(); ++b) {
      const int64_t gap = graph_.StepOf(a) - graph_.StepOf(b);
      if (gap <= 0) continue;
      if (at_barrier || Linked(a, b)) return true;
      if (space_.Within(graph_.PosOf(a), graph_.PosOf(b), gap * rules_[b].max_vel + Reach(a, b))) return true;
    }
    return false;
  }

  std::vector<AgentId> ClusterOf(AgentId a) const {
    std::vector<AgentId> cluster = {a};
    for (size_t i = 0; i < cluster.size(); ++i) {
      for (AgentId b = 0; b < graph_.NumAgents(); ++b) {
        if (graph_.StepOf(b) == graph_.StepOf(a) &&
            (space_.Within(graph_.PosOf(cluster[i]), graph_.PosOf(b), Reach(cluster[i], b)) ||
             Linked(cluster[i], b)) &&
            std::find(cluster.begin(), cluster.end(), b) == cluster.end()) {
          cluster.push_back(b);
        }
      }
    }
    std::sort(cluster.begin(), cluster.end());
    return cluster;
  }

  std::set<std::vector<AgentId>> ReadyClusters() const {
    std::set<std::vector<AgentId>> ready;
    for (AgentId a = 0; a < graph_.NumAgents(); ++a) {
      if (graph_.StepOf(a) >= end_) continue;
      const std::vector<AgentId> cluster = ClusterOf(a);
      if (std::none_of(cluster.begin(), cluster.end(), [&](AgentId b) { return Blocked(b); })) {
        ready.insert(cluster);
      }
    }
    return ready;
  }

 private:
  const DependencyGraph& graph_;
  const Space& space_;
  std::vector<Rules> rules_;
  Coupling coupling_;
  Step end_;
  std::vector<Link> links_;
  std::vector<Step> barriers_;
};

// A random position within v of `from` in the space.
Pos RandomMove(const Space& space, Pos from, int v, CounterRng& rng) {
  while (true) {
    const auto offset = [&] { return static_cast<int32_t>(rng.NextBelow(2 * v + 1)) - v; };
    Pos to = from;
    to.x += offset();
    to.y += offset();
    if (space.Contains(to) && space.Within(from, to, v)) return to;
  }
}

class DependencyGraphWalks : public ::testing::TestWithParam<std::tuple<Metric, Rules, Coupling>> {};

void Walk(const Space& space, Rules rules, Coupling coupling, uint64_t seed) {
  CounterRng rng(seed, rules.radius_p, rules.max_vel);
  const Step end = 6 + static_cast<Step>(rng.NextBelow(10));
  std::vector<Pos> start(2 + rng.NextBelow(18));
  for (Pos& pos : start) {
    pos.x = static_cast<int32_t>(rng.NextBelow(space.Width()));
    pos.y = static_cast<int32_t>(rng.NextBelow(space.Height()));
  }
  std::vector<Rules> each(start.size(), rules);
  const bool mixed = seed % 3 == 2;
  if (mixed) {
    for (Rules& rule : each) {
      rule = {static_cast<int>(rng.NextBelow(2 * rules.radius_p + 2)),
              static_cast<int>(rng.NextBelow(rules.max_vel + 2))};
    }
  }
  DependencyGraph graph(space, mixed ? each : std::vector<Rules>{rules}, coupling, start, end);
  std::vector<Link> links;
  std::vector<Step> barriers;
  if (seed % 2 == 1) {
    for (uint64_t i = rng.NextBelow(12); i > 0; --i) {
      const AgentId a = static_cast<AgentId>(rng.NextBelow(start.size()));
      const AgentId b = static_cast<AgentId>(rng.NextBelow(start.size()));
      if (a != b) links.push_back({static_cast<Step>(rng.NextBelow(end)), a, b});
    }
    for (Step step = 1; step < end; ++step) {
      if (rng.NextBelow(5) == 0) barriers.push_back(step);
    }
    graph.AddDependencies(links, barriers);
  }
  const Oracle oracle(graph, space, each, coupling, end, links, barriers);
  std::set<std::vector<AgentId>> ready;
  const auto take = [&](const ClusterList& list) {
    for (size_t i = 0; i < list.Size(); ++i)
      ASSERT_TRUE(ready.emplace(list[i].begin(), list[i].end()).second);
  };
  ClusterList list;
  graph.Start(list);
  take(list);
  while (!ready.empty()) {
    ASSERT_EQ(ready, oracle.ReadyClusters());
    auto it = ready.begin();
    std::advance(it, rng.NextBelow(ready.size()));
    const std::vector<AgentId> members = *it;
    ready.erase(it);
    std::vector<Pos> moved;
    for (const AgentId member : members) {
      const int reach = graph.IsBarrier(graph.StepOf(member) + 1) ? space.Width() : each[member].max_vel;
      moved.push_back(RandomMove(space, graph.PosOf(member), reach, rng));
    }
    list.Clear();
    graph.Commit(members, moved, list);
    take(list);
    Step base = end;
    for (AgentId a = 0; a < graph.NumAgents(); ++a) {
      ASSERT_TRUE(graph.InvariantHolds(a));
      base = std::min(base, graph.StepOf(a));
    }
    ASSERT_EQ(graph.BaseStep(), base);
  }
  EXPECT_EQ(graph.BaseStep(), end);
}

TEST_P(DependencyGraphWalks, ReadyClustersAreThoseOfTheDefinition) {
  const auto& [metric, rules, coupling] = GetParam();
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const int32_t side = 8 + static_cast<int32_t>(seed);
    Walk(Space(side, side + 7, metric), rules, coupling, seed);
    if (HasFatalFailure()) FAIL() << "seed " << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, DependencyGraphWalks,
    ::testing::Combine(::testing::Values(Metric::kChebyshev, Metric::kEuclid, Metric::kManhattan),
                       ::testing::Values(Rules{4, 1}, Rules{1, 2}, Rules{0, 1}, Rules{3, 0}, Rules{2, 5}),
                       ::testing::Values(Coupling::kPaper, Coupling::kVersioned)));

TEST(DependencyGraph, FarAgentsRunAheadUntilTheirDistanceIsUsedUp) {
  const Space space(100, 1, Metric::kChebyshev);
  const std::vector<Pos> start = {{0, 0}, {20, 0}};
  DependencyGraph graph(space, Rules{4, 1}, Coupling::kPaper, start, 1000);
  ClusterList ready;
  graph.Start(ready);
  ASSERT_EQ(ready.Size(), 2u);
  const std::vector<AgentId> far = {1};
  const std::vector<Pos> stay = {{20, 0}};
  int steps = 0;
  do {
    ready.Clear();
    graph.Commit(far, stay, ready);
    ++steps;
  } while (ready.Size() == 1);
  EXPECT_EQ(steps, 15);  // blocked when gap * 1 + 5 reaches 20
  EXPECT_EQ(graph.BaseStep(), 0);
  EXPECT_EQ(graph.FrontStep(), 15);
}

TEST(DependencyGraph, IsCompact) {
  const Space space(10000, 10000, Metric::kChebyshev);
  CounterRng rng(1);
  std::vector<Pos> start(100000);
  for (Pos& pos : start) {
    pos = {static_cast<int32_t>(rng.NextBelow(10000)), static_cast<int32_t>(rng.NextBelow(10000))};
  }
  const DependencyGraph graph(space, Rules{}, Coupling::kPaper, start, 10);
  EXPECT_LE(graph.Bytes() / graph.NumAgents(), 100u);
}

TEST(DependencyGraph, SpansHugeSpaces) {
  const Space space(INT32_MAX, INT32_MAX, Metric::kEuclid);
  const std::vector<Pos> start = {{0, 0}, {INT32_MAX - 1, INT32_MAX - 1}};
  DependencyGraph graph(space, Rules{}, Coupling::kPaper, start, 10);
  ClusterList ready;
  graph.Start(ready);
  EXPECT_EQ(ready.Size(), 2u);
}

TEST(DependencyGraph, RefusesWrongStarts) {
  const Space space(10, 10, Metric::kChebyshev);
  const std::vector<Pos> outside = {{3, 3}, {10, 0}};
  EXPECT_THROW(DependencyGraph(space, Rules{}, Coupling::kPaper, outside, 1), Error);
  EXPECT_THROW(DependencyGraph(space, Rules{}, Coupling::kPaper, {}, 1), Error);
  const std::vector<Pos> inside = {{3, 3}};
  const Rules negative = {-1, 1};
  EXPECT_THROW(DependencyGraph(space, negative, Coupling::kPaper, inside, 1), Error);
}

}  // namespace
}  // namespace throng::sim
