#include "trace/stats.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>

namespace throng::trace {
namespace {

constexpr int kNear = 15;  // tiles

int32_t Distance(sim::Pos a, sim::Pos b) { return std::max(std::abs(a.x - b.x), std::abs(a.y - b.y)); }

class Collector {
 public:
  explicit Collector(const Trace& trace) : trace_(trace), of_agent_(trace.agents.size()) {}

  TraceStats Collect() {
    stats_.agents = trace_.agents.size();
    stats_.steps = static_cast<uint64_t>(trace_.num_steps);
    AddCalls();
    AddPositions();
    return std::move(stats_);
  }

 private:
  void Add(sim::AgentId agent, sim::Step step, const TraceCall& call) {
    ++stats_.calls;
    ++of_agent_[agent];
    stats_.prompt_tokens += static_cast<uint64_t>(call.prompt_tokens);
    stats_.output_tokens += static_cast<uint64_t>(call.output_tokens);
    prompt_squares_ += 1.0 * call.prompt_tokens * call.prompt_tokens;
    output_squares_ += 1.0 * call.output_tokens * call.output_tokens;
    ++stats_.calls_by_hour[static_cast<size_t>((start_ + int64_t{step} * trace_.sec_per_step) / 3600 % 24)];
    FunctionStats& function = functions_[call.function];
    ++function.calls;
    function.mean_prompt += call.prompt_tokens;
    function.mean_output += call.output_tokens;
  }

  void AddCalls() {
    for (sim::AgentId id = 0; id < trace_.agents.size(); ++id) {
      for (const TraceChain& chain : trace_.agents[id].chains) {
        ++stats_.active_steps;
        stats_.longest_chain = std::max(stats_.longest_chain, chain.calls.size());
        for (const TraceCall& call : chain.calls) Add(id, chain.step, call);
      }
    }
    stats_.conversations = trace_.conversations.size();
    for (const TraceConversation& conversation : trace_.conversations) {
      stats_.mean_turns +=
          static_cast<double>(conversation.turns.size()) / static_cast<double>(stats_.conversations);
      for (const auto& [speaker, call] : conversation.turns) Add(speaker, conversation.step, call);
    }
    for (auto& [name, function] : functions_) {
      function.function = name;
      function.mean_prompt /= static_cast<double>(function.calls);
      function.mean_output /= static_cast<double>(function.calls);
      stats_.functions.push_back(function);
    }
    std::stable_sort(stats_.functions.begin(), stats_.functions.end(),
                     [](const auto& a, const auto& b) { return a.calls > b.calls; });
    if (stats_.calls == 0) return;
    const auto n = static_cast<double>(stats_.calls);
    const auto deviation = [&](double squares, double mean) {
      return std::sqrt(std::max(0.0, squares / n - mean * mean));
    };
    stats_.sd_prompt = deviation(prompt_squares_, stats_.MeanPrompt());
    stats_.sd_output = deviation(output_squares_, stats_.MeanOutput());
    stats_.busiest_agent = static_cast<double>(*std::max_element(of_agent_.begin(), of_agent_.end())) *
                           static_cast<double>(stats_.agents) / n;
  }

  // Goes through the steps, recounting the agents near a moving agent; other counts stay.
  void AddPositions() {
    const auto n = static_cast<sim::AgentId>(trace_.agents.size());
    const int coupled = trace_.radius_p + 1;
    // Buckets are at least as wide as the distances counted, and not many more than agents, however large the
    // grid.
    const double per_agent = std::sqrt(1.0 * trace_.width * trace_.height / (4.0 * n));
    const int32_t side = std::max({coupled, kNear, static_cast<int32_t>(per_agent)});
    const int32_t columns = trace_.width / side + 1;
    const int32_t rows = trace_.height / side + 1;
    std::vector<std::vector<sim::AgentId>> buckets(static_cast<size_t>(columns) * static_cast<size_t>(rows));
    const auto bucket = [&](sim::Pos pos) -> std::vector<sim::AgentId>& {
      return buckets[static_cast<size_t>(pos.y / side * columns + pos.x / side)];
    };
    std::vector<sim::Pos> now(n);
    std::vector<size_t> next(n, 1);
    int64_t coupled_pairs = 0;  // ordered, at this step
    int64_t near_pairs = 0;
    // Adds or removes the agent; each other agent near it makes two ordered pairs.
    const auto count = [&](sim::AgentId agent, int sign) {
      const sim::Pos pos = now[agent];
      if (sign < 0) std::erase(bucket(pos), agent);
      for (int32_t y = std::max(0, pos.y / side - 1); y <= std::min(rows - 1, pos.y / side + 1); ++y) {
        for (int32_t x = std::max(0, pos.x / side - 1); x <= std::min(columns - 1, pos.x / side + 1); ++x) {
          for (const sim::AgentId other : buckets[static_cast<size_t>(y * columns + x)]) {
            const int32_t distance = Distance(pos, now[other]);
            if (distance <= coupled) coupled_pairs += 2 * sign;
            if (distance <= kNear) near_pairs += 2 * sign;
          }
        }
      }
      if (sign > 0) bucket(pos).push_back(agent);
    };
    for (sim::AgentId id = 0; id < n; ++id) {
      now[id] = trace_.agents[id].path.front().second;
      count(id, 1);
    }
    double all_coupled = 0;
    double all_near = 0;
    uint64_t moves = 0;
    for (sim::Step step = 0; step < trace_.num_steps; ++step) {
      for (sim::AgentId id = 0; id < n; ++id) {
        const auto& path = trace_.agents[id].path;
        if (next[id] == path.size() || path[next[id]].first != step) continue;
        const sim::Pos to = path[next[id]++].second;
        if (to == now[id]) continue;
        ++moves;
        stats_.longest_move = std::max(stats_.longest_move, Distance(now[id], to));
        count(id, -1);
        now[id] = to;
        count(id, 1);
      }
      all_coupled += static_cast<double>(coupled_pairs);
      all_near += static_cast<double>(near_pairs);
    }
    const double agent_steps = static_cast<double>(n) * trace_.num_steps;
    stats_.mean_coupled = 1 + all_coupled / agent_steps;
    stats_.mean_near = 1 + all_near / agent_steps;
    stats_.moving_share = static_cast<double>(moves) / agent_steps;
  }

  const Trace& trace_;
  TraceStats stats_;
  int64_t start_ = trace_.SecondOfDay(0);
  std::vector<uint64_t> of_agent_;  // calls, by agent
  std::map<std::string, FunctionStats, std::less<>> functions_;
  double prompt_squares_ = 0;
  double output_squares_ = 0;
};

}  // namespace

TraceStats StatsOf(const Trace& trace) { return Collector(trace).Collect(); }

}  // namespace throng::trace
