// One cluster's step while it runs: what its members see, ask, want and write, inside the regions that the
// step allows.
#pragma once

#include <coroutine>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/digest.h"
#include "llm/llm.h"
#include "sim/dependency_graph.h"
#include "sim/frame_pool.h"
#include "sim/run_observer.h"
#include "sim/seeds.h"
#include "sim/world.h"
#include "sim/world_state.h"

namespace throng::sim {

class ClusterRun;
class MemberRun;

// A call from its issue to its completion; lives in the frame of the coroutine that awaits it.
struct PendingCall {
  explicit PendingCall(MemberRun& member) : member(member) {}

  bool await_ready() const noexcept { return answer != nullptr; }
  void await_suspend(std::coroutine_handle<> handle) noexcept { waiter = handle; }
  void await_resume() const noexcept {}

  MemberRun& member;
  // Where the answer is when the waiter is resumed, which takes it from there; set at the issue, nobody
  // waits.
  llm::Completion* answer = nullptr;
  std::coroutine_handle<> waiter;
  uint64_t id = 0;              // the request's, and
  PendingCall* next = nullptr;  // another call of this agent: the scheduler's
  uint32_t number = 0;          // of the member's calls in this step
  std::string function;
  Digest request_digest;
  double issued_s = 0;  // on the backend's clock
};

// Hands requests to the backend, and later resumes their waiters; or has the answer at once.
class CallSink {
 public:
  virtual ~CallSink() = default;
  virtual void Submit(llm::Request&& request, PendingCall& call) = 0;
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

// What a cluster writes while it resolves its step: few clusters do at any moment, but many await answers
// before it.
struct CommitDraft {
  std::vector<MemberCommit> writes;  // parallel to the members
  std::vector<Event> events;
  std::vector<CellWrite> cells;
  std::vector<MemberCommit> born;
  std::vector<Event> announced;
  CommitRecord record;
  std::vector<Member> members;  // as Resolve gets them
  Task<void> resolve;           // last: its frame refers to the rest
};

// Drafts that are used again and again, so that a step allocates little and stays in the cache.
class DraftPool {
 public:
  std::unique_ptr<CommitDraft> Take();
  void GiveBack(std::unique_ptr<CommitDraft> draft);

 private:
  std::vector<std::unique_ptr<CommitDraft>> idle_;
};

// What a run's clusters share.
struct RunContext {
  const World& world;
  const Space& space;
  const DependencyGraph& graph;
  StepReader& reader;
  CallSink& sink;
  const Seeds seeds;
  DraftPool drafts{};
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

  Task<llm::Completion> Ask(llm::Request request) override {
    return AskBoxed(std::make_unique<llm::Request>(std::move(request)));
  }

  ClusterRun& Cluster() const { return cluster_; }
  const Digest& CallsDigest() const { return calls_digest_; }

  void StartProceed();
  bool ProceedDone() const { return task_.Done(); }
  // It will be resumed soon.
  void PrefetchProceed() const { task_.Prefetch(); }
  // Once it is done: throws the agent's error, if there is one, or takes the intent.
  void CheckProceed() const;
  IntentPtr TakeIntent() {
    IntentPtr intent = task_.Take();
    task_ = {};
    return intent;
  }

  PendingCall* first_call = nullptr;  // in flight: the scheduler's list

 private:
  // The frame lives until the answer is there, the request only until it is sent.
  Task<llm::Completion> AskBoxed(std::unique_ptr<llm::Request> request);
  void Issue(std::unique_ptr<llm::Request> request, PendingCall& call);
  void NoteAnswer(const PendingCall& call);

  ClusterRun& cluster_;
  AgentId agent_;
  uint32_t num_calls_ = 0;
  Digest calls_digest_;   // of this step's calls with their answers, in order of issue within one coroutine
  Task<IntentPtr> task_;  // last: its frame refers to the rest
};

struct ClusterDeleter {
  void operator()(ClusterRun* cluster) const noexcept;
};
using ClusterPtr = std::unique_ptr<ClusterRun, ClusterDeleter>;

// Its members lie behind it in the same block of memory.
class ClusterRun final : public Commit {
 public:
  static ClusterPtr Make(RunContext& context, std::span<const AgentId> members, Step step);
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

  std::span<MemberRun> Members() { return {reinterpret_cast<MemberRun*>(this + 1), num_members_}; }
  std::span<const MemberRun> Members() const {
    return {reinterpret_cast<const MemberRun*>(this + 1), num_members_};
  }

  const RunContext& Context() const { return context_; }
  Step GetStep() const { return step_; }

  // Starts members' Proceed: all of them, or (serial) the next one whenever the one before has ended. True
  // when all have ended.
  bool Advance(bool serial);
  // To be called when a coroutine of this member was resumed while Proceed runs.
  void OnProceedResumed(MemberRun& member);

  // After Proceed. True when it has ended.
  bool StartResolve();
  bool IsResolving() const { return draft_ != nullptr; }
  bool ResolveDone() const { return draft_->resolve.Done(); }
  // Throws Resolve's error, or completes the record.
  void FinishResolve(bool with_digest);

  CommitRecord& Record() { return draft_->record; }
  std::span<MemberCommit> Writes() { return draft_->writes; }
  std::span<CellWrite> Cells() { return draft_->cells; }
  std::span<MemberCommit> Born() { return draft_->born; }
  std::span<const Event> Announced() const { return draft_->announced; }

  std::string Where() const;  // for error messages

 private:
  friend ClusterDeleter;

  ClusterRun(RunContext& context, std::span<const AgentId> members, Step step);
  ~ClusterRun();

  size_t IndexOf(AgentId member, const char* what) const;
  void CheckBorn();
  void DigestMembers();
  void DigestRecord();

  RunContext& context_;
  Step step_;
  uint32_t num_members_;
  uint32_t started_ = 0;
  uint32_t proceeded_ = 0;
  std::unique_ptr<CommitDraft> draft_;  // while it resolves
};

// Orders cells by position, and leaves the last value written to each.
void SortCells(std::vector<CellWrite>& cells);

// Throws the exception being handled again as an Error that says where.
[[noreturn]] void RethrowFrom(const std::string& where);

std::string DescribeAgent(const World& world, AgentId agent);  // "agent 3 (Ann)"

}  // namespace throng::sim
