#include "trace/oracle.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "base/rng.h"
#include "llm/backends/fake.h"
#include "llm/backends/latency.h"
#include "trace/trace_world.h"

namespace throng::trace {
namespace {

constexpr int kRadius = 4;

// A call takes a second per output token on the servers of these tests.
TraceCall CallOf(int seconds) { return {"think", 100, seconds}; }
double SecondsOf(const llm::Request& request) { return request.known_output_tokens; }

Trace MakeTrace(sim::Step steps, const std::vector<std::vector<std::pair<sim::Step, sim::Pos>>>& paths) {
  Trace trace;
  trace.name = "t";
  trace.num_steps = steps;
  trace.width = 100;
  trace.height = 50;
  for (const auto& path : paths) {
    trace.agents.emplace_back().name = "agent " + std::to_string(trace.agents.size());
    trace.agents.back().path = path;
  }
  return trace;
}

std::vector<std::pair<uint32_t, uint32_t>> EdgesOf(const TrueDependencies& dependencies) {
  std::vector<std::pair<uint32_t, uint32_t>> edges;
  for (uint32_t node = 0; node < dependencies.NumNodes(); ++node) {
    for (const uint32_t successor : dependencies.Successors(node)) edges.emplace_back(node, successor);
  }
  return edges;
}

bool HasEdge(const TrueDependencies& dependencies, sim::AgentId from, sim::Step from_step, sim::AgentId to,
             sim::Step step) {
  const auto successors = dependencies.Successors(dependencies.NodeOf(from, from_step));
  return std::find(successors.begin(), successors.end(), dependencies.NodeOf(to, step)) != successors.end();
}

double Oracle(const Trace& trace) {
  llm::FakeLlm llm(SecondsOf);
  return RunOracle(trace, TrueDependencies(trace, kRadius, trace.num_steps), llm).backend_s;
}

double Ordered(const Trace& trace, sim::Mode mode) {
  llm::FakeLlm llm(SecondsOf);
  sim::RunOptions options;
  options.mode = mode;
  options.steps = trace.num_steps;
  return sim::RunWorld(*MakeTraceWorld(trace, kRadius), llm, options).stats.backend_s;
}

TEST(TrueDependencies, AgentsInViewDependOnEachOthersLastStep) {
  const TrueDependencies near(MakeTrace(3, {{{0, {10, 10}}}, {{0, {14, 6}}}}), kRadius, 3);
  EXPECT_EQ(near.NumEdges(), 4u);
  EXPECT_TRUE(HasEdge(near, 0, 0, 1, 1));
  EXPECT_TRUE(HasEdge(near, 1, 1, 0, 2));
  const TrueDependencies far(MakeTrace(3, {{{0, {10, 10}}}, {{0, {15, 10}}}}), kRadius, 3);
  EXPECT_EQ(far.NumEdges(), 0u);
}

TEST(TrueDependencies, WhoIsSeenToHaveLeftIsDependedOn) {
  // Agent 1 is in view until step 1, and gone at step 2: agent 0 sees that, and nothing later.
  const TrueDependencies left(MakeTrace(5, {{{0, {10, 10}}}, {{0, {14, 10}}, {2, {15, 10}}, {3, {16, 10}}}}),
                              kRadius, 5);
  EXPECT_TRUE(HasEdge(left, 1, 0, 0, 1));
  EXPECT_TRUE(HasEdge(left, 1, 1, 0, 2));
  EXPECT_FALSE(HasEdge(left, 1, 2, 0, 3));
  // Agent 1 leaves x = 15 in step 1, and x = 16 in step 2. Agent 0 sees x = 15 from step 4 on.
  const TrueDependencies trail(
      MakeTrace(6, {{{0, {10, 10}}, {4, {11, 10}}}, {{0, {15, 10}}, {2, {16, 10}}, {3, {17, 10}}}}), kRadius,
      6);
  EXPECT_EQ(EdgesOf(trail),
            (std::vector<std::pair<uint32_t, uint32_t>>{{trail.NodeOf(1, 1), trail.NodeOf(0, 4)}}));
}

TEST(TrueDependencies, MatchesTheDefinitionByBruteForce) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    CounterRng rng(seed, 1);
    const int radius = static_cast<int>(rng.NextBelow(4));
    Trace trace = MakeTrace(40, {});
    trace.width = 20;
    trace.height = 12;
    for (int i = 0; i < 6; ++i) {
      TraceAgent& agent = trace.agents.emplace_back();
      sim::Pos pos{static_cast<int32_t>(rng.NextBelow(20)), static_cast<int32_t>(rng.NextBelow(12))};
      agent.path.emplace_back(0, pos);
      for (sim::Step step = 1; step < 40; ++step) {
        if (rng.NextBelow(3) == 0) continue;
        const int reach = rng.NextBelow(20) == 0 ? 8 : 1;  // recordings jump where they were resumed
        const auto move = [&](int32_t from, int32_t size) {
          return std::clamp(from - reach + static_cast<int32_t>(rng.NextBelow(2 * reach + 1)), 0, size - 1);
        };
        const sim::Pos next{move(pos.x, 20), move(pos.y, 12)};
        if (next == pos) continue;
        pos = next;
        agent.path.emplace_back(step, pos);
      }
    }
    const TrueDependencies mined(trace, radius, 40);
    // Reachability, including each agent's own next step, must equal that of all reads after writes.
    const uint32_t n = mined.NumNodes();
    const auto closure = [&](std::vector<std::pair<uint32_t, uint32_t>> edges) {
      std::vector<std::vector<bool>> reaches(n, std::vector<bool>(n));
      for (uint32_t node = 0; node + 6 < n; ++node) edges.emplace_back(node, node + 6);
      std::sort(edges.begin(), edges.end(), std::greater<>());
      for (const auto& [from, to] : edges) {
        reaches[from][to] = true;
        for (uint32_t node = 0; node < n; ++node) {
          if (reaches[to][node]) reaches[from][node] = true;
        }
      }
      return reaches;
    };
    const sim::Space space(20, 12, sim::Metric::kChebyshev);
    std::vector<std::pair<uint32_t, uint32_t>> expected;
    for (sim::Step step = 1; step < 40; ++step) {
      for (sim::AgentId a = 0; a < 6; ++a) {
        const sim::Pos pos = trace.agents[a].PosAt(step);
        for (sim::AgentId b = 0; b < 6; ++b) {
          if (a == b) continue;
          const auto sees = [&](sim::Step at) {
            return space.Within(pos, trace.agents[b].PosAt(at), radius);
          };
          if (sees(step)) expected.emplace_back(mined.NodeOf(b, step - 1), mined.NodeOf(a, step));
          for (sim::Step at = 0; at < step; ++at) {
            if (sees(at) && trace.agents[b].PosAt(at + 1) != trace.agents[b].PosAt(at)) {
              expected.emplace_back(mined.NodeOf(b, at), mined.NodeOf(a, step));
            }
          }
        }
      }
    }
    EXPECT_EQ(closure(EdgesOf(mined)), closure(expected)) << "seed " << seed;
  }
}

