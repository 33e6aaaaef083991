// A cluster's step in progress: what its members see, ask, intend and write, within the limits of the step.
#pragma once

#include <coroutine>
#include <cstdint>
#include <exception>
#include <functional>
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
  // The answer. Set before the waiter is resumed, which moves it out; if it is set when the call is issued,
  // the coroutine does not suspend.
  llm::Completion* answer = nullptr;
  std::coroutine_handle<> waiter;
  uint64_t id = 0;              // request id
  PendingCall* next = nullptr;  // next call in flight of this agent; the scheduler's list
  uint32_t number = 0;          // call number in the member's step
  llm::Kind kind = llm::Kind::kModel;
  bool is_elsewhere = false;  // no call, but what Caller::Await waits for; the fields around are not set
  std::string function;
  Digest request_digest;
  double issued_s = 0;  // on the backend's clock
};

// Sends requests to the backend and later resumes their waiters, or sets the answer at once.
class CallSink {
 public:
  virtual ~CallSink() = default;
  virtual void Submit(llm::Request&& request, PendingCall& call) = 0;
  // What Caller::Await began; never answered at once.
  virtual void Begin(const std::function<void(uint64_t id, bool guess)>& begin, PendingCall& call) = 0;
};

// Reads the state at the start of a cluster's step, for its members.
class StepReader {
 public:
  virtual ~StepReader() = default;
  // References stay valid until the step ends.
  virtual const Body& BodyOf(AgentId member) const = 0;
  virtual const MindPtr& MindOf(AgentId member) const = 0;
  virtual const Digest& MindDigest(AgentId member) const = 0;
  virtual std::vector<Neighbour> NeighboursOf(AgentId member, Step step) = 0;  // ordered by id
  virtual std::string CellFor(AgentId member, Pos pos, Step step) = 0;
  virtual std::vector<Announcement> AnnouncedAt(Step step, size_t known) const = 0;
  using PostVisitor = std::function<void(const Post&)>;
  virtual void VisitPosts(AgentId member, AgentId author, Step step, const PostVisitor& visit) = 0;
  virtual int64_t LikesAt(const PostId& post, Step step) const = 0;
  virtual std::vector<Message> MessagesFor(AgentId member, Step step) const = 0;
};

// Reads the confirmed state at the reader's step. The dependency graph guarantees that no agent in sight is
// at an earlier step.
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
  void VisitPosts(AgentId member, AgentId author, Step step, const PostVisitor& visit) override;
  int64_t LikesAt(const PostId& post, Step step) const override { return state_.Posts().LikesAt(post, step); }
  std::vector<Message> MessagesFor(AgentId member, Step step) const override {
    return state_.Posts().MessagesAt(member, step);
  }

 private:
  const DependencyGraph& graph_;
  const WorldState& state_;
};

struct LikeWrite {
  PostId post;
  int64_t amount;
};

struct MessageWrite {
  AgentId to;
  Message message;
};

// What a cluster writes while it resolves its step. Separate from ClusterRun because few clusters resolve at
// any moment, while many await answers.
struct CommitDraft {
  std::vector<MemberCommit> writes;  // parallel to the members
  std::vector<Event> events;
  std::vector<CellWrite> cells;
  std::vector<MemberCommit> born;
  std::vector<Event> announced;
  std::vector<Post> posts;
  std::vector<LikeWrite> likes;
  std::vector<MessageWrite> sent;
  CommitRecord record;
  std::vector<Member> members;  // Resolve's argument
  Task<void> resolve;           // last: its frame refers to the fields above
};

// Reuses drafts, so that a step allocates little and stays in the cache.
class DraftPool {
 public:
  std::unique_ptr<CommitDraft> Take();
  void GiveBack(std::unique_ptr<CommitDraft> draft);

 private:
  std::vector<std::unique_ptr<CommitDraft>> idle_;
};

// State shared by a run's clusters.
struct RunContext {
  const World& world;
  const Space& space;
  const DependencyGraph& graph;
  StepReader& reader;
  CallSink& sink;
  const Seeds seeds;
  const EffectOf& effect_of;  // empty: there are no tools
  DraftPool drafts{};
  std::span<RunObserver* const> observers{};  // of calls
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
  std::vector<Post> Posts(AgentId author) const override;
  std::vector<Post> Feed(size_t most, const std::function<int64_t(const Post&)>& score) const override;
  int64_t Likes(const PostId& post) const override;
  std::vector<Message> Messages() const override;

