#include "trace/trace_world.h"

#include <algorithm>
#include <set>
#include <unordered_map>
#include <utility>
#include <variant>

#include "base/error.h"

namespace throng::trace {
namespace {

constexpr int kMaxVel = 1;
constexpr const char* kAsleep = "sleeping";  // as Generative Agents writes it in actions

// What a recorded agent would know that matters to scheduling: whom it has noticed doing what, and its
// conversations. Prompts carry a digest of it, so that an answer to a guess serves only an agent that really
// knows the same. Like an agent of Generative Agents, it notices who is near and what they do, not the exact
// tile; and like the prompts there, which quote what is remembered without the time, it does not depend on
// when that was, nor on whether it was seen again. Prompts that quote the schedule alone (QuotesMemory) carry
// what was known when a prompt last quoted memory: only answers to those can change the schedule.
class Memory : public sim::Mind {
 public:
  void Hash(Hasher& hasher) const override {
    hasher.Add(digest).Add(schedule);
    for (const uint64_t what : noticed) hasher.Add(what);
  }
  void Write(ByteWriter& out) const override {
    out.Add(digest).Add(schedule).Add(uint64_t{noticed.size()});
    for (const uint64_t what : noticed) out.Add(what);
  }
  static sim::MindPtr Read(ByteReader& in) {
    auto mind = std::make_shared<Memory>();
    mind->digest = in.GetDigest();
    mind->schedule = in.GetDigest();
    mind->noticed.resize(in.GetCount(sizeof(uint64_t)));
    for (uint64_t& what : mind->noticed) what = in.Get<uint64_t>();
    return mind;
  }

  Digest digest;                  // the sum of the digests of all it knows
  Digest schedule;                // `digest` when a prompt last quoted memory
  std::vector<uint64_t> noticed;  // of each agent and action, ascending
};

struct Noticed : sim::Intent {
  std::shared_ptr<const Memory> memory;
};

// Whether a prompt quotes what the agent has noticed or heard. In Generative Agents those that divide the
// schedule into hours and tasks, and that find place, object, emoji and event of an action, quote the
// schedule and the action alone.
bool QuotesMemory(std::string_view function) {
  return !function.starts_with("action_") && !function.starts_with("object_") &&
         function != "task_decomposition" && function != "hourly_schedule";
}

llm::Request RequestFrom(const TraceCall& call, const Digest& memory) {
  llm::Request request = RequestOf(call);
  request.prompt += " " + memory.Hex();
  return request;
}

class TraceWorld : public sim::World {
 public:
  TraceWorld(Trace trace, int radius_p)
      : trace_(std::move(trace)),
        space_(trace_.width, trace_.height, sim::Metric::kChebyshev),
        radius_p_(radius_p),
        mind_(std::make_shared<Memory>()) {
    for (const TraceConversation& conversation : trace_.conversations) {
      for (const sim::AgentId member : conversation.members) conversations_[member].push_back(&conversation);
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
      for (const sim::AgentId member : conversation.members) hasher.Add(member);
      for (const auto& [speaker, call] : conversation.turns) {
        hasher.Add(speaker);
        add_call(call);
      }
    }
    return hasher.Finish();
  }

  const sim::Space& GetSpace() const override { return space_; }
  sim::Rules GetRules() const override { return {radius_p_, kMaxVel}; }
  uint32_t NumAgents() const override { return static_cast<uint32_t>(trace_.agents.size()); }
  std::string AgentName(sim::AgentId agent) const override { return trace_.agents[agent].name; }
  sim::Body StartBody(sim::AgentId agent) const override { return BodyAt(agent, 0); }
  sim::MindPtr StartMind(sim::AgentId) const override { return mind_; }
  std::string MindForm() const override { return "memory 3"; }
  sim::MindPtr ReadMind(sim::AgentId, ByteReader& in) const override { return Memory::Read(in); }

  std::vector<sim::Link> Links() const override {
    std::vector<sim::Link> links;
    for (const TraceConversation& conversation : trace_.conversations) {
      const sim::AgentId first = conversation.members.front();
      const sim::Pos pos = trace_.agents[first].PosAt(conversation.step);
      for (const sim::AgentId other : conversation.members) {
        const sim::Pos other_pos = trace_.agents[other].PosAt(conversation.step);
        if (!space_.Within(pos, other_pos, radius_p_ + kMaxVel))
          links.push_back({conversation.step, first, other});
      }
    }
    return links;
  }

