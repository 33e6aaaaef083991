// Running clusters and their calls in flight, indexed by agent: an agent is in one cluster and has few calls,
// so no lookup searches all of them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/huge_pages.h"
#include "sim/cluster_run.h"

namespace throng::sim {

class RunTable {
 public:
  explicit RunTable(size_t num_agents) : runs_(num_agents) {}
  RunTable(const RunTable&) = delete;
  RunTable& operator=(const RunTable&) = delete;
  ~RunTable() {
    for (MemberRun* run : runs_) {
      if (run != nullptr) Remove(run->Cluster());
    }
  }

  // None of the cluster's members may be in the table.
  ClusterRun& Add(ClusterPtr cluster) {
    for (MemberRun& member : cluster->Members()) runs_[member.Self()] = &member;
    most_clusters_ = std::max(most_clusters_, ++num_clusters_);
    return *cluster.release();
  }
  void Remove(ClusterRun& cluster) {
    for (const MemberRun& member : cluster.Members()) runs_[member.Self()] = nullptr;
    --num_clusters_;
    ClusterPtr(&cluster).reset();
  }

  // The call must keep its address until it is taken.
  void AddCall(uint64_t id, PendingCall& call) {
    call.id = id;
    call.next = call.member.first_call;
    call.member.first_call = &call;
    ++num_calls_;
  }
  // Null if there is none.
  PendingCall* TakeCall(const llm::CallKey& key, uint64_t id) {
    MemberRun* run = RunOf(key.agent);
    if (run == nullptr) return nullptr;
    for (PendingCall** at = &run->first_call; *at != nullptr; at = &(*at)->next) {
      if ((*at)->id != id) continue;
      PendingCall* call = *at;
      *at = call->next;
      --num_calls_;
      return call;
    }
    return nullptr;
  }

  // Null if the agent runs no step.
  MemberRun* RunOf(AgentId agent) const { return agent < runs_.size() ? runs_[agent] : nullptr; }
  void PrefetchEntry(AgentId agent) const {
    if (agent < runs_.size()) Prefetch(&runs_[agent]);
  }

  size_t NumCalls() const { return num_calls_; }
  size_t Bytes() const { return runs_.capacity() * sizeof(MemberRun*); }
  // Memory of clusters and members, for all agents and the most clusters held at once.
  size_t ClusterBytes() const {
    return runs_.size() * sizeof(MemberRun) + most_clusters_ * sizeof(ClusterRun);
  }

  template <typename Visit>
  void ForEachCall(Visit visit) const {
    for (const MemberRun* run : runs_) {
      if (run == nullptr) continue;
      for (const PendingCall* call = run->first_call; call != nullptr; call = call->next) visit(*call);
    }
  }

 private:
  HugeVector<MemberRun*> runs_;  // by agent
  size_t num_calls_ = 0;
  size_t num_clusters_ = 0;
  size_t most_clusters_ = 0;
};

}  // namespace throng::sim
