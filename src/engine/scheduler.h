// Decides which tokens of which sequences the next forward pass computes: queue, admission by bytes, chunked
// prefill, preemption. Knows nothing of models and threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <vector>

#include "engine/prefix/prefix_cache.h"
#include "engine/sequence.h"
#include "kv/cache/block_pool.h"

namespace throng::engine {

// The next num_tokens pending tokens of a sequence, for which memory is reserved.
struct PlannedItem {
  Sequence* sequence;
  int num_tokens;
  int num_guesses = 0;  // of Sequence::guesses, to follow them; the engine adds them
};

struct SchedulerOptions {
  int max_batch;
  int step_tokens;
  int chunk_tokens;
  bool prefix_cache;
  kv::SpillFile* spill = nullptr;  // for the prefix cache; outlives the scheduler
};

// Not thread-safe.
class Scheduler {
 public:
  struct Counts {  // since the start; hits and misses in blocks of prompts, at their first admission
    uint64_t prefix_hits = 0;
    uint64_t prefix_misses = 0;
    uint64_t preemptions = 0;
  };

  Scheduler(kv::BlockPool& pool, const SchedulerOptions& options);

  // The most bytes that a sequence of num_tokens tokens needs, alone and with the smallest chunks.
  static size_t MostBytes(const kv::BlockPool& pool, int num_tokens);

  void Add(Sequence* sequence);     // to the queue
  void Remove(Sequence* sequence);  // it has ended: frees its memory
  void Raise(Sequence* sequence, int priority);
  void Expect(uint32_t agent, int32_t step);  // Engine::ExpectNext

  // Chooses what to compute, admitting and evicting as needed. The plan is empty only if there is nothing to
  // run, or if the first sequence does not fit even alone; FirstRunning() is then that sequence.
  void Plan(std::vector<PlannedItem>& items);
  // After the forward pass: shares the blocks that it sealed through the prefix cache.
  void Computed(const std::vector<PlannedItem>& items);

  Sequence* FirstRunning() const { return running_.empty() ? nullptr : running_.front(); }
  size_t NumWaiting() const { return waiting_.size(); }
  size_t NumRunning() const { return running_.size(); }
  const Counts& GetCounts() const { return counts_; }
  const PrefixCache& Prefixes() const { return prefixes_; }

 private:
  void Wait(Sequence* sequence);
  void Learn(Sequence& sequence);
  void Admit();
  bool TryAdmit(Sequence& sequence);
  int MatchedTokens() const;
  void KeepForOthers(Sequence& sequence, int num_tokens);
  void ReserveRows(Sequence& sequence, int num_tokens);
  void TakePages(Sequence& sequence, int start_tokens);
  void TakeMatched(Sequence& sequence);
  void KeepRows(Sequence& sequence);
  size_t PromisedBytes() const;
  bool ReserveByEvicting(Sequence& sequence, int num_tokens);
  bool ReserveByPreempting(Sequence& sequence, int num_tokens, std::vector<PlannedItem>& items);
  int MostTokens(const Sequence& sequence) const;
  int PlanTokens(Sequence& sequence, int num_tokens, std::vector<PlannedItem>& items);
  void Preempt(Sequence* sequence);

  kv::BlockPool& pool_;
  const SchedulerOptions options_;
  PrefixCache prefixes_;
  std::set<Sequence*, ServedBefore> waiting_;
  std::vector<Sequence*> running_;  // in the order of ServedBefore
  std::vector<kv::SealedBlock> matched_;
  int prompt_logits_left_ = 0;  // rows of prompt logits for which the plan has room
  Counts counts_;
};

}  // namespace throng::engine
