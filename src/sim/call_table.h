// The calls in flight, by the agent that asks: each has few, so that one is found without a search among all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/huge_pages.h"
#include "sim/cluster_run.h"

namespace throng::sim {

class CallTable {
 public:
  explicit CallTable(size_t num_agents) : first_(num_agents) {}

  // The call must stay where it is until it is taken.
  void Add(uint64_t id, PendingCall& call) {
    PendingCall*& first = first_[call.member.Self()];
    call.id = id;
    call.next = first;
    first = &call;
    ++size_;
  }

  // Null if there is none.
  PendingCall* Take(const llm::CallKey& key, uint64_t id) {
    if (key.agent >= first_.size()) return nullptr;
    for (PendingCall** at = &first_[key.agent]; *at != nullptr; at = &(*at)->next) {
      if ((*at)->id != id) continue;
      PendingCall* call = *at;
      *at = call->next;
      --size_;
      return call;
    }
    return nullptr;
  }

  // For those about to be taken: first the entry, then what it points to.
  void PrefetchEntry(AgentId agent) const {
    if (agent < first_.size()) Prefetch(&first_[agent]);
  }
  const PendingCall* FirstOf(AgentId agent) const { return agent < first_.size() ? first_[agent] : nullptr; }

  size_t Size() const { return size_; }
  size_t Bytes() const { return first_.capacity() * sizeof(PendingCall*); }

  template <typename Visit>
  void ForEach(Visit visit) const {
    for (const PendingCall* first : first_) {
      for (const PendingCall* call = first; call != nullptr; call = call->next) visit(*call);
    }
  }

 private:
  HugeVector<PendingCall*> first_;  // by agent
  size_t size_ = 0;
};

}  // namespace throng::sim