TEST(Oracle, AgentsThatNeverMeetRunThroughAlone) {
  // Close enough to block out of order, never in view.
  Trace trace = MakeTrace(3, {{{0, {10, 10}}}, {{0, {15, 10}}}});
  trace.agents[0].chains = {{0, {CallOf(5)}}, {1, {CallOf(1)}}, {2, {CallOf(5)}}};
  trace.agents[1].chains = {{0, {CallOf(1)}}, {1, {CallOf(5), CallOf(2)}}, {2, {CallOf(1)}}};
  EXPECT_EQ(Oracle(trace), 11);
  EXPECT_EQ(Ordered(trace, sim::Mode::kOutOfOrder), 17);
  EXPECT_EQ(Ordered(trace, sim::Mode::kLockstep), 17);
  EXPECT_EQ(Ordered(trace, sim::Mode::kSingle), 20);
}

TEST(Oracle, AgentsInViewWaitForEachOther) {
  Trace trace = MakeTrace(3, {{{0, {10, 10}}}, {{0, {14, 10}}}});
  trace.agents[0].chains = {{0, {CallOf(5)}}, {1, {CallOf(1)}}, {2, {CallOf(5)}}};
  trace.agents[1].chains = {{0, {CallOf(1)}}, {1, {CallOf(5), CallOf(2)}}, {2, {CallOf(1)}}};
  EXPECT_EQ(Oracle(trace), 17);
}

