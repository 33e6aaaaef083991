#include "sim/run/runner.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "sim/run/state_change.h"

namespace throng::sim {

namespace {

// How often a run that stands still looks for answers, at most.
constexpr double kPausedPollSeconds = 0.02;

std::vector<Pos> StartPositions(const World& world, const Snapshot* from) {
  std::vector<Pos> positions(world.NumAgents());
  for (AgentId agent = 0; agent < world.NumAgents(); ++agent) {
    if (from != nullptr) {
      positions[agent] = from->agents[agent].body.pos;
    } else if (world.StartsPresent(agent))
      positions[agent] = world.StartBody(agent).pos;
  }
  return positions;
}

// One entry for all agents if their rules are equal.
std::vector<Rules> RulesOfAll(const World& world) {
  std::vector<Rules> rules(world.NumAgents());
  for (AgentId agent = 0; agent < world.NumAgents(); ++agent) rules[agent] = world.RulesOf(agent);
  if (!rules.empty() && std::equal(rules.begin() + 1, rules.end(), rules.begin())) rules.resize(1);
  return rules;
}

// Whether agents are read in versions of steps before their own. On grids and planes no agent sees one at
// another step.
bool ReadsOlderVersions(const World& world, Mode mode) {
  return mode == Mode::kSpeculative || world.GetSpace().GetMetric() == Metric::kHops;
}

}  // namespace

Runner::Runner(const World& world, llm::Llm& llm, const RunOptions& options)
    : world_(world),
      llm_(llm),
      options_(options),
      state_(world, ReadsOlderVersions(world, options.mode), options.from),
      graph_(world.GetSpace(), RulesOfAll(world), options.coupling, StartPositions(world, options.from),
             options.steps, options.from != nullptr ? options.from->step : 0),
      reader_(graph_, state_),
      context_{world,
               world.GetSpace(),
               graph_,
               reader_,
               *this,
               {options.seed, options.seed_changes},
               options.effect_of},
      runs_(world.NumAgents()),
      acks_(options.dispatch.ack_s),
      interventions_(options.interventions) {
  if (options.steps < 0)
    throw MakeError(ErrorCode::kInvalid, "run: {} steps; at least 0 are needed", options.steps);
  context_.observers = options.observers;
  graph_.AddDependencies(world.Links(), world.Barriers());
  graph_.SetHorizon(world.Horizon());
  graph_.SetFollows(world.GetPostRules().latency,
                    [this](AgentId agent) { return world_.Follows(agent, state_.MindOf(agent)); });
  for (AgentId agent = 0; agent < world.NumAgents(); ++agent) {
    if (!state_.IsPresent(agent))
      graph_.Reserve(agent, options.from != nullptr && options.from->agents[agent].was_present);
  }
  std::stable_sort(interventions_.begin(), interventions_.end(),
                   [](const Intervention& a, const Intervention& b) { return a.step < b.step; });
  for (const Intervention& intervention : interventions_) {
    world.CheckIntervention(intervention.what);
    if (intervention.step < 0) {
      throw MakeError(ErrorCode::kInvalid, "run: an intervention at step {}, allowed: 0 or later",
                      intervention.step);
    }
    if (intervention.step < graph_.BaseStep()) {
      ++next_intervention_;
    } else {
      graph_.AddPause(intervention.step);
    }
  }
  if (options.mode == Mode::kSpeculative) {
    speculator_ = std::make_unique<Speculator>(context_, llm, options.speculation, options.steps, state_,
                                               stats_, last_request_id_);
  }
  if (options.snapshots != nullptr) {
    snapshots_ = std::make_unique<SnapshotTaker>(*options.snapshots, world, state_, graph_, options.steps,
                                                 options.from != nullptr ? options.from->largest_cluster : 0);
  }
}

double Runner::WallSeconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void Runner::Begin() {
  has_begun_ = true;
  FramePool::OfThread().ResetPeak();
  backend_start_ = metered_until_ = Now();
  if (options_.from != nullptr) {
    BeginFrom(*options_.from);
    return;
  }
  for (AgentId agent = 0; agent < world_.NumAgents(); ++agent) {
    if (state_.IsPresent(agent)) hash_.AddStart(agent, state_.BodyOf(agent), state_.MindDigest(agent));
  }
  result_.start_hash = hash_.FinishStart();
  for (AgentId agent = 0; agent < world_.NumAgents(); ++agent) {
    if (state_.IsPresent(agent)) Declare(agent, 0);
  }
  graph_.Start(released_);
  Enqueue();
}

void Runner::BeginFrom(const Snapshot& from) {
  for (RunObserver* observer : options_.observers) observer->OnSnapshot(from);
  hash_.StartFrom(from.start_hash, from.step_hashes);
  result_.start_hash = from.start_hash;
  result_.step_hashes = from.step_hashes;
  static_cast<StepCounts&>(stats_) = from.counts;
  stats_.largest_cluster = from.largest_cluster;
  stats_.interventions = from.interventions;
  for (AgentId agent = 0; agent < world_.NumAgents(); ++agent) {
    if (!state_.IsPresent(agent)) continue;
    const Lookahead& lookahead = from.agents[agent].lookahead;
    if (lookahead.until > from.step) graph_.SetLookahead(agent, lookahead);
    ExpectNext(agent, from.step);
  }
  graph_.Start(released_);
  Enqueue();
}

void Runner::RunTo(Step step) {
  viewers_.reset();
  if (has_begun_ && step == halt_) return;
  THRONG_CHECK(step >= halt_ && step <= options_.steps);
  halt_ = step;
  if (step < options_.steps) graph_.AddPause(step);
  if (!has_begun_) Begin();
  OnNewBase();
  Loop();
}

std::vector<const View*> Runner::Views() {
  members_.clear();
  for (AgentId agent = 0; agent < world_.NumAgents(); ++agent) {
    if (state_.IsPresent(agent)) members_.push_back(agent);
  }
  viewers_ = ClusterRun::Make(context_, members_, graph_.BaseStep());
  std::vector<const View*> views;
  for (const MemberRun& member : viewers_->Members()) views.push_back(&member);
  return views;
}

RunResult Runner::Result() {
  MeterInFlight();
  stats_.backend_s = metered_until_ - backend_start_;
  stats_.wall_s = WallSeconds() - wall_start_;
  stats_.parallelism = stats_.backend_s > 0 ? in_flight_seconds_ / stats_.backend_s : 0;
  MeasureMemory();
  result_.hash = hash_.Finish();
  return result_;
}

// Call when no cluster runs: buffers that are reused have not shrunk by then.
void Runner::MeasureMemory() {
  RunMemory& memory = result_.memory;
  const size_t frames = FramePool::OfThread().PeakBytes();  // the clusters' blocks come from there too
  const size_t clusters = runs_.ClusterBytes();
  memory.scheduler_bytes = graph_.Bytes() + state_.BookkeepingBytes() + runs_.Bytes() + clusters +
                           ready_.Bytes() + released_.Bytes() + done_.capacity() * sizeof(llm::Completion);
  memory.call_bytes = frames > clusters ? frames - clusters : 0;
  memory.world_bytes = state_.WorldBytes();
}

void Runner::Loop() {
  while (!ended_) {
    TakeInterventions();
    StartClusters();
    if (paused_) {
      StandStill();
      continue;
    }
    if (running_ == 0 || ended_) break;
    if (speculator_) speculator_->Run(NumCalls());
    WaitForCompletions();
    FinishAcknowledged();
    CheckStop();
    Report();
  }
  THRONG_CHECK(ended_ || (ready_.empty() && graph_.BaseStep() == halt_));
}

void Runner::Enqueue() {
  for (size_t i = 0; i < released_.Size(); ++i) {
    const std::span<const AgentId> members = released_[i];
    const Step step = graph_.StepOf(members.front());
    ClusterRun& cluster = runs_.Add(ClusterRun::Make(context_, members, step));
    if (speculator_) speculator_->OnBegin(members, step);
    ready_.push(InOrder(cluster));
  }
  released_.Clear();
}

OrderedCluster Runner::InOrder(ClusterRun& cluster) {
  const bool ordered =
      options_.dispatch.by_step || options_.mode == Mode::kSingle || options_.mode == Mode::kLockstep;
  return {ordered ? 0 : ++last_turn_, cluster.GetStep(), cluster.Members().front().Self(), &cluster};
}

bool Runner::MayStart(const OrderedCluster& ready) const {
  const size_t pool = options_.dispatch.pool;
  if (pool > 0 && running_ - acks_.Size() >= pool) return false;
  switch (options_.mode) {
    case Mode::kSingle:
      return running_ == 0 && ready.step == graph_.BaseStep();
    case Mode::kLockstep:
      return ready.step == graph_.BaseStep();
    case Mode::kOutOfOrder:
    case Mode::kSpeculative:
      return true;
  }
  return false;
}

// Clusters that await no call end within this loop and release others.
void Runner::StartClusters() {
  while (!ended_ && !paused_ && !ready_.empty() && MayStart(ready_.top())) {
    ClusterRun& cluster = *ready_.top().cluster;
    ready_.pop();
    ++running_;
    AfterProceed(cluster);
    TakeInterventions();
    CheckStop();
    Report();
  }
}

// Advances a cluster as far as it can without a completion.
void Runner::AfterProceed(ClusterRun& cluster) {
  if (!cluster.Advance(options_.mode == Mode::kSingle)) return;
  if (cluster.StartResolve()) Complete(cluster);
}

void Runner::Complete(ClusterRun& cluster) {
  if (acks_.TakesTime()) {
    acks_.Push(InOrder(cluster), Now());
  } else {
    Finish(cluster);
  }
}

void Runner::FinishAcknowledged() {
  while (ClusterRun* cluster = acks_.Take(Now())) Finish(*cluster);
}

void Runner::Finish(ClusterRun& cluster) {
  cluster.FinishResolve(!options_.observers.empty());
  hash_.AddCommit(cluster.Record());
  for (RunObserver* observer : options_.observers) observer->OnCommit(cluster.Record());
  const Step base = graph_.BaseStep();
  Apply(cluster);
  --running_;
  runs_.Remove(cluster);
  Enqueue();
  if (graph_.BaseStep() != base) OnNewBase();
}

void Runner::Apply(ClusterRun& cluster) {
  const Step next = cluster.GetStep() + 1;
  members_.clear();
  positions_.clear();
  born_.clear();
  removed_.clear();
  for (MemberCommit& write : cluster.Writes()) {
    members_.push_back(write.id);
    positions_.push_back(write.body.pos);
    if (write.removed) removed_.push_back(write.id);
    if (write.body_changed || write.mind_changed) {
      state_.SetAgent(write.id, next, std::move(write.body), std::move(write.mind), write.mind_digest);
    }
  }
  for (const AgentId agent : removed_) state_.RemoveAgent(agent, next);
  for (const AgentId member : members_) {
    if (state_.IsPresent(member)) Declare(member, next);
    if (snapshots_) snapshots_->OnAgent(member, next);
  }
  for (MemberCommit& child : cluster.Born()) {
    born_.push_back({child.id, child.body.pos});
    state_.SetAgent(child.id, next, std::move(child.body), std::move(child.mind), child.mind_digest);
    Declare(child.id, next);
    if (snapshots_) snapshots_->OnAgent(child.id, next);
  }
  for (const Event& event : cluster.Announced()) {
    state_.Announce({cluster.GetStep() + world_.Horizon(), event.text}, event.agent);
  }
  PostBoard& board = state_.Posts();
  for (Post& post : cluster.Posts()) board.Add(std::move(post));
  for (const LikeWrite& like : cluster.Likes()) {
    board.Like(like.post, cluster.GetStep() + world_.Horizon(), like.amount);
  }
  for (MessageWrite& sent : cluster.Sent()) {
    board.Send(sent.to, cluster.GetStep() + world_.Horizon(), std::move(sent.message));
  }
  for (CellWrite& cell : cluster.Cells()) state_.SetCell(cell.pos, next, std::move(cell.value));
  const Step base = graph_.BaseStep();
  graph_.Commit(members_, positions_, released_, born_, removed_);
  StepCounts counts;
  counts.clusters = 1;
  counts.agent_steps = members_.size();
  counts.births = born_.size();
  counts.deaths = removed_.size();
  Count(cluster.GetStep(), counts);
  if (snapshots_) snapshots_->OnCommit(stats_);
  if (graph_.BaseStep() != base) state_.Prune(graph_.BaseStep());
  if (speculator_) speculator_->OnCommit(cluster.Record());
  stats_.largest_cluster = std::max(stats_.largest_cluster, static_cast<uint32_t>(members_.size()));
  stats_.max_spread = std::max(stats_.max_spread, graph_.FrontStep() - graph_.BaseStep());
}

void Runner::Declare(AgentId agent, Step step) {
  const Body& body = state_.BodyOf(agent);
  try {
    graph_.Declare(agent, step, body.pos, world_.Declare(agent, step, body, state_.MindOf(agent)));
    if (state_.Posts().GetRules().latency > 0) CheckFollows(agent);
  } catch (...) {
    RethrowFrom(DescribeAgent(world_, agent));
  }
  ExpectNext(agent, step);
}

// An agent that is asleep, busy or on its way is unlikely to think before that ends.
void Runner::ExpectNext(AgentId agent, Step step) {
  if (tells_expectations_) llm_.ExpectNext(agent, std::max(step, graph_.LookaheadOf(agent).until));
}

void Runner::CheckFollows(AgentId agent) const {
  AgentId least = 0;  // allowed next
  for (const AgentId author : world_.Follows(agent, state_.MindOf(agent))) {
    if (author >= least && author < world_.NumAgents() && author != agent) {
      least = author + 1;
      continue;
    }
    throw MakeError(ErrorCode::kInvalid,
                    "it follows agent {}; allowed are others from 0 to {}, in ascending order and each once",
                    author, world_.NumAgents() - 1);
  }
}

void Runner::CloseSteps() {
  Digest hash;
  while (!ended_ && hash_.TakeStep(graph_.BaseStep(), hash)) {
    const Step step = static_cast<Step>(result_.step_hashes.size());
    result_.step_hashes.push_back(hash);
    for (RunObserver* observer : options_.observers) observer->OnStep(step, hash);
    ended_ = options_.ends_after && options_.ends_after(step);
  }
}

// All agents have reached the base step: closes the steps before it, applies interventions due there, and
// goes on unless the run halts there.
void Runner::OnNewBase() {
  CloseSteps();
  OfferSnapshot();
  if (!ended_) SubmitHeld();
  while (!ended_ && graph_.AtPause()) {
    Intervene();
    if (graph_.BaseStep() == halt_) return;
    graph_.ResumeAtPause(released_);
    Enqueue();
    CloseSteps();
    OfferSnapshot();
  }
}

void Runner::OfferSnapshot() {
  if (snapshots_ && !ended_) snapshots_->OnBase(result_.start_hash, result_.step_hashes);
}

void Runner::Intervene() {
  const Step step = graph_.BaseStep();
  for (; next_intervention_ < interventions_.size(); ++next_intervention_) {
    const Intervention& intervention = interventions_[next_intervention_];
    if (intervention.step != step) break;
    StateChange change(world_, graph_, state_);
    try {
      world_.Intervene(intervention.what, change);
    } catch (...) {
      RethrowFrom(fmt::format("step {}, intervention {:?}", step, intervention.what));
    }
    const InterventionRecord& record = change.Finish(intervention.what, next_intervention_);
    for (const MemberCommit& agent : record.agents) {
      if (!agent.removed) Declare(agent.id, step);
      if (snapshots_) snapshots_->OnAgent(agent.id, step);
    }
    hash_.AddIntervention(record);
    if (speculator_) speculator_->OnIntervention(record);
    for (RunObserver* observer : options_.observers) observer->OnIntervention(record);
    ++stats_.interventions;
  }
}

// New interventions happen at steps that no agent has begun.
void Runner::TakeInterventions() {
  if (options_.source == nullptr) return;
  const double now = WallSeconds();
  if (now - last_taken_ < options_.source_interval_s) return;
  last_taken_ = now;
  for (Intervention& intervention : options_.source->Take(graph_.FrontStep() + 1)) {
    THRONG_CHECK(intervention.step > graph_.FrontStep());
    graph_.AddPause(intervention.step);
    const auto later = [](Step step, const Intervention& other) { return step < other.step; };
    interventions_.insert(
        std::upper_bound(interventions_.begin(), interventions_.end(), intervention.step, later),
        std::move(intervention));
  }
  paused_ = options_.source->IsPaused();
}

// Lets a moment of a pause pass. Answers that arrive are kept by a journal below, and delivered afterwards; a
// virtual clock stands still.
void Runner::StandStill() {
  MeterInFlight();
  const double wall = WallSeconds();
  llm_.Wait(done_, 0);  // of Python, it also looks for signals
  std::this_thread::sleep_for(
      std::chrono::duration<double>(std::min(kPausedPollSeconds, options_.source_interval_s)));
  CheckStop();
  Report();
  wall_start_ += WallSeconds() - wall;
  backend_start_ += Now() - metered_until_;
  metered_until_ = Now();
}

void Runner::CheckStop() const {
  if (options_.stop != nullptr && options_.stop->load(std::memory_order_relaxed)) {
    throw MakeError(ErrorCode::kCancelled, "run: stopped at step {} of {}", graph_.BaseStep(),
                    options_.steps);
  }
}

void Runner::Report() {
  if (!options_.on_progress) return;
  const double now = WallSeconds();
  if (now - last_report_ < options_.progress_interval_s) return;
  last_report_ = now;
  if (!paused_) MeterInFlight();
  Progress progress;
  progress.is_paused = paused_;
  progress.stats = stats_;
  progress.stats.wall_s = now - wall_start_;
  progress.stats.backend_s = metered_until_ - backend_start_;
  if (progress.stats.backend_s > 0)
    progress.stats.parallelism = in_flight_seconds_ / progress.stats.backend_s;
  progress.base_step = graph_.BaseStep();
  progress.front_step = graph_.FrontStep();
  progress.agents_ahead = graph_.NumPresent() - graph_.AgentsAtBase();
  progress.in_flight = InFlight();
  runs_.ForEachCall([&](const PendingCall& call) {
    if (call.is_elsewhere) return;
    const double wait = metered_until_ - call.issued_s;
    if (wait <= progress.longest_wait_s) return;
    progress.longest_wait_s = wait;
    progress.longest_waiting = call.member.Self();
  });
  options_.on_progress(progress);
}

RunResult RunWorld(const World& world, llm::Llm& llm, const RunOptions& options) {
  Runner runner(world, llm, options);
  runner.RunTo(options.steps);
  return runner.Result();
}

// SteppedRun

SteppedRun::SteppedRun(const World& world, llm::Llm& llm, const RunOptions& options)
    : runner_(std::make_unique<Runner>(world, llm, options)) {}

SteppedRun::~SteppedRun() = default;

void SteppedRun::RunTo(Step step) { runner_->RunTo(step); }

std::vector<const View*> SteppedRun::Views() { return runner_->Views(); }

RunResult SteppedRun::Result() { return runner_->Result(); }

}  // namespace throng::sim
