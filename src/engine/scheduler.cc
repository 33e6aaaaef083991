#include "engine/scheduler.h"

#include <algorithm>
#include <span>
#include <utility>

#include "base/check.h"

namespace throng::engine {

using kv::kPageTokens;

namespace {

// Most rows of logits of prompts in a step: a row has a number per token of the vocabulary.
constexpr int kMostPromptLogits = 64;

// The length that admission reserves memory for: the tokens of the sequence so far (after a preemption, with
// part of the answer), and up to one block of those that may follow. The rest is left to chance and
// preemption, since most answers are shorter than allowed.
int PromisedTokens(const Sequence& sequence) {
  const int left = sequence.request.max_tokens - sequence.NumAnswer();
  return static_cast<int>(sequence.tokens.size()) + std::clamp(left, 0, kPageTokens);
}

// Whether all but the last few tokens are in the cache: not at the start, nor after a preemption.
bool IsDecoding(const Sequence& sequence) {
  constexpr int kMostPending = 16;  // those that a constraint determined
  const int pending = sequence.NumPending();
  return pending == 1 || (pending <= kMostPending && sequence.NumAnswer() > 0);
}

// The number of tokens that the request's start pages save. At least one token is left to compute logits
// from.
int StartTokens(const Sequence& sequence) {
  if (sequence.request.start == nullptr || sequence.NeedsAllRows()) return 0;
  const kv::SavedPages& start = *sequence.request.start;
  const size_t most = std::min(static_cast<size_t>(start.cache.NumTokens()), sequence.tokens.size() - 1);
  const auto differs = std::mismatch(
      start.tokens.begin(), start.tokens.begin() + static_cast<ptrdiff_t>(most), sequence.tokens.begin());
  return start.cache.Reusable(static_cast<int>(differs.first - start.tokens.begin()));
}

// The bytes that such a sequence has, and need not take to go on. At the end of a block its state may be
// shared, and to go on takes a copy.
size_t TakenBytes(const kv::BlockPool& pool, int num_tokens) {
  const bool state_may_be_shared = num_tokens > 0 && num_tokens % kPageTokens == 0;
  return pool.SequenceBytes(num_tokens) - (state_may_be_shared ? pool.StateBytes() : 0);
}

}  // namespace

Scheduler::Scheduler(kv::BlockPool& pool, const SchedulerOptions& options)
    : pool_(pool), options_(options), prefixes_(pool, options.spill) {
  THRONG_CHECK(options.max_batch >= 1 && options.step_tokens > options.max_batch &&
               options.chunk_tokens >= 1);
}

size_t Scheduler::MostBytes(const kv::BlockPool& pool, int num_tokens) {
  // While a block is being sealed, its open and its sealed forms exist; and after it, a shared state and its
  // copy.
  return pool.MostSequenceBytes(num_tokens) + pool.OpenBytes() + pool.SealedBytes() + pool.SlidingBytes() +
         pool.FineBytes() + pool.StateBytes();
}

void Scheduler::Add(Sequence* sequence) {
  if (options_.prefix_cache && sequence->request.purpose) Learn(*sequence);
  Wait(sequence);
}

void Scheduler::Wait(Sequence* sequence) { waiting_.insert(sequence); }

void Scheduler::Learn(Sequence& sequence) {
  const llm::CallKey& key = sequence.request.key;
  NextUse& expectations = prefixes_.Expectations();
  sequence.asker = {key.agent, key.step, expectations.PurposeOf(*sequence.request.purpose)};
  expectations.Asks(*sequence.asker);
  prefixes_.Learn(sequence.request.prompt, *sequence.asker);
}

void Scheduler::Expect(uint32_t agent, int32_t step) { prefixes_.Expectations().Expect(agent, step); }

void Scheduler::Remove(Sequence* sequence) {
  if (sequence->is_running) {
    running_.erase(std::lower_bound(running_.begin(), running_.end(), sequence, ServedBefore()));
    sequence->SetRunning(false);
    KeepRows(*sequence);
    sequence->cache.Release();
  } else {
    waiting_.erase(sequence);
  }
}

// Gives the incomplete last block of a sequence that ends to the prefix cache, without what was guessed.
void Scheduler::KeepRows(Sequence& sequence) {
  kv::SequenceCache& cache = sequence.cache;
  if (!options_.prefix_cache || pool_.StateBytes() > 0 || cache.ChunkTokens() > 0) return;
  const auto known = std::min(static_cast<size_t>(cache.NumTokens()), sequence.tokens.size() - 1);
  const int count = static_cast<int>(known) - static_cast<int>(cache.SealedBlocks().size()) * kPageTokens;
  if (count <= 0) return;
  prefixes_.InsertRows(std::span(sequence.tokens).first(known), count, cache.TakeOpen());
}

void Scheduler::Raise(Sequence* sequence, int priority) {
  if (sequence->is_running) {
    running_.erase(std::lower_bound(running_.begin(), running_.end(), sequence, ServedBefore()));
    sequence->request.priority = priority;
    running_.insert(std::upper_bound(running_.begin(), running_.end(), sequence, ServedBefore()), sequence);
  } else {
    waiting_.erase(sequence);
    sequence->request.priority = priority;
    waiting_.insert(sequence);
  }
}

size_t Scheduler::PromisedBytes() const {
  size_t bytes = 0;
  for (const Sequence* sequence : running_) {
    const size_t most = pool_.SequenceBytes(PromisedTokens(*sequence));
    bytes += most - std::min(most, TakenBytes(pool_, sequence->cache.NumTokens()));
  }
  return bytes;
}

// Tokens of the matched blocks that a sequence can begin with.
int Scheduler::MatchedTokens() const {
  return static_cast<int>(kv::UsableBlocks(pool_.Layout(), matched_)) * kPageTokens;
}

// Takes pages from the prefix cache, or from the request's start pages if they reach further.
void Scheduler::TakePages(Sequence& sequence, int start_tokens) {
  if (start_tokens > static_cast<int>(matched_.size()) * kPageTokens) {
    const kv::SequenceCache& start = sequence.request.start->cache;
    auto fork = start.Fork(start_tokens);
    while (!fork && prefixes_.EvictOne()) fork = start.Fork(start_tokens);
    // If there is no room for an open block and a state, take what needs none.
    if (!fork) fork = start.Fork(start_tokens / kPageTokens * kPageTokens);
    sequence.cache = std::move(*fork);
  } else if (options_.prefix_cache && !sequence.NeedsAllRows()) {
    TakeMatched(sequence);
  }
  matched_.clear();
}

// Takes the matched blocks, and rows after them if the prefix cache has some.
void Scheduler::TakeMatched(Sequence& sequence) {
  if (!matched_.empty()) prefixes_.Begins(sequence.tokens, matched_.size());
  if (pool_.StateBytes() > 0) return sequence.cache.Adopt(matched_);
  const OpenRows::Found found = prefixes_.FindRows(sequence.tokens, matched_.size());
  sequence.rows_begin = static_cast<int>(matched_.size());
  sequence.rows_count = prefixes_.NoteParting(sequence.request.prompt, matched_.size(), found.count);
  if (found.count > 0) {
    do {
      if (sequence.cache.AdoptOpen(matched_, found.count, *found.rows, nullptr)) return;
    } while (prefixes_.EvictOne());
  }
  sequence.cache.Adopt(matched_);
}

bool Scheduler::TryAdmit(Sequence& sequence) {
  matched_.clear();
  const bool reuse = options_.prefix_cache && !sequence.NeedsAllRows();
  if (reuse) prefixes_.Match(sequence.tokens, matched_);  // pins the blocks
  const int start_tokens = StartTokens(sequence);
  // A sequence alone may always start: Submit made sure that it fits.
  if (!running_.empty()) {
    const int hits = std::max(MatchedTokens(), start_tokens / kPageTokens * kPageTokens);
    const size_t hit_bytes = TakenBytes(pool_, hits);
    const size_t own_bytes = pool_.SequenceBytes(PromisedTokens(sequence)) + pool_.OpenBytes();
    const size_t needed = own_bytes - std::min(own_bytes, hit_bytes) + PromisedBytes();
    if (pool_.FreeBytes() < needed && pool_.FreeBytes() + prefixes_.EvictableBytes() < needed) {
      return false;
    }
    while (pool_.FreeBytes() < needed) {
      if (!prefixes_.EvictOne()) return false;
    }
  }
  if (reuse) prefixes_.Restore(sequence.tokens, matched_);
  sequence.shared_blocks = matched_.size();
  matched_.resize(static_cast<size_t>(MatchedTokens()) / kPageTokens);
  TakePages(sequence, start_tokens);
  if (!sequence.was_admitted) {
    sequence.was_admitted = true;
    sequence.admitted = Clock::now();
    sequence.cached_prompt_tokens = sequence.cache.NumTokens();
    const size_t hits = sequence.cache.SealedBlocks().size();
    counts_.prefix_hits += hits;
    counts_.prefix_misses += PrefixCache::MostBlocks(sequence.tokens.size()) - hits;
  }
  return true;
}

void Scheduler::Admit() {
  // The first in the queue is never passed over, or large requests would wait forever.
  while (!waiting_.empty() && running_.size() < static_cast<size_t>(options_.max_batch)) {
    Sequence* sequence = *waiting_.begin();
    if (!TryAdmit(*sequence)) {
      matched_.clear();  // those that run may need the room
      break;
    }
    waiting_.erase(waiting_.begin());
    running_.insert(std::upper_bound(running_.begin(), running_.end(), sequence, ServedBefore()), sequence);
    sequence->SetRunning(true);
  }
}

void Scheduler::Preempt(Sequence* sequence) {
  Remove(sequence);
  Wait(sequence);
  ++sequence->preemptions;
  ++counts_.preemptions;
}

bool Scheduler::ReserveByEvicting(Sequence& sequence, int num_tokens) {
  while (!sequence.cache.Reserve(num_tokens)) {
    if (!prefixes_.EvictOne()) return false;
  }
  return true;
}

bool Scheduler::ReserveByPreempting(Sequence& sequence, int num_tokens, std::vector<PlannedItem>& items) {
  while (!ReserveByEvicting(sequence, num_tokens)) {
    Sequence* last = running_.back();
    if (last == &sequence) return false;  // all others are served before it
    std::erase_if(items, [&](const PlannedItem& item) { return item.sequence == last; });
    Preempt(last);
  }
  return true;
}

// The most tokens of a sequence that a step may have.
int Scheduler::MostTokens(const Sequence& sequence) const {
  const int most = std::min(sequence.NumPending(), options_.chunk_tokens);
  return sequence.WantsPromptLogprobs() ? std::min(most, prompt_logits_left_) : most;
}

// Keeps what others need to go on from the middle of a chunk: pages, and the states of blocks where somebody
// may do so, as far as there is room.
void Scheduler::KeepForOthers(Sequence& sequence, int num_tokens) {
  if (!options_.prefix_cache) return;
  sequence.cache.KeepUnseen();
  if (pool_.StateBytes() == 0) return;
  const auto begin = static_cast<size_t>(sequence.cache.NumTokens());
  const size_t end = begin + static_cast<size_t>(num_tokens);
  for (size_t block = begin / kPageTokens; (block + 1) * kPageTokens <= end; ++block) {
    const bool is_last = block + 1 == sequence.tokens.size() / kPageTokens;
    if (!is_last && block + 1 != sequence.shared_blocks &&
        !prefixes_.KeepsState(block, sequence.request.prompt.size())) {
      continue;
    }
    while (!sequence.cache.ReserveState(static_cast<int>(block))) {
      if (!prefixes_.EvictOne()) return;
    }
  }
}

// Keeps the rows of blocks in which prompts may part, if there is room without any block leaving.
void Scheduler::ReserveRows(Sequence& sequence, int num_tokens) {
  const int begin = sequence.cache.NumTokens();
  const int first = std::max(sequence.rows_begin, begin / kPageTokens);
  const int end = std::min(sequence.rows_begin + sequence.rows_count, (begin + num_tokens) / kPageTokens);
  for (int block = first; block < end; ++block) {
    while (!sequence.cache.ReserveRows(block)) {
      if (!prefixes_.DropRows()) return;
    }
  }
}

// Returns the number of tokens planned, which may be less than num_tokens, or 0.
int Scheduler::PlanTokens(Sequence& sequence, int num_tokens, std::vector<PlannedItem>& items) {
  if (!ReserveByEvicting(sequence, num_tokens)) {
    // A chunk within one block needs the least memory.
    num_tokens = std::min(num_tokens, kPageTokens - sequence.cache.NumTokens() % kPageTokens);
    if (!ReserveByPreempting(sequence, num_tokens, items)) return 0;
  }
  KeepForOthers(sequence, num_tokens);
  ReserveRows(sequence, num_tokens);
  items.push_back({&sequence, num_tokens});
  if (sequence.WantsPromptLogprobs()) prompt_logits_left_ -= num_tokens;
  return num_tokens;
}

void Scheduler::Plan(std::vector<PlannedItem>& items) {
  items.clear();
  Admit();
  int left = options_.step_tokens;
  prompt_logits_left_ = kMostPromptLogits;
  // Preemption takes from the end of running_, so the indices before it stay valid.
  for (size_t i = 0; i < running_.size(); ++i) {
    Sequence& sequence = *running_[i];
    if (!IsDecoding(sequence)) continue;
    // Of tokens that a constraint determined, as many as leave one to each of the others.
    const int most = std::max(1, left - static_cast<int>(running_.size() - i - 1));
    const int wanted = std::min(MostTokens(sequence), most);
    if (wanted > 0) left -= PlanTokens(sequence, wanted, items);
  }
  for (size_t i = 0; i < running_.size() && left > 0; ++i) {
    Sequence& sequence = *running_[i];
    if (IsDecoding(sequence)) continue;
    const int wanted = std::min(MostTokens(sequence), left);
    if (wanted > 0) left -= PlanTokens(sequence, wanted, items);
  }
}

void Scheduler::Computed(const std::vector<PlannedItem>& items) {
  if (!options_.prefix_cache) return;
  for (const PlannedItem& item : items) {
    const int now = item.sequence->cache.NumTokens();
    const int before = now - item.num_tokens - item.num_guesses;
    if (now / kPageTokens == before / kPageTokens) continue;
    const Sequence& sequence = *item.sequence;
    prefixes_.Insert(sequence.tokens, sequence.cache.SealedBlocks(),
                     sequence.asker ? &*sequence.asker : nullptr, sequence.request.prompt.size());
    item.sequence->cache.ReleaseKept();
    for (auto& [block, rows] : item.sequence->cache.TakeRows()) {
      const size_t end = (static_cast<size_t>(block) + 1) * kPageTokens;
      prefixes_.InsertRows(std::span(sequence.tokens).first(end), kPageTokens, std::move(rows));
    }
  }
}

}  // namespace throng::engine
