// A run in progress; implements RunWorld and SteppedRun of run.h.
#pragma once

#include <deque>
#include <memory>
#include <queue>
#include <utility>
#include <vector>

#include "sim/cluster_run.h"
#include "sim/guess/speculator.h"
#include "sim/run/ack_queue.h"
#include "sim/run/cluster_order.h"
#include "sim/run/run.h"
#include "sim/run/run_hash.h"
#include "sim/run/run_table.h"
#include "sim/run/snapshot_taker.h"
#include "sim/world_state.h"

namespace throng::sim {

class Runner final : public CallSink {
 public:
  Runner(const World& world, llm::Llm& llm, const RunOptions& options);

  ~Runner() { CancelAll(); }  // after an error, and guesses dropped last, calls may still be in flight

  void RunTo(Step step);
  std::vector<const View*> Views();
  RunResult Result();
  void Submit(llm::Request&& request, PendingCall& call) override;
  void Begin(const std::function<void(uint64_t id, bool guess)>& begin, PendingCall& call) override;

 private:
  void Begin();
  void BeginFrom(const Snapshot& from);
  void Loop();
  void Enqueue();
  bool MayStart(const OrderedCluster& ready) const;
  OrderedCluster InOrder(ClusterRun& cluster);
  void StartClusters();
  void AfterProceed(ClusterRun& cluster);
  void Complete(ClusterRun& cluster);
  void FinishAcknowledged();
  void Finish(ClusterRun& cluster);
  void Apply(ClusterRun& cluster);
  void OnNewBase();
  void Intervene();
  void TakeInterventions();
  void StandStill();
  void Declare(AgentId agent, Step step);
  void ExpectNext(AgentId agent, Step step);
  void CheckFollows(AgentId agent) const;
  void CloseSteps();
  void OfferSnapshot();
  void CheckStop() const;
  void Report();
  void MeasureMemory();
  static double WallSeconds();

  // Calls and their answers, in runner_calls.cc.
  void WaitForCompletions();
  void PrefetchAfter(size_t i) const;
  bool HoldsBack(const llm::Request& request) const;
  void SubmitHeld();
  void Count(llm::Kind kind, const llm::Completion& completion);
  void Count(Step step, const StepCounts& counts);
  void Deliver(llm::Completion& completion);
  void CheckAnswer(const PendingCall& call, const llm::Completion& completion);
  void MeterInFlight();
  double Now() const { return llm_.Now() + idle_s_; }
  size_t NumCalls() const { return runs_.NumCalls() - num_elsewhere_; }
  size_t InFlight() const { return NumCalls() + (speculator_ ? speculator_->InFlight() : 0); }
  // What the backend will return: calls, and what is done elsewhere.
  size_t NumAwaited() const {
    return runs_.NumCalls() + (speculator_ ? speculator_->InFlight() + speculator_->NumElsewhere() : 0);
  }
  void CancelAll() noexcept;

  const World& world_;
  llm::Llm& llm_;
  const RunOptions& options_;
  WorldState state_;
  DependencyGraph graph_;
  ConfirmedReader reader_;
  RunContext context_;
  RunHash hash_;
  RunResult result_;
  RunStats& stats_ = result_.stats;
  bool has_begun_ = false;
  Step halt_ = 0;       // where the run stands still, or the last step
  ClusterPtr viewers_;  // never started: its members are the views of those who are there at a halt

  struct ReadyQueue : std::priority_queue<OrderedCluster> {
    size_t Bytes() const { return c.capacity() * sizeof(OrderedCluster); }
  };
  ReadyQueue ready_;
  ClusterList released_;
  RunTable runs_;  // ready or running
  AckQueue acks_;
  uint64_t last_turn_ = 0;
  size_t num_elsewhere_ = 0;      // of runs_' calls, those that are none (PendingCall::is_elsewhere)
  size_t running_ = 0;            // clusters, those that wait to be acknowledged included
  uint64_t last_request_id_ = 0;  // shared with the speculator
  const bool tells_expectations_ = llm_.WantsExpectations();
  std::unique_ptr<Speculator> speculator_;                     // only in mode speculative
  std::unique_ptr<SnapshotTaker> snapshots_;                   // null: none are taken
  std::deque<std::pair<llm::Request, PendingCall*>> waiting_;  // mode single: behind the call in flight
  std::deque<std::pair<llm::Request, PendingCall*>> held_;     // until all agents have reached their steps
  std::vector<llm::Completion> done_;                          // that arrived
  size_t num_delivered_ = 0;                                   // of done_; the others wait for a pause to end
  std::vector<Pos> positions_;
  std::vector<AgentId> members_;
  std::vector<Newborn> born_;
  std::vector<AgentId> removed_;
  std::vector<Intervention> interventions_;  // by step
  size_t next_intervention_ = 0;
  bool ended_ = false;   // by RunOptions::ends_after
  bool paused_ = false;  // by the source

  double last_taken_ = 0;
  double wall_start_ = WallSeconds();
  double last_report_ = wall_start_;
  double backend_start_ = 0;
  double idle_s_ = 0;  // in which only the controller worked: a virtual clock stands still meanwhile
  double metered_until_ = 0;
  double in_flight_seconds_ = 0;
};

}  // namespace throng::sim