  std::vector<sim::Step> Barriers() const override {
    std::set<sim::Step> barriers;
    for (const TraceAgent& agent : trace_.agents) {
      for (size_t i = 1; i < agent.path.size(); ++i) {
        if (!space_.Within(agent.path[i - 1].second, agent.path[i].second, kMaxVel)) {
          barriers.insert(agent.path[i].first);
        }
      }
    }
    return {barriers.begin(), barriers.end()};
  }

  // Declares only sleep. A schedule fixes the end of sleep before it begins, and nobody wakes a sleeper by
  // talking; so from its first step in bed it counts as known that the sleeper lies there, and until when.
  // Plans of walks are not recorded, so nothing is declared about them.
  sim::Lookahead Declare(sim::AgentId agent, sim::Step step, const sim::Body& body,
                         const sim::MindPtr&) const override {
    if (!body.status.starts_with(kAsleep)) return {};
    const TraceAgent& trace = trace_.agents[agent];
    const auto is_after = [](sim::Step at, const auto& entry) { return at < entry.first; };
    const auto woken = std::upper_bound(trace.actions.begin(), trace.actions.end(), step, is_after);
    const sim::Step until = woken == trace.actions.end() ? trace_.num_steps : woken->first;
    const auto moved = std::upper_bound(trace.path.begin(), trace.path.end(), step, is_after);
    if (moved != trace.path.end() && moved->first <= until) return {};
    return {until, body.pos, body.pos};
  }

  Expectation Expect(sim::AgentId agent, sim::Step step, const sim::Body& body, const sim::MindPtr&,
                     sim::Step later) const override {
    const sim::Step until = trace_.agents[agent].PlannedUntil(step);
    if (until <= step) return {body, false};
    return {{trace_.agents[agent].PosAt(std::min(later, until - 1)), body.status}, later < until};
  }

  sim::Task<sim::IntentPtr> Proceed(const sim::View& view, sim::Caller& caller) const override {
    auto noticed = std::make_shared<Noticed>();
    noticed->memory = Notice(view);
    const std::vector<TraceChain>& chains = trace_.agents[view.Self()].chains;
    const auto chain =
        std::lower_bound(chains.begin(), chains.end(), view.Now(),
                         [](const TraceChain& entry, sim::Step step) { return entry.step < step; });
    if (chain != chains.end() && chain->step == view.Now()) {
      for (const TraceCall& call : chain->calls) {
        if (QuotesMemory(call.function)) noticed->memory = Remembered(noticed->memory);
        llm::Request request = RequestFrom(call, noticed->memory->schedule);
        co_await caller.Ask(std::move(request));
      }
    }
    co_return noticed;
  }

  sim::Task<void> Resolve(sim::Step step, const std::vector<sim::Member>& members,
                          sim::Commit& commit) const override {
    std::vector<std::shared_ptr<const Memory>> memories;
    for (const sim::Member& member : members) {
      memories.push_back(static_cast<const Noticed&>(*member.intent).memory);
    }
    std::vector<sim::Task<std::monostate>> talks;
    const std::vector<Talks> groups = TalksOf(step, members);
    for (const Talks& group : groups) talks.push_back(Hold(group, members, memories, commit));
    co_await sim::WhenAll(std::move(talks));
    for (size_t i = 0; i < members.size(); ++i) {
      const sim::Member& member = members[i];
      if (memories[i] != member.mind) commit.SetMind(member.id, memories[i]);
      sim::Body body = BodyAt(member.id, step + 1);
      if (!(body == member.body)) commit.SetBody(member.id, std::move(body));
    }
  }

 private:
  // The memory after this step's perception; the old one if nothing is new.
  static std::shared_ptr<const Memory> Notice(const sim::View& view) {
    auto old = std::static_pointer_cast<const Memory>(view.SelfMind());
    std::shared_ptr<Memory> memory;
    for (const sim::Neighbour& other : view.Neighbours()) {
      const Digest what = Hasher().Add(other.id).Add(other.body.status).Finish();
      if (std::binary_search(old->noticed.begin(), old->noticed.end(), what.low)) continue;
      if (memory == nullptr) memory = std::make_shared<Memory>(*old);
      memory->digest += what;
      memory->noticed.push_back(what.low);
    }
    if (memory == nullptr) return old;
    std::sort(memory->noticed.begin(), memory->noticed.end());
    return memory;
  }