  Task<llm::Completion> Ask(llm::Request request) override {
    return AskBoxed(std::make_unique<llm::Request>(std::move(request)));
  }
  Task<std::string> Await(std::function<void(uint64_t id, bool guess)> begin) override;
  int LastCall() const override { return static_cast<int>(num_calls_) - 1; }

  ClusterRun& Cluster() const { return cluster_; }
  const Digest& CallsDigest() const { return calls_digest_; }

  void StartProceed();
  bool ProceedDone() const { return task_.Done(); }
  // Hint: Proceed will be resumed soon.
  void PrefetchProceed() const { task_.Prefetch(); }
  // Only when ProceedDone(): CheckProceed throws the agent's error, if any; TakeIntent takes the intent.
  void CheckProceed() const;
  IntentPtr TakeIntent() {
    IntentPtr intent = task_.Take();
    task_ = {};
    return intent;
  }

  PendingCall* first_call = nullptr;  // head of the scheduler's list of calls in flight

 private:
  // The request is freed once it is sent; the coroutine frame lives until the answer arrives.
  Task<llm::Completion> AskBoxed(std::unique_ptr<llm::Request> request);
  void Issue(std::unique_ptr<llm::Request> request, PendingCall& call);
  void NoteAnswer(const PendingCall& call);
  std::string Where() const;  // for messages

  ClusterRun& cluster_;
  AgentId agent_;
  uint32_t num_calls_ = 0;
  Digest calls_digest_;   // sum over this step's calls, each with its number and answer
  Task<IntentPtr> task_;  // last: its frame refers to the fields above
};

struct ClusterDeleter {
  void operator()(ClusterRun* cluster) const noexcept;
};
using ClusterPtr = std::unique_ptr<ClusterRun, ClusterDeleter>;

// One cluster's step. Its members follow it in the same block of memory.
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
  PostId AddPost(AgentId member, std::string text) override;
  void Like(AgentId member, const PostId& post, int64_t amount) override;
  void Send(AgentId member, AgentId to, std::string text) override;
  void Discard() override;

  std::span<MemberRun> Members() { return {reinterpret_cast<MemberRun*>(this + 1), num_members_}; }
  std::span<const MemberRun> Members() const {
    return {reinterpret_cast<const MemberRun*>(this + 1), num_members_};
  }

  const RunContext& Context() const { return context_; }
  Step GetStep() const { return step_; }

  // Starts the members' Proceed: all at once or, if serial, each after the previous one has ended. True when
  // all have ended.
  bool Advance(bool serial);
  // Call after resuming a coroutine of this member while Proceed runs.
  void OnProceedResumed(MemberRun& member);

  // Call after all Proceeds have ended. True if Resolve has ended too.
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
  std::span<Post> Posts() { return draft_->posts; }
  std::span<const LikeWrite> Likes() const { return draft_->likes; }
  std::span<MessageWrite> Sent() { return draft_->sent; }

  std::string Where() const;  // for error messages

 private:
  friend ClusterDeleter;

  ClusterRun(RunContext& context, std::span<const AgentId> members, Step step);
  ~ClusterRun();

  size_t IndexOf(AgentId member, const char* what) const;
  void CheckHorizon(AgentId member, const char* what) const;
  void CheckPosts(AgentId member, const char* what) const;
  void CheckLength(AgentId member, const char* what, const std::string& text) const;
  void CheckBorn();
  void DigestMembers();
  void DigestRecord();

  RunContext& context_;
  Step step_;
  uint32_t num_members_;
  uint32_t started_ = 0;
  uint32_t proceeded_ = 0;
  std::unique_ptr<CommitDraft> draft_;  // set while the cluster resolves
};

// Sorts cells by position and keeps only the last value written to each.
void SortCells(std::vector<CellWrite>& cells);

// Rethrows the exception being handled as an Error whose message starts with `where`; std::bad_alloc passes
// unchanged.
[[noreturn]] void RethrowFrom(const std::string& where);

// Whether what was thrown ends the run, on a guess too: somebody wants it to end (kCancelled), and will not
// say so again.
bool EndsRun(const std::exception& thrown);

// Whether the agent with this mind may read the posts of `author`: its own, or of one whom it follows. Throws
// kInvalid if not.
void CheckReadsPostsOf(const World& world, AgentId agent, const MindPtr& mind, AgentId author);

std::string DescribeAgent(const World& world, AgentId agent);  // "agent 3 (Ann)"

}  // namespace throng::sim
