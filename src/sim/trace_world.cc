#include "sim/trace_world.h"

#include <algorithm>
#include <set>
#include <unordered_map>
#include <utility>

namespace throng::sim {
namespace {

constexpr int kMaxVel = 1;

// The trace knows what happened, so agents carry nothing.
class NoMind : public Mind {
 public:
  void Hash(Hasher&) const override {}
};

class NoIntent : public Intent {};

class TraceWorld : public World {
 public:
  TraceWorld(Trace trace, int radius_p)
      : trace_(std::move(trace)),
        space_(trace_.width, trace_.height, Metric::kChebyshev),
        radius_p_(radius_p),
        mind_(std::make_shared<NoMind>()),
        intent_(std::make_shared<NoIntent>()) {
    for (const TraceConversation& conversation : trace_.conversations) {
      conversations_[conversation.members.front()].push_back(&conversation);
    }
  }

  std::string Name() const override { return "replay"; }

  Digest ScenarioDigest() const override {
    Hasher hasher;
    hasher.Add(trace_.num_steps).Add(trace_.width).Add(trace_.height).Add(radius_p_);
    const auto add_call = [&](const TraceCall& call) {
      hasher.Add(call.function).Add(call.prompt_tokens).Add(call.output_tokens);
    };
    for (const TraceAgent& agent : trace_.agents) {
      hasher.Add(agent.name).Add(agent.path.size()).Add(agent.actions.size()).Add(agent.chains.size());
      for (const auto& [step, pos] : agent.path) hasher.Add(step).Add(pos.x).Add(pos.y);
      for (const auto& [step, action] : agent.actions) hasher.Add(step).Add(action);
      for (const TraceChain& chain : agent.chains) {
        hasher.Add(chain.step);
        for (const TraceCall& call : chain.calls) add_call(call);
      }
    }
    for (const TraceConversation& conversation : trace_.conversations) {
      hasher.Add(conversation.step).Add(conversation.members.size());
      for (const AgentId member : conversation.members) hasher.Add(member);
      for (const auto& [speaker, call] : conversation.turns) {
        hasher.Add(speaker);
        add_call(call);
      }
    }
    return hasher.Finish();
  }

  const Space& GetSpace() const override { return space_; }
  Rules GetRules() const override { return {radius_p_, kMaxVel}; }
  uint32_t NumAgents() const override { return static_cast<uint32_t>(trace_.agents.size()); }
  std::string AgentName(AgentId agent) const override { return trace_.agents[agent].name; }
  Body StartBody(AgentId agent) const override { return BodyAt(agent, 0); }
  MindPtr StartMind(AgentId) const override { return mind_; }

  std::vector<Link> Links() const override {
    std::vector<Link> links;
    for (const TraceConversation& conversation : trace_.conversations) {
      const AgentId first = conversation.members.front();
      const Pos pos = trace_.agents[first].PosAt(conversation.step);
      for (const AgentId other : conversation.members) {
        const Pos other_pos = trace_.agents[other].PosAt(conversation.step);
        if (!space_.Within(pos, other_pos, radius_p_ + kMaxVel))
          links.push_back({conversation.step, first, other});
      }
    }
    return links;
  }

  std::vector<Step> Barriers() const override {
    std::set<Step> barriers;
    for (const TraceAgent& agent : trace_.agents) {
      for (size_t i = 1; i < agent.path.size(); ++i) {
        if (!space_.Within(agent.path[i - 1].second, agent.path[i].second, kMaxVel)) {
          barriers.insert(agent.path[i].first);
        }
      }
    }
    return {barriers.begin(), barriers.end()};
  }

  Task<IntentPtr> Proceed(const View& view, Caller& caller) const override {
    const std::vector<TraceChain>& chains = trace_.agents[view.Self()].chains;
    const auto chain = std::lower_bound(chains.begin(), chains.end(), view.Now(),
                                        [](const TraceChain& entry, Step step) { return entry.step < step; });
    if (chain != chains.end() && chain->step == view.Now()) {
      for (const TraceCall& call : chain->calls) {
        llm::Request request = RequestOf(call);
        co_await caller.Ask(std::move(request));
      }
    }
    co_return intent_;
  }

  Task<void> Resolve(Step step, const std::vector<Member>& members, Commit& commit) const override {
    for (const Member& member : members) {
      const auto mine = conversations_.find(member.id);
      if (mine == conversations_.end()) continue;
      for (auto it = std::partition_point(mine->second.begin(), mine->second.end(),
                                          [&](const TraceConversation* c) { return c->step < step; });
           it != mine->second.end() && (*it)->step == step; ++it) {
        for (const auto& [speaker, call] : (*it)->turns) {
          llm::Request request = RequestOf(call);
          co_await commit.CallerOf(speaker).Ask(std::move(request));
        }
      }
    }
    for (const Member& member : members) {
      Body body = BodyAt(member.id, step + 1);
      if (!(body == member.body)) commit.SetBody(member.id, std::move(body));
    }
  }

 private:
  Body BodyAt(AgentId agent, Step step) const {
    const TraceAgent& trace = trace_.agents[agent];
    return {trace.PosAt(step), std::string(trace.ActionAt(step))};
  }

  Trace trace_;
  Space space_;
  int radius_p_;
  MindPtr mind_;
  IntentPtr intent_;
  std::unordered_map<AgentId, std::vector<const TraceConversation*>> conversations_;  // by lowest member
};

}  // namespace

std::unique_ptr<World> MakeTraceWorld(Trace trace, int radius_p) {
  return std::make_unique<TraceWorld>(std::move(trace), radius_p);
}

llm::Request RequestOf(const TraceCall& call) {
  llm::Request request;
  request.function = call.function;
  request.prompt = call.function;
  request.known_prompt_tokens = call.prompt_tokens;
  request.known_output_tokens = call.output_tokens;
  request.max_tokens = call.output_tokens;
  return request;
}

}  // namespace throng::sim