  // The memory after a prompt that quoted it.
  static std::shared_ptr<const Memory> Remembered(std::shared_ptr<const Memory> memory) {
    if (memory->schedule == memory->digest) return memory;
    auto remembered = std::make_shared<Memory>(*memory);
    remembered->schedule = remembered->digest;
    return remembered;
  }

  using Talks = std::vector<const TraceConversation*>;

  // The conversations of this step, in groups that share no member; each group is ordered by lowest member.
  std::vector<Talks> TalksOf(sim::Step step, const std::vector<sim::Member>& members) const {
    std::vector<Talks> groups;
    for (const sim::Member& member : members) {
      const auto mine = conversations_.find(member.id);
      if (mine == conversations_.end()) continue;
      for (auto it = std::partition_point(mine->second.begin(), mine->second.end(),
                                          [&](const TraceConversation* c) { return c->step < step; });
           it != mine->second.end() && (*it)->step == step; ++it) {
        const bool is_known = std::any_of(groups.begin(), groups.end(), [&](const Talks& group) {
          return std::find(group.begin(), group.end(), *it) != group.end();
        });
        if (is_known) continue;
        Talks group;
        std::erase_if(groups, [&](Talks& other) {
          if (std::none_of(other.begin(), other.end(), [&](const auto* c) { return ShareMember(*c, **it); }))
            return false;
          group.insert(group.end(), other.begin(), other.end());
          return true;
        });
        std::stable_sort(group.begin(), group.end(), [](const auto* a, const auto* b) {
          return a->members.front() < b->members.front();
        });
        group.push_back(*it);
        groups.push_back(std::move(group));
      }
    }
    return groups;
  }

  static bool ShareMember(const TraceConversation& a, const TraceConversation& b) {
    return std::any_of(a.members.begin(), a.members.end(), [&](sim::AgentId id) {
      return std::binary_search(b.members.begin(), b.members.end(), id);
    });
  }

  sim::Task<std::monostate> Hold(const Talks& talks, const std::vector<sim::Member>& members,
                                 std::vector<std::shared_ptr<const Memory>>& memories,
                                 sim::Commit& commit) const {
    for (const TraceConversation* talk : talks) {
      const Digest digest = Join(*talk, members, memories);
      for (const auto& [speaker, call] : talk->turns) {
        llm::Request request = RequestFrom(call, digest);
        co_await commit.CallerOf(speaker).Ask(std::move(request));
      }
    }
    co_return std::monostate();
  }

  // Gives all members of a conversation its memory, the digest of what they bring to it, and returns that
  // digest. Throws if a member is missing, which only a guessed step can cause.
  Digest Join(const TraceConversation& conversation, const std::vector<sim::Member>& members,
              std::vector<std::shared_ptr<const Memory>>& memories) const {
    std::vector<size_t> present;
    for (size_t i = 0; i < members.size(); ++i) {
      const auto& all = conversation.members;
      if (std::binary_search(all.begin(), all.end(), members[i].id)) present.push_back(i);
    }
    if (present.size() != conversation.members.size()) {
      throw MakeError(ErrorCode::kInvalid, "step {}: agent {} misses a member of its conversation",
                      conversation.step, members[present.front()].id);
    }
    Hasher hasher;
    for (const size_t i : present) hasher.Add(members[i].id).Add(memories[i]->digest);
    const Digest joint = hasher.Finish();
    for (const size_t i : present) {
      auto memory = std::make_shared<Memory>(*memories[i]);
      memory->digest += joint;
      memories[i] = Remembered(std::move(memory));
    }
    return joint;
  }

  sim::Body BodyAt(sim::AgentId agent, sim::Step step) const {
    const TraceAgent& trace = trace_.agents[agent];
    return {trace.PosAt(step), std::string(trace.ActionAt(step))};
  }

  Trace trace_;
  sim::Space space_;
  int radius_p_;
  sim::MindPtr mind_;
  std::unordered_map<sim::AgentId, std::vector<const TraceConversation*>> conversations_;  // by member
};

}  // namespace

std::unique_ptr<sim::World> MakeTraceWorld(Trace trace, int radius_p) {
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

}  // namespace throng::trace