TEST(Oracle, ConversationsBeginWhenAllMembersHaveCome) {
  Trace trace = MakeTrace(2, {{{0, {10, 10}}}, {{0, {60, 10}}}, {{0, {90, 10}}}});
  trace.agents[0].chains = {{0, {CallOf(3)}}, {1, {CallOf(1)}}};
  trace.agents[1].chains = {{0, {CallOf(7)}}};
  trace.agents[2].chains = {{0, {CallOf(2)}}, {1, {CallOf(2)}}};
  trace.conversations = {{0, {0, 1}, {{0, CallOf(4)}, {1, CallOf(5)}}}, {0, {1, 2}, {{2, CallOf(10)}}}};
  // 7, then 9 together; after that agent 0 continues with 1, and agents 1 and 2 with 10, then 2.
  EXPECT_EQ(Oracle(trace), 7 + 9 + 10 + 2);
  llm::FakeLlm llm(SecondsOf);
  const sim::RunStats stats = RunOracle(trace, TrueDependencies(trace, kRadius, 2), llm);
  EXPECT_EQ(stats.calls, trace.NumCalls());
  EXPECT_EQ(stats.agent_steps, 6u);
}

TEST(Oracle, WithoutDependenciesTheLongestCallRemains) {
  Trace trace = MakeTrace(3, {{{0, {10, 10}}}, {{0, {14, 10}}}});
  trace.agents[0].chains = {{0, {CallOf(5), CallOf(8)}}, {2, {CallOf(9)}}};
  trace.conversations = {{1, {0, 1}, {{0, CallOf(4)}, {1, CallOf(5)}}}};
  llm::FakeLlm llm(SecondsOf);
  const sim::RunStats stats = RunWithoutDependencies(trace, 3, llm);
  EXPECT_EQ(stats.backend_s, 9);
  EXPECT_EQ(stats.calls, 5u);
  EXPECT_EQ(RunWithoutDependencies(trace, 2, llm).calls, 4u);
}

// Random walks with calls and conversations, also between agents far apart.
Trace RandomTrace(uint64_t seed) {
  CounterRng rng(seed, 2);
  Trace trace = MakeTrace(30, {});
  trace.width = 40;
  trace.height = 20;
  const auto num_agents = 2 + rng.NextBelow(10);
  for (uint64_t i = 0; i < num_agents; ++i) {
    TraceAgent& agent = trace.agents.emplace_back();
    agent.name = "agent " + std::to_string(i);
    sim::Pos pos{static_cast<int32_t>(rng.NextBelow(40)), static_cast<int32_t>(rng.NextBelow(20))};
    for (sim::Step step = 0; step < 30; ++step) {
      if (step == 0 || rng.NextBelow(2) == 0) {
        pos.x = std::clamp(pos.x - 1 + static_cast<int32_t>(rng.NextBelow(3)), 0, 39);
        pos.y = std::clamp(pos.y - 1 + static_cast<int32_t>(rng.NextBelow(3)), 0, 19);
        agent.path.emplace_back(step, pos);
      }
      if (rng.NextBelow(4) > 0) continue;
      agent.chains.push_back({step, {}});
      for (auto n = 1 + rng.NextBelow(4); n > 0; --n) {
        agent.chains.back().calls.push_back(
            {"think", 50 + static_cast<int>(rng.NextBelow(900)), 1 + static_cast<int>(rng.NextBelow(60))});
      }
    }
  }
  for (sim::Step step = 3; step < 30; step += 5) {
    const auto first = static_cast<sim::AgentId>(rng.NextBelow(num_agents - 1));
    const auto second = static_cast<sim::AgentId>(first + 1 + rng.NextBelow(num_agents - first - 1));
    TraceConversation conversation{step, {first, second}, {}};
    for (int turn = 0; turn < 6; ++turn) {
      conversation.turns.emplace_back(turn % 2 == 0 ? first : second, TraceCall{"say", 300, 20});
    }
    trace.conversations.push_back(std::move(conversation));
  }
  return trace;
}

