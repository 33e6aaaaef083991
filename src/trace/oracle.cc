#include "trace/oracle.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <numeric>
#include <queue>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "trace/trace_world.h"

namespace throng::trace {
namespace {

double WallSeconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Calls in flight, and what they cost.
class Calls {
 public:
  explicit Calls(llm::Llm& llm) : llm_(llm), start_(llm.Now()), metered_until_(start_) {}

  // Wait returns `owner` when the call is answered.
  void Submit(const TraceCall& call, const llm::CallKey& key, size_t owner) {
    llm::Request request = RequestOf(call);
    request.id = ++last_id_;
    request.key = key;
    request.priority = key.step;
    llm_.Submit(std::move(request));
    Meter();
    in_flight_.emplace(last_id_, owner);
  }

  bool Idle() const { return in_flight_.empty(); }

  void Wait(std::vector<size_t>& owners) {
    done_.clear();
    llm_.Wait(done_);
    Meter();
    if (done_.empty()) {
      throw MakeError(ErrorCode::kUnavailable, "the backend has forgotten {} calls in flight",
                      in_flight_.size());
    }
    for (const llm::Completion& completion : done_) {
      if (completion.error) throw *completion.error;
      const auto found = in_flight_.find(completion.id);
      THRONG_CHECK(found != in_flight_.end());
      owners.push_back(found->second);
      in_flight_.erase(found);
      ++stats_.calls;
      stats_.prompt_tokens += static_cast<uint64_t>(completion.prompt_tokens);
      stats_.cached_prompt_tokens += static_cast<uint64_t>(completion.cached_prompt_tokens);
      stats_.output_tokens += static_cast<uint64_t>(completion.output_tokens);
    }
  }

  sim::RunStats Finish() {
    stats_.backend_s = llm_.Now() - start_;
    stats_.parallelism = stats_.backend_s > 0 ? in_flight_seconds_ / stats_.backend_s : 0;
    stats_.wall_s = WallSeconds() - wall_start_;
    return stats_;
  }

 private:
  void Meter() {
    const double now = llm_.Now();
    in_flight_seconds_ += (now - metered_until_) * static_cast<double>(in_flight_.size());
    metered_until_ = now;
  }

  llm::Llm& llm_;
  double start_;
  double metered_until_;
  double in_flight_seconds_ = 0;
  double wall_start_ = WallSeconds();
  uint64_t last_id_ = 0;
  std::unordered_map<uint64_t, size_t> in_flight_;  // owners by id
  std::vector<llm::Completion> done_;
  sim::RunStats stats_;
};

// The conversations before step `steps`, in the order in which Resolve holds them.
std::vector<const TraceConversation*> InOrder(const Trace& trace, sim::Step steps) {
  std::vector<const TraceConversation*> conversations;
  for (const TraceConversation& conversation : trace.conversations) {
    if (conversation.step < steps) conversations.push_back(&conversation);
  }
  std::stable_sort(conversations.begin(), conversations.end(), [](const auto* a, const auto* b) {
    return std::pair(a->step, a->members.front()) < std::pair(b->step, b->members.front());
  });
  return conversations;
}

// The groups that share a worker, by node. They ascend by step, then by their first agent.
std::vector<uint32_t> GroupsOf(const Trace& trace, const TrueDependencies& dependencies) {
  const uint32_t num_agents = dependencies.NumAgents();
  const sim::Space space(trace.width, trace.height, sim::Metric::kChebyshev);
  std::vector<uint32_t> first(dependencies.NumNodes());  // a smaller node of the group, or itself
  std::iota(first.begin(), first.end(), 0u);
  const auto root = [&](uint32_t node) {
    while (first[node] != node) node = first[node] = first[first[node]];
    return node;
  };
  const auto join = [&](uint32_t a, uint32_t b) {
    a = root(a), b = root(b);
    first[std::max(a, b)] = std::min(a, b);
  };
  std::vector<sim::Pos> at(num_agents);
  for (sim::Step step = 0; step < dependencies.NumSteps(); ++step) {
    for (sim::AgentId a = 0; a < num_agents; ++a) {
      at[a] = trace.agents[a].PosAt(step);
      for (sim::AgentId b = 0; b < a; ++b) {
        if (space.Within(at[a], at[b], dependencies.Radius()))
          join(dependencies.NodeOf(a, step), dependencies.NodeOf(b, step));
      }
    }
  }
  for (const TraceConversation* conversation : InOrder(trace, dependencies.NumSteps())) {
    for (const sim::AgentId member : conversation->members) {
      join(dependencies.NodeOf(conversation->members.front(), conversation->step),
           dependencies.NodeOf(member, conversation->step));
    }
  }
  for (uint32_t node = 0; node < first.size(); ++node) first[node] = root(node);
  return first;
}

class OracleRun {
 public:
  OracleRun(const Trace& trace, const TrueDependencies& dependencies, llm::Llm& llm, size_t pool);
  sim::RunStats Run();

