#include "trace/edit.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/error.h"

namespace throng::trace {
namespace {

// The entries of [from, until), renumbered to the new steps; the value in effect at `from` begins there.
template <typename Value>
std::vector<std::pair<sim::Step, Value>> CutHeld(const std::vector<std::pair<sim::Step, Value>>& held,
                                                 sim::Step from, sim::Step until) {
  std::vector<std::pair<sim::Step, Value>> cut;
  for (const auto& [step, value] : held) {
    if (step >= until) break;
    if (step <= from) cut.clear();
    cut.emplace_back(std::max(step - from, 0), value);
  }
  return cut;
}

}  // namespace

Trace CutTrace(const Trace& trace, sim::Step from, sim::Step until) {
  if (from < 0 || from >= until || until > trace.num_steps) {
    throw MakeError(ErrorCode::kInvalid, "{}: cannot cut steps {} to {}; it has 0 to {}", trace.name, from,
                    until, trace.num_steps);
  }
  Trace cut;
  cut.name = trace.name;
  cut.num_steps = until - from;
  cut.sec_per_step = trace.sec_per_step;
  cut.width = trace.width;
  cut.height = trace.height;
  cut.start = trace.start.After(int64_t{from} * trace.sec_per_step);
  cut.source = trace.source;
  cut.license = trace.license;
  cut.radius_p = trace.radius_p;
  for (const TraceAgent& agent : trace.agents) {
    TraceAgent& copy = cut.agents.emplace_back();
    copy.name = agent.name;
    copy.path = CutHeld(agent.path, from, until);
    copy.actions = CutHeld(agent.actions, from, until);
    copy.plans = CutHeld(agent.plans, from, until);
    for (auto& [step, planned_until] : copy.plans) planned_until = std::max(step, planned_until - from);
    for (const TraceChain& chain : agent.chains) {
      if (chain.step >= from && chain.step < until) copy.chains.push_back({chain.step - from, chain.calls});
    }
  }
  for (const TraceConversation& conversation : trace.conversations) {
    if (conversation.step < from || conversation.step >= until) continue;
    cut.conversations.push_back(conversation);
    cut.conversations.back().step -= from;
  }
  return cut;
}

Trace TileTraces(const std::vector<Trace>& traces, int copies) {
  THRONG_CHECK(!traces.empty() && copies >= 1);
  const Trace& first = traces.front();
  int32_t width = 0;
  int32_t height = 0;
  for (const Trace& trace : traces) {
    if (trace.num_steps != first.num_steps || trace.sec_per_step != first.sec_per_step ||
        trace.radius_p != first.radius_p || trace.SecondOfDay(0) != first.SecondOfDay(0)) {
      throw MakeError(
          ErrorCode::kInvalid,
          "{} has {} steps of {} s and radius {}, {} has {} of {} s and radius {}; towns side by side "
          "need the same, and the same time of start",
          first.name, first.num_steps, first.sec_per_step, first.radius_p, trace.name, trace.num_steps,
          trace.sec_per_step, trace.radius_p);
    }
    width = std::max(width, trace.width);
    height = std::max(height, trace.height);
  }
  const int columns =
      std::clamp(static_cast<int>(std::lround(std::sqrt(1.0 * copies * height / width))), 1, copies);
  Trace tiled;
  tiled.name = first.name;
  tiled.num_steps = first.num_steps;
  tiled.sec_per_step = first.sec_per_step;
  tiled.width = width * columns;
  tiled.height = height * ((copies + columns - 1) / columns);
  tiled.start = first.start;
  tiled.source = first.source;
  tiled.license = first.license;
  tiled.radius_p = first.radius_p;
  for (int copy = 0; copy < copies; ++copy) {
    const Trace& trace = traces[static_cast<size_t>(copy) % traces.size()];
    const auto first_id = static_cast<sim::AgentId>(tiled.agents.size());
    const int32_t left = width * (copy % columns);
    const int32_t top = height * (copy / columns);
    for (const TraceAgent& agent : trace.agents) {
      TraceAgent& added = tiled.agents.emplace_back(agent);
      if (copy > 0) added.name += fmt::format(" {}", copy + 1);
      for (auto& [step, pos] : added.path) pos = {pos.x + left, pos.y + top};
    }
    for (TraceConversation conversation : trace.conversations) {
      for (sim::AgentId& member : conversation.members) member += first_id;
      for (auto& [speaker, call] : conversation.turns) speaker += first_id;
      tiled.conversations.push_back(std::move(conversation));
    }
  }
  std::stable_sort(tiled.conversations.begin(), tiled.conversations.end(),
                   [](const auto& a, const auto& b) { return a.step < b.step; });
  return tiled;
}

}  // namespace throng::trace
