#include "sim/cluster_run.h"

#include <algorithm>
#include <memory>
#include <new>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "llm/request_digest.h"

namespace throng::sim {

namespace {

// Names at most this many members in an error message.
constexpr size_t kMaxNamed = 4;

}  // namespace

void RethrowFrom(const std::string& where) {
  try {
    throw;
  } catch (const Error& error) {
    throw MakeError(error.Code(), "{}: {}", where, error.what());
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    throw MakeError(ErrorCode::kInvalid, "{}: {}", where, error.what());
  } catch (...) {
    throw MakeError(ErrorCode::kInvalid, "{}: the world threw what is no std::exception", where);
  }
}

bool EndsRun(const std::exception& thrown) {
  const auto* const error = dynamic_cast<const Error*>(&thrown);
  return error != nullptr && error->Code() == ErrorCode::kCancelled;
}

std::string DescribeAgent(const World& world, AgentId agent) {
  return fmt::format("agent {} ({})", agent, world.AgentName(agent));
}

void CheckReadsPostsOf(const World& world, AgentId agent, const MindPtr& mind, AgentId author) {
  const std::span<const AgentId> follows =
      world.GetPostRules().latency > 0 ? world.Follows(agent, mind) : std::span<const AgentId>();
  if (author == agent || std::binary_search(follows.begin(), follows.end(), author)) return;
  throw MakeError(ErrorCode::kInvalid, "{} reads posts of agent {}, whom it does not follow",
                  DescribeAgent(world, agent), author);
}

// ConfirmedReader

std::vector<Neighbour> ConfirmedReader::NeighboursOf(AgentId member, Step step) {
  std::vector<AgentId> ids;
  graph_.FindPerceived(member, ids);
  std::sort(ids.begin(), ids.end());
  std::vector<Neighbour> neighbours;
  neighbours.reserve(ids.size());
  for (const AgentId id : ids) {
    if (id == member) continue;
    if (const Body* body = state_.FindBodyAt(id, step)) neighbours.push_back({id, *body});
  }
  return neighbours;
}

std::string ConfirmedReader::CellFor(AgentId, Pos pos, Step step) {
  const std::string* value = state_.CellAt(pos, step);
  return value == nullptr ? std::string() : *value;
}

void ConfirmedReader::VisitPosts(AgentId, AgentId author, Step step, const PostVisitor& visit) {
  const PostBoard& posts = state_.Posts();
  THRONG_CHECK(graph_.StepOf(author) > step - posts.GetRules().latency);  // else a post may be missing
  posts.VisitPosts(author, step, visit);
}

// MemberRun

Step MemberRun::Now() const { return cluster_.GetStep(); }
const Body& MemberRun::SelfBody() const { return cluster_.Context().reader.BodyOf(agent_); }
const MindPtr& MemberRun::SelfMind() const { return cluster_.Context().reader.MindOf(agent_); }

std::vector<Neighbour> MemberRun::Neighbours() const {
  return cluster_.Context().reader.NeighboursOf(agent_, Now());
}

std::string MemberRun::Cell(Pos pos) const {
  const RunContext& context = cluster_.Context();
  const Pos self = SelfBody().pos;
  const int radius = context.graph.RulesOf(agent_).radius_p;
  if (!context.space.Contains(pos) || !context.space.Within(self, pos, radius)) {
    throw MakeError(ErrorCode::kInvalid,
                    "{} reads cell ({}, {}) from ({}, {}), but perceives only what is within {} of it",
                    DescribeAgent(context.world, agent_), pos.x, pos.y, self.x, self.y, radius);
  }
  return context.reader.CellFor(agent_, pos, Now());
}

std::vector<Announcement> MemberRun::Announced(size_t known) const {
  return cluster_.Context().reader.AnnouncedAt(Now(), known);
}

std::vector<Post> MemberRun::Posts(AgentId author) const {
  const RunContext& context = cluster_.Context();
  CheckReadsPostsOf(context.world, agent_, SelfMind(), author);
  std::vector<Post> posts;
  context.reader.VisitPosts(agent_, author, Now(), [&](const Post& post) { posts.push_back(post); });
  return posts;
}

std::vector<Post> MemberRun::Feed(size_t most, const std::function<int64_t(const Post&)>& score) const {
  const RunContext& context = cluster_.Context();
  if (context.world.GetPostRules().latency == 0) return {};
  FeedRanking ranking(most);
  const auto rank = [&](const Post& post) { ranking.Add(post, score ? score(post) : 0); };
  for (const AgentId author : context.world.Follows(agent_, SelfMind())) {
    context.reader.VisitPosts(agent_, author, Now(), rank);
  }
  return ranking.Take();
}

int64_t MemberRun::Likes(const PostId& post) const { return cluster_.Context().reader.LikesAt(post, Now()); }

std::vector<Message> MemberRun::Messages() const {
  return cluster_.Context().reader.MessagesFor(agent_, Now());
}

Task<llm::Completion> MemberRun::AskBoxed(std::unique_ptr<llm::Request> request) {
  PendingCall call(*this);
  Issue(std::move(request), call);
  co_await call;
  NoteAnswer(call);
  call.answer->key.call = call.number;
  co_return std::move(*call.answer);
}

void MemberRun::Issue(std::unique_ptr<llm::Request> request, PendingCall& call) {
  const RunContext& context = cluster_.Context();
  request->key = {agent_, Now(), num_calls_++};
  request->sampling.seed = SeedAt(context.seeds, Now());
  request->priority = Now();
  call.number = request->key.call;
  call.kind = request->kind;
  call.function = request->function;
  if (request->kind == llm::Kind::kTool) {
    if (!context.effect_of) {
      throw MakeError(ErrorCode::kInvalid, "tool {:?}: this run has no tools", request->function);
    }
    request->effect = context.effect_of(request->function);
  }
  call.request_digest = llm::DigestOfRequest(*request);
  for (RunObserver* observer : context.observers) observer->OnAsked(*request, call.request_digest);
  context.sink.Submit(std::move(*request), call);
}

void MemberRun::NoteAnswer(const PendingCall& call) {
  for (RunObserver* observer : cluster_.Context().observers) {
    observer->OnAnswered({agent_, Now(), call.number}, *call.answer);
  }
  Hasher hasher;
  hasher.Add(call.number).Add(call.request_digest).Add(call.answer->finish).Add(call.answer->text);
  calls_digest_ += hasher.Finish();
}

Task<std::string> MemberRun::Await(std::function<void(uint64_t id, bool guess)> begin) {
  PendingCall call(*this);
  call.is_elsewhere = true;
  cluster_.Context().sink.Begin(begin, call);
  co_await call;
  co_return std::move(call.answer->text);
}

// A world's function may throw before it is a coroutine.
void MemberRun::StartProceed() {
  try {
    task_ = cluster_.Context().world.Proceed(*this, *this);
  } catch (...) {
    RethrowFrom(Where());
  }
  task_.Start();
}

void MemberRun::CheckProceed() const {
  try {
    task_.Check();
  } catch (...) {
    RethrowFrom(Where());
  }
}

std::string MemberRun::Where() const {
  return fmt::format("{}, step {}", DescribeAgent(cluster_.Context().world, agent_), Now());
}

// DraftPool

std::unique_ptr<CommitDraft> DraftPool::Take() {
  if (idle_.empty()) return std::make_unique<CommitDraft>();
  std::unique_ptr<CommitDraft> draft = std::move(idle_.back());
  idle_.pop_back();
  return draft;
}

void DraftPool::GiveBack(std::unique_ptr<CommitDraft> draft) {
  draft->resolve = {};
  draft->writes.clear();
  draft->events.clear();
  draft->cells.clear();
  draft->born.clear();
  draft->announced.clear();
  draft->posts.clear();
  draft->likes.clear();
  draft->sent.clear();
  draft->members.clear();
  idle_.push_back(std::move(draft));
}

void SortCells(std::vector<CellWrite>& cells) {
  std::stable_sort(cells.begin(), cells.end(),
                   [](const CellWrite& a, const CellWrite& b) { return a.pos < b.pos; });
  size_t kept = 0;
  for (size_t i = 0; i < cells.size(); ++i) {
    if (i + 1 < cells.size() && cells[i + 1].pos == cells[i].pos) continue;
    if (kept != i) cells[kept] = std::move(cells[i]);
    ++kept;
  }
  cells.resize(kept);
}

// ClusterRun

ClusterPtr ClusterRun::Make(RunContext& context, std::span<const AgentId> members, Step step) {
  void* block = FramePool::OfThread().Take(sizeof(ClusterRun) + members.size() * sizeof(MemberRun));
  return ClusterPtr(new (block) ClusterRun(context, members, step));
}

void ClusterDeleter::operator()(ClusterRun* cluster) const noexcept {
  const size_t size = sizeof(ClusterRun) + cluster->Members().size() * sizeof(MemberRun);
  cluster->~ClusterRun();
  FramePool::OfThread().GiveBack(cluster, size);
}

ClusterRun::ClusterRun(RunContext& context, std::span<const AgentId> members, Step step)
    : context_(context), step_(step), num_members_(static_cast<uint32_t>(members.size())) {
  static_assert(sizeof(ClusterRun) % alignof(MemberRun) == 0);
  MemberRun* at = Members().data();
  for (const AgentId member : members) new (at++) MemberRun(*this, member);
}

ClusterRun::~ClusterRun() {
  if (draft_) context_.drafts.GiveBack(std::move(draft_));
  std::destroy_n(Members().data(), num_members_);
}

std::string ClusterRun::Where() const {
  std::string where;
  for (const MemberRun& member : Members().first(std::min<size_t>(num_members_, kMaxNamed))) {
    where += DescribeAgent(context_.world, member.Self()) + ", ";
  }
  if (num_members_ > kMaxNamed) where += fmt::format("{} more, ", num_members_ - kMaxNamed);
  return where + fmt::format("step {}", step_);
}

bool ClusterRun::Advance(bool serial) {
  while (started_ < num_members_ && (!serial || started_ == proceeded_)) {
    MemberRun& member = Members()[started_++];
    member.StartProceed();
    OnProceedResumed(member);
  }
  return proceeded_ == num_members_;
}

void ClusterRun::OnProceedResumed(MemberRun& member) {
  if (!member.ProceedDone()) return;
  member.CheckProceed();
  ++proceeded_;
}

bool ClusterRun::StartResolve() {
  draft_ = context_.drafts.Take();
  draft_->writes.resize(num_members_);
  for (MemberRun& member : Members()) {
    draft_->members.push_back({member.Self(), member.SelfBody(), member.SelfMind(), member.TakeIntent()});
  }
  Discard();
  try {
    draft_->resolve = context_.world.Resolve(step_, draft_->members, *this);
  } catch (...) {
    RethrowFrom(Where());
  }
  draft_->resolve.Start();
  return draft_->resolve.Done();
}

size_t ClusterRun::IndexOf(AgentId member, const char* what) const {
  const std::span<const MemberRun> members = Members();
  const auto it = std::lower_bound(members.begin(), members.end(), member,
                                   [](const MemberRun& run, AgentId id) { return run.Self() < id; });
  if (it == members.end() || it->Self() != member) {
    throw MakeError(ErrorCode::kInvalid, "{} agent {}, which is not a member of this cluster", what, member);
  }
  return static_cast<size_t>(it - members.begin());
}

void ClusterRun::SetBody(AgentId member, Body body) {
  const size_t i = IndexOf(member, "SetBody of");
  const Pos from = Members()[i].SelfBody().pos;
  const Pos to = body.pos;
  const int max_vel = context_.graph.RulesOf(member).max_vel;
  const bool may_jump = context_.graph.IsBarrier(step_ + 1);
  if (!context_.space.Contains(to) || (!may_jump && !context_.space.Within(from, to, max_vel))) {
    throw MakeError(
        ErrorCode::kInvalid,
        "{} moves from ({}, {}) to cell ({}, {}), but may only move within the space and {} at most",
        DescribeAgent(context_.world, member), from.x, from.y, to.x, to.y, max_vel);
  }
  const Lookahead declared = context_.graph.LookaheadOf(member);
  if (!may_jump && declared.until > step_ && !declared.Contains(to)) {
    throw MakeError(ErrorCode::kInvalid,
                    "{} moves to ({}, {}), but declared to stay in ({}, {}) to ({}, {}) until step {}",
                    DescribeAgent(context_.world, member), to.x, to.y, declared.low.x, declared.low.y,
                    declared.high.x, declared.high.y, declared.until);
  }
  draft_->writes[i].body = std::move(body);
}

void ClusterRun::SetMind(AgentId member, MindPtr mind) {
  const size_t i = IndexOf(member, "SetMind of");
  draft_->writes[i].mind_changed = true;
  draft_->writes[i].mind = std::move(mind);
}

void ClusterRun::WriteCell(Pos pos, std::string value) {
  const auto reaches = [&](const MemberRun& member) {
    const Lookahead declared = context_.graph.LookaheadOf(member.Self());
    const int max_vel = context_.graph.RulesOf(member.Self()).max_vel;
    return context_.space.Within(member.SelfBody().pos, pos, max_vel) &&
           (declared.until <= step_ || declared.Contains(pos));
  };
  if (!context_.space.Contains(pos) || std::none_of(Members().begin(), Members().end(), reaches)) {
    throw MakeError(
        ErrorCode::kInvalid,
        "the cluster of {} writes cell ({}, {}), but may only write within the speed of a member of where it "
        "started, and where that one's declared lookahead allows",
        DescribeAgent(context_.world, Members().front().Self()), pos.x, pos.y);
  }
  draft_->cells.push_back({pos, std::move(value)});
}

void ClusterRun::AddEvent(Event event) {
  IndexOf(event.agent, "an event of");
  draft_->events.push_back(std::move(event));
}

Caller& ClusterRun::CallerOf(AgentId member) { return Members()[IndexOf(member, "a call by")]; }

void ClusterRun::Birth(AgentId id, Body body, MindPtr mind) {
  if (id >= context_.graph.NumAgents()) {
    throw MakeError(ErrorCode::kInvalid, "agent {} is born, but the world has ids from 0 to {}", id,
                    context_.graph.NumAgents() - 1);
  }
  const Rules& rules = context_.graph.RulesOf(id);
  const auto is_parent = [&](const MemberRun& member) {
    const Rules& own = context_.graph.RulesOf(member.Self());
    const Lookahead declared = context_.graph.LookaheadOf(member.Self());
    return context_.space.Within(member.SelfBody().pos, body.pos, own.max_vel) &&
           rules.max_vel <= own.max_vel && rules.radius_p <= own.radius_p && declared.until <= step_;
  };
  if (!context_.space.Contains(body.pos) || std::none_of(Members().begin(), Members().end(), is_parent)) {
    throw MakeError(ErrorCode::kInvalid,
                    "{} is born at ({}, {}), but not within the speed of where a member of the cluster of {} "
                    "started that has at least its radius and speed, and declares no lookahead now",
                    DescribeAgent(context_.world, id), body.pos.x, body.pos.y,
                    DescribeAgent(context_.world, Members().front().Self()));
  }
  MemberCommit born;
  born.id = id;
  born.body_changed = born.mind_changed = true;
  born.body = std::move(body);
  born.mind = std::move(mind);
  draft_->born.push_back(std::move(born));
}

void ClusterRun::Remove(AgentId member) { draft_->writes[IndexOf(member, "Remove of")].removed = true; }

void ClusterRun::CheckHorizon(AgentId member, const char* what) const {
  if (context_.world.Horizon() > 0) return;
  throw MakeError(ErrorCode::kInvalid, "{} {}, but the world has no horizon",
                  DescribeAgent(context_.world, member), what);
}

void ClusterRun::CheckPosts(AgentId member, const char* what) const {
  if (context_.world.GetPostRules().latency > 0) return;
  throw MakeError(ErrorCode::kInvalid, "{} {}, but the world has no posts: their latency is 0",
                  DescribeAgent(context_.world, member), what);
}

void ClusterRun::CheckLength(AgentId member, const char* what, const std::string& text) const {
  if (text.size() <= kLongestText) return;
  throw MakeError(ErrorCode::kInvalid, "{} {} of {} bytes, allowed are {}",
                  DescribeAgent(context_.world, member), what, text.size(), kLongestText);
}

void ClusterRun::Announce(AgentId member, std::string text) {
  CheckHorizon(member, "announces something");
  Event event{member, "announce", std::move(text)};
  draft_->announced.push_back(event);
  AddEvent(std::move(event));
}

PostId ClusterRun::AddPost(AgentId member, std::string text) {
  CheckPosts(member, "posts something");
  CheckLength(member, "posts a text", text);
  PostId id{member, step_, 0};
  for (const Post& post : draft_->posts) id.number += post.id.by == member;
  AddEvent({member, "post", text, CallerOf(member).LastCall()});
  draft_->posts.push_back({id, std::move(text)});
  return id;
}

void ClusterRun::Like(AgentId member, const PostId& post, int64_t amount) {
  CheckHorizon(member, "likes a post");
  CheckPosts(member, "likes a post");
  if (post.by >= context_.graph.NumAgents() || post.step < 0 ||
      post.step > step_ - context_.world.GetPostRules().latency) {
    throw MakeError(ErrorCode::kInvalid,
                    "{} likes post {} of agent {} in step {}, but nobody can have read that in step {}",
                    DescribeAgent(context_.world, member), post.number, post.by, post.step, step_);
  }
  AddEvent({member, "like",
            fmt::format("post {} of agent {} in step {}: {:+}", post.number, post.by, post.step, amount),
            CallerOf(member).LastCall()});
  draft_->likes.push_back({post, amount});
}

void ClusterRun::Send(AgentId member, AgentId to, std::string text) {
  CheckHorizon(member, "sends a message");
  CheckLength(member, "sends a message", text);
  if (to >= context_.graph.NumAgents()) {
    throw MakeError(ErrorCode::kInvalid, "{} sends a message to agent {}, but the world has ids from 0 to {}",
                    DescribeAgent(context_.world, member), to, context_.graph.NumAgents() - 1);
  }
  AddEvent({member, "message", fmt::format("to agent {}: {}", to, text), CallerOf(member).LastCall()});
  draft_->sent.push_back({to, {member, std::move(text)}});
}

void ClusterRun::Discard() {
  for (size_t i = 0; i < num_members_; ++i) {
    const MemberRun& member = Members()[i];
    MemberCommit& write = draft_->writes[i];
    write.id = member.Self();
    write.mind_changed = write.removed = false;
    write.body = member.SelfBody();
    write.mind = member.SelfMind();
    write.mind_digest = context_.reader.MindDigest(member.Self());
  }
  draft_->events.clear();
  draft_->cells.clear();
  draft_->born.clear();
  draft_->announced.clear();
  draft_->posts.clear();
  draft_->likes.clear();
  draft_->sent.clear();
}

// Checked last: another cluster may have had the id meanwhile.
void ClusterRun::CheckBorn() {
  std::sort(draft_->born.begin(), draft_->born.end(),
            [](const MemberCommit& a, const MemberCommit& b) { return a.id < b.id; });
  for (size_t i = 0; i < draft_->born.size(); ++i) {
    const AgentId id = draft_->born[i].id;
    if (!context_.graph.WasPresent(id) && (i == 0 || draft_->born[i - 1].id != id)) continue;
    throw MakeError(ErrorCode::kInvalid, "{}: {} is born, but that id has been somebody's before", Where(),
                    DescribeAgent(context_.world, id));
  }
}

void ClusterRun::DigestMembers() {
  Hasher hasher;
  std::vector<Digest> events(draft_->events.empty() ? 0 : num_members_);  // chained for each member
  for (const Event& event : draft_->events) {
    Digest& chain = events[IndexOf(event.agent, "an event of")];
    chain = hasher.Reset().Add(chain).Add(event.kind).Add(event.text).Finish();
  }
  for (size_t i = 0; i < num_members_; ++i) {
    const MemberRun& member = Members()[i];
    MemberCommit& write = draft_->writes[i];
    if (write.mind_changed) write.mind_digest = DigestOfMind(write.mind.get(), hasher);
    write.body_changed = write.body != member.SelfBody();
    hasher.Reset().Add(write.id).Add(step_);
    write.body.Hash(hasher);
    hasher.Add(write.mind_digest).Add(member.CallsDigest());
    hasher.Add(events.empty() ? Digest() : events[i]);
    if (write.removed) hasher.Add("removed");
    write.digest = hasher.Finish();
  }
  for (MemberCommit& born : draft_->born) {
    born.mind_digest = DigestOfMind(born.mind.get(), hasher);
    hasher.Reset().Add("born").Add(born.id).Add(step_);
    born.body.Hash(hasher);
    born.digest = hasher.Add(born.mind_digest).Finish();
  }
}

void ClusterRun::DigestRecord() {
  Hasher hasher;
  hasher.Add(step_).Add(uint64_t{draft_->writes.size()});
  for (const MemberCommit& write : draft_->writes) hasher.Add(write.id).Add(write.digest);
  for (const MemberCommit& born : draft_->born) hasher.Add(born.digest);
  for (const CellWrite& cell : draft_->cells) cell.Hash(hasher);
  draft_->record.digest = hasher.Finish();
}

void ClusterRun::FinishResolve(bool with_digest) {
  try {
    draft_->resolve.Take();
    draft_->resolve = {};
  } catch (...) {
    RethrowFrom(Where());
  }
  SortCells(draft_->cells);
  CheckBorn();
  DigestMembers();
  draft_->record.step = step_;
  draft_->record.members = draft_->writes;
  draft_->record.born = draft_->born;
  draft_->record.events = draft_->events;
  draft_->record.cells = draft_->cells;
  if (with_digest) DigestRecord();
}

}  // namespace throng::sim