 private:
  struct Agent {
    sim::Step step = 0;      // the one it runs or will run next
    size_t next_chain = 0;   // first chain of the trace that is not finished
    size_t next_call = 0;    // index in that chain
    uint32_t num_calls = 0;  // made in this step
    size_t talk = 0;         // conversations of the step that it has joined so far
  };
  struct Talk {
    const TraceConversation* conversation;
    size_t missing;  // members that have not joined yet
    size_t next_turn = 0;
  };

  // What a group does beside its other members: the node of an agent that thinks, or a conversation.
  struct Task {
    bool is_talk;
    uint32_t index;
  };
  struct Group {
    size_t active = 0;  // tasks under way
    std::vector<Task> waiting;
  };

  uint32_t GroupOf(uint32_t node) const { return groups_of_.empty() ? node : groups_of_[node]; }
  uint32_t GroupOf(const Task& task) const;
  void Add(const Task& task);
  void StartTasks();
  void Start(const Task& task);
  void End(const Task& task);
  void Begin(uint32_t node);
  void NextCall(sim::AgentId id);
  void Join(sim::AgentId id);
  void NextTurn(size_t talk);
  void Finish(uint32_t node);
  void Release(uint32_t node);
  void Submit(const TraceCall& call, sim::AgentId id, size_t owner);