// Arithmetic is free: replicas never slow each other down, and there is one for each call in flight.
llm::LatencyOptions UnlimitedServer() {
  llm::LatencyOptions options;
  options.replicas = 512;
  return options;
}

RC_GTEST_PROP(Oracle, NoModeIsSlowerThanOneThatKnowsLess, ()) {
  const Trace trace = RandomTrace(*rc::gen::arbitrary<uint64_t>());
  const std::unique_ptr<sim::World> world = MakeTraceWorld(trace, kRadius);
  const TrueDependencies dependencies(trace, kRadius, trace.num_steps);
  const auto run = [&](sim::Mode mode) {
    llm::LatencyLlm llm(UnlimitedServer());
    sim::RunOptions options;
    options.mode = mode;
    options.steps = trace.num_steps;
    const sim::RunStats stats = sim::RunWorld(*world, llm, options).stats;
    RC_ASSERT(stats.calls == trace.NumCalls());
    return stats.backend_s;
  };
  llm::LatencyLlm oracle_llm(UnlimitedServer()), free_llm(UnlimitedServer());
  llm::FakeLlm ideal(llm::CostAlone(std::make_unique<llm::LatencyLlm>(UnlimitedServer())));
  const double single = run(sim::Mode::kSingle) + 1e-6;
  const double lockstep = run(sim::Mode::kLockstep);
  const double ooo = run(sim::Mode::kOutOfOrder);
  const sim::RunStats oracle = RunOracle(trace, dependencies, oracle_llm);
  const sim::RunStats critical = RunOracle(trace, dependencies, ideal);
  const sim::RunStats free = RunWithoutDependencies(trace, trace.num_steps, free_llm);
  RC_ASSERT(lockstep <= single);
  RC_ASSERT(ooo <= lockstep + 1e-6);
  RC_ASSERT(oracle.backend_s <= ooo + 1e-6);
  RC_ASSERT(critical.backend_s <= oracle.backend_s + 1e-6);
  RC_ASSERT(free.backend_s <= critical.backend_s + 1e-6);
  for (const sim::RunStats* stats : {&oracle, &critical, &free}) {
    RC_ASSERT(stats->calls == trace.NumCalls());
    RC_ASSERT(stats->agent_steps == trace.agents.size() * static_cast<size_t>(trace.num_steps));
  }
}

TEST(Oracle, RecordedMorningLiesBetweenItsBounds) {
  const std::string path = THRONG_SHARED_DIR "/traces/skip-morning-s-14_n25.jsonl.gz";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "there is no " << path;
  const Trace trace = LoadTrace(path);
  const TrueDependencies dependencies(trace, 8, trace.num_steps);
  llm::LatencyLlm server, ooo_server;
  const sim::RunStats oracle = RunOracle(trace, dependencies, server);
  llm::FakeLlm ideal(llm::CostAlone(std::make_unique<llm::LatencyLlm>()));
  const sim::RunStats critical = RunOracle(trace, dependencies, ideal);
  sim::RunOptions options;
  options.steps = trace.num_steps;
  const sim::RunStats ooo = sim::RunWorld(*MakeTraceWorld(trace, 8), ooo_server, options).stats;
  EXPECT_LE(critical.backend_s, oracle.backend_s);
  EXPECT_LE(oracle.backend_s, ooo.backend_s);
  EXPECT_EQ(oracle.prompt_tokens, ooo.prompt_tokens);
  EXPECT_EQ(oracle.output_tokens, ooo.output_tokens);
}

}  // namespace
}  // namespace throng::trace
