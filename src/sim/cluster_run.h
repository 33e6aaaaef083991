// One cluster's step while it runs: what its members see, ask, want and write, inside the regions that the
// step allows.
#pragma once

#include <coroutine>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/digest.h"
#include "llm/llm.h"
#include "sim/dependency_graph.h"
#include "sim/scheduler.h"
#include "sim/world.h"
#include "sim/world_state.h"

namespace throng::sim {

class ClusterRun;
class MemberRun;

// A call from its issue to its completion; lives in the frame of the coroutine that awaits it.
struct PendingCall {
  explicit PendingCall(MemberRun& member) : member(member) {}

  bool await_ready() const noexcept { return answered; }
  void await_suspend(std::coroutine_handle<> handle) noexcept { waiter = handle; }
  void await_resume() const noexcept {}

  MemberRun& member;
  llm::Completion completion;
  std::coroutine_handle<> waiter;
  bool answered = false;  // at its issue: nobody waits
  std::string function;
  Digest request_digest;
  double issued_s = 0;  // on the backend's clock
};

// Hands requests to the backend, and later resumes their waiters; or has the answer at once.
class CallSink {
 public:
  virtual ~CallSink() = default;
  virtual void Submit(llm::Request request, PendingCall& call) = 0;
};

// Where the members of a cluster read the state at the start of their step.
class StepReader {
 public:
  virtual ~StepReader() = default;
  // References hold until the step ends.
  virtual const Body& BodyOf(AgentId member) const = 0;
  virtual const MindPtr& MindOf(AgentId member) const = 0;
  virtual const Digest& MindDigest(AgentId member) const = 0;
  virtual std::vector<Neighbour> NeighboursOf(AgentId member, Step step) = 0;  // ordered by id
  virtual std::string CellFor(AgentId member, Pos pos, Step step) = 0;
  virtual std::vector<Announcement> AnnouncedAt(Step step, size_t known) const = 0;
};

// The confirmed state. Agents at other steps are out of sight: that is what the dependency graph guarantees.
class ConfirmedReader final : public StepReader {
 public:
  ConfirmedReader(const DependencyGraph& graph, const WorldState& state) : graph_(graph), state_(state) {}
  const Body& BodyOf(AgentId member) const override { return state_.BodyOf(member); }
  const MindPtr& MindOf(AgentId member) const override { return state_.MindOf(member); }
  const Digest& MindDigest(AgentId member) const override { return state_.MindDigest(member); }
  std::vector<Neighbour> NeighboursOf(AgentId member, Step step) override;
  std::string CellFor(AgentId member, Pos pos, Step step) override;
  std::vector<Announcement> AnnouncedAt(Step step, size_t known) const override {
    return state_.AnnouncedAt(step, known);
  }

 private:
  const DependencyGraph& graph_;
  const WorldState& state_;
};

// What a run's clusters share.
struct RunContext {
  const World& world;
  const Space& space;
  const DependencyGraph& graph;
  StepReader& reader;
  CallSink& sink;
  const Seeds seeds;
};

// One member: its view, its calls, its intent.
class MemberRun final : public View, public Caller {
 public:
  MemberRun(ClusterRun& cluster, AgentId agent) : cluster_(cluster), agent_(agent) {}

  AgentId Self() const override { return agent_; }
  Step Now() const override;
  const Body& SelfBody() const override;
  const MindPtr& SelfMind() const override;
  std::vector<Neighbour> Neighbours() const override;
  std::string Cell(Pos pos) const override;
  std::vector<Announcement> Announced(size_t known) const override;

  Task<llm::Completion> Ask(llm::Request request) override;

  ClusterRun& Cluster() const { return cluster_; }
  const Digest& CallsDigest() const { return calls_digest_; }

  void StartProceed();
  bool ProceedDone() const { return task_.Done(); }
  // Takes the intent, or throws the agent's error.
  void FinishProceed();
  const IntentPtr& GetIntent() const { return intent_; }

 private:
  ClusterRun& cluster_;
  AgentId agent_;
  uint32_t num_calls_ = 0;
  Digest calls_digest_;  // of this step's calls with their answers, in order of issue within one coroutine
  IntentPtr intent_;
  Task<IntentPtr> task_;  // last: its frame refers to the rest
};

class ClusterRun final : public Commit {
 public:
  explicit ClusterRun(const RunContext& context) : context_(context) {}
  ClusterRun(const ClusterRun&) = delete;
  ClusterRun& operator=(const ClusterRun&) = delete;

  void SetBody(AgentId member, Body body) override;
  void SetMind(AgentId member, MindPtr mind) override;
  void WriteCell(Pos pos, std::string value) override;
  void AddEvent(Event event) override;
  Caller& CallerOf(AgentId member) override;
  void Birth(AgentId id, Body body, MindPtr mind) override;
  void Remove(AgentId member) override;
  void Announce(AgentId member, std::string text) override;

  // Makes this the step of another cluster; the memory of the last one is used again.
  void Begin(std::span<const AgentId> members, Step step);
  void End();  // lets go of coroutines, minds, intents and what was written
  std::vector<AgentId> MemberIds() const;

  const RunContext& Context() const { return context_; }
  Step GetStep() const { return step_; }

  // Starts members' Proceed: all of them, or (serial) the next one whenever the one before has ended. True
  // when all have ended.
  bool Advance(bool serial);
  // To be called when a coroutine of this member was resumed while Proceed runs.
  void OnProceedResumed(MemberRun& member);

  // After Proceed. True when it has ended.
  bool StartResolve();
  bool IsResolving() const { return resolving_; }
  bool ResolveDone() const { return resolve_.Done(); }
  // Throws Resolve's error, or completes the record.
  void FinishResolve(bool with_digest);

  CommitRecord& Record() { return record_; }
  std::span<MemberCommit> Writes() { return writes_; }
  std::span<CellWrite> Cells() { return cells_; }
  std::span<MemberCommit> Born() { return born_; }
  std::span<const Event> Announced() const { return announced_; }

  std::string Where() const;  // for error messages

 private:
  size_t IndexOf(AgentId member, const char* what) const;
  void CheckBorn();
  void DigestMembers();
  void DigestRecord();

  const RunContext& context_;
  Step step_ = 0;
  std::vector<MemberRun> members_;  // does not grow after Begin: coroutines refer to its elements
  size_t started_ = 0;
  size_t proceeded_ = 0;
  bool resolving_ = false;

  std::vector<MemberCommit> writes_;  // parallel to members_
  std::vector<Event> events_;
  std::vector<CellWrite> cells_;
  std::vector<MemberCommit> born_;
  std::vector<Event> announced_;
  CommitRecord record_;
  std::vector<Member> resolve_members_;
  Task<void> resolve_;  // last: its frame refers to the rest
};

// Orders cells by position, and leaves the last value written to each.
void SortCells(std::vector<CellWrite>& cells);

// Throws the exception being handled again as an Error that says where.
[[noreturn]] void RethrowFrom(const std::string& where);

std::string DescribeAgent(const World& world, AgentId agent);  // "agent 3 (Ann)"

// Of everything that the answer to a request depends on; not of its key's order or priority.
Digest DigestOfRequest(const llm::Request& request);

}  // namespace throng::sim