  const Trace& trace_;
  const TrueDependencies& dependencies_;
  Calls calls_;
  size_t pool_;                                 // groups at once; 0: no limit
  std::vector<uint32_t> groups_of_;             // by node; empty: each node is alone
  std::unordered_map<uint32_t, Group> groups_;  // that wait or are under way
  size_t busy_ = 0;                             // groups under way
  std::vector<uint32_t> missing_;               // by node: unfinished predecessors
  std::vector<Agent> agents_;
  std::vector<Talk> talks_;
  std::unordered_map<uint32_t, std::vector<size_t>> talks_of_;  // by node
  std::vector<Task> taken_;                                     // by groups under way, not begun
  // Groups that wait for a worker. Smaller steps first, then smaller ids.
  std::priority_queue<uint32_t, std::vector<uint32_t>, std::greater<>> ready_;
  uint32_t done_ = 0;
};

OracleRun::OracleRun(const Trace& trace, const TrueDependencies& dependencies, llm::Llm& llm, size_t pool)
    : trace_(trace),
      dependencies_(dependencies),
      calls_(llm),
      pool_(pool),
      groups_of_(pool > 0 ? GroupsOf(trace, dependencies) : std::vector<uint32_t>()),
      missing_(dependencies.NumNodes()),
      agents_(dependencies.NumAgents()) {
  for (uint32_t node = 0; node < dependencies.NumNodes(); ++node) {
    if (dependencies.StepOf(node) > 0) ++missing_[node];
    for (const uint32_t successor : dependencies.Successors(node)) ++missing_[successor];
  }
  for (const TraceConversation* conversation : InOrder(trace, dependencies.NumSteps())) {
    for (const sim::AgentId member : conversation->members) {
      talks_of_[dependencies.NodeOf(member, conversation->step)].push_back(talks_.size());
    }
    talks_.push_back({conversation, conversation->members.size()});
  }
}

sim::RunStats OracleRun::Run() {
  for (sim::AgentId id = 0; id < dependencies_.NumAgents() && id < dependencies_.NumNodes(); ++id)
    Add({false, id});
  std::vector<size_t> owners;
  while (true) {
    StartTasks();
    if (calls_.Idle()) break;
    owners.clear();
    calls_.Wait(owners);
    for (const size_t owner : owners) {
      if (owner < agents_.size()) {
        NextCall(static_cast<sim::AgentId>(owner));
      } else {
        NextTurn(owner - agents_.size());
      }
    }
  }
  THRONG_CHECK(done_ == dependencies_.NumNodes());
  sim::RunStats stats = calls_.Finish();
  stats.agent_steps = done_;
  return stats;
}

uint32_t OracleRun::GroupOf(const Task& task) const {
  if (!task.is_talk) return GroupOf(task.index);
  const TraceConversation& conversation = *talks_[task.index].conversation;
  return GroupOf(dependencies_.NodeOf(conversation.members.front(), conversation.step));
}

// A group that is under way takes the task at once.
void OracleRun::Add(const Task& task) {
  const uint32_t id = GroupOf(task);
  Group& group = groups_[id];
  if (group.active > 0) {
    ++group.active;
    taken_.push_back(task);
  } else {
    if (group.waiting.empty()) ready_.push(id);
    group.waiting.push_back(task);
  }
}

void OracleRun::StartTasks() {
  while (true) {
    if (taken_.empty()) {
      if (ready_.empty() || (pool_ > 0 && busy_ == pool_)) return;
      Group& group = groups_[ready_.top()];
      ready_.pop();
      ++busy_;
      group.active = group.waiting.size();
      taken_.swap(group.waiting);
    }
    for (const Task& task : std::exchange(taken_, {})) Start(task);
  }
}

void OracleRun::Start(const Task& task) {
  if (task.is_talk) {
    NextTurn(task.index);
  } else {
    Begin(task.index);
  }
}

// Its agents may go on waiting for others of their conversation: until then the worker is free.
void OracleRun::End(const Task& task) {
  const auto group = groups_.find(GroupOf(task));
  if (--group->second.active > 0) return;
  --busy_;
  groups_.erase(group);
}

void OracleRun::Begin(uint32_t node) {
  const sim::AgentId id = dependencies_.AgentOf(node);
  Agent& agent = agents_[id];
  agent.step = dependencies_.StepOf(node);
  agent.next_call = 0;
  agent.num_calls = 0;
  agent.talk = 0;
  NextCall(id);
}

void OracleRun::NextCall(sim::AgentId id) {
  Agent& agent = agents_[id];
  const std::vector<TraceChain>& chains = trace_.agents[id].chains;
  if (agent.next_chain < chains.size() && chains[agent.next_chain].step == agent.step) {
    const std::vector<TraceCall>& calls = chains[agent.next_chain].calls;
    if (agent.next_call < calls.size()) {
      Submit(calls[agent.next_call++], id, id);
      return;
    }
    ++agent.next_chain;
  }
  Join(id);
  End({false, dependencies_.NodeOf(id, agent.step)});
}

// The agent has made its own calls of this step: it goes to its next conversation.
void OracleRun::Join(sim::AgentId id) {
  const uint32_t node = dependencies_.NodeOf(id, agents_[id].step);
  const auto talks = talks_of_.find(node);
  if (talks == talks_of_.end() || agents_[id].talk == talks->second.size()) {
    Finish(node);
    return;
  }
  const size_t talk = talks->second[agents_[id].talk++];
  if (--talks_[talk].missing == 0) Add({true, static_cast<uint32_t>(talk)});
}

void OracleRun::NextTurn(size_t talk) {
  const TraceConversation& conversation = *talks_[talk].conversation;
  if (talks_[talk].next_turn < conversation.turns.size()) {
    const auto& [speaker, call] = conversation.turns[talks_[talk].next_turn++];
    Submit(call, speaker, agents_.size() + talk);
    return;
  }
  for (const sim::AgentId member : conversation.members) Join(member);
  End({true, static_cast<uint32_t>(talk)});
}

void OracleRun::Finish(uint32_t node) {
  ++done_;
  if (dependencies_.StepOf(node) + 1 < dependencies_.NumSteps()) Release(node + dependencies_.NumAgents());
  for (const uint32_t successor : dependencies_.Successors(node)) Release(successor);
}

void OracleRun::Release(uint32_t node) {
  if (--missing_[node] == 0) Add({false, node});
}

void OracleRun::Submit(const TraceCall& call, sim::AgentId id, size_t owner) {
  Agent& agent = agents_[id];
  calls_.Submit(call, {id, agent.step, agent.num_calls++}, owner);
}

}  // namespace

sim::RunStats RunOracle(const Trace& trace, const TrueDependencies& dependencies, llm::Llm& llm,
                        size_t pool) {
  return OracleRun(trace, dependencies, llm, pool).Run();
}

sim::RunStats RunWithoutDependencies(const Trace& trace, sim::Step steps, llm::Llm& llm) {
  Calls calls(llm);
  std::unordered_map<uint64_t, uint32_t> num_calls;  // by step and agent
  const auto submit = [&](const TraceCall& call, sim::AgentId id, sim::Step step) {
    uint32_t& index = num_calls[static_cast<uint64_t>(step) << 32 | id];
    calls.Submit(call, {id, step, index++}, 0);
  };
  for (sim::AgentId id = 0; id < trace.agents.size(); ++id) {
    for (const TraceChain& chain : trace.agents[id].chains) {
      if (chain.step >= steps) break;
      for (const TraceCall& call : chain.calls) submit(call, id, chain.step);
    }
  }
  for (const TraceConversation* conversation : InOrder(trace, steps)) {
    for (const auto& [speaker, call] : conversation->turns) submit(call, speaker, conversation->step);
  }
  std::vector<size_t> owners;
  while (!calls.Idle()) calls.Wait(owners);
  sim::RunStats stats = calls.Finish();
  stats.agent_steps = trace.agents.size() * static_cast<uint64_t>(steps);
  return stats;
}

}  // namespace throng::trace
