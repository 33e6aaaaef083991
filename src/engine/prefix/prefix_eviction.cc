// What leaves a prefix cache when memory is short.
#include <algorithm>

#include "engine/prefix/prefix_cache.h"
#include "engine/prefix/prefix_nodes.h"

namespace throng::engine {
namespace {

// Looking for fine forms to drop takes a walk over all blocks, so it waits until one has entered per so many
// blocks.
constexpr size_t kBlocksPerDrop = 64;

// Nobody else holds what there is.
bool IsUnshared(const kv::SealedBlock& block) {
  return std::ranges::all_of(kv::kSealedKinds,
                             [&](kv::BlockKind kind) { return block.Of(kind).use_count() <= 1; });
}

}  // namespace

// Nobody can go on from a block without a state, unless a longer path has one.
bool PrefixCache::IsDead(const Node* node) const {
  if (pool_.StateBytes() == 0 || node->num_children > 0) return false;
  return node->slot >= 0 ? !spill_->Has(node->slot, kv::BlockKind::kState) : node->block.state == nullptr;
}

// The rates of all agents that use the block add up.
PrefixCache::Rank PrefixCache::RankOf(const Node* node) const {
  if (IsDead(node)) return {-1, node->last_use};
  double rate = 0;
  for (const NextUse::Use& use : node->uses) rate += next_use_.Rate(use);
  return {rate, node->last_use};
}

// A state leaves before others of its block's rank if the path goes on and nobody has begun there: it is for
// prompts that have not come yet.
PrefixCache::Rank PrefixCache::StateRankOf(const Node* node) const {
  if (node->num_children_in_memory == 0) return RankOf(node);
  const bool is_used = node->begun || node->num_children_in_memory > 1;
  return {is_used ? RankOf(node).rate : 0, node->state_use};
}

void PrefixCache::DropState(Node* node) {
  states_->Remove(node);
  node->block.state.reset();
}

size_t PrefixCache::EvictableBytes() const {
  size_t bytes = 0;
  for (const auto& [hash, node] : nodes_) {
    for (const kv::BlockKind kind : kv::kSealedKinds) {
      if (node->block.Of(kind).use_count() == 1) bytes += pool_.Bytes(kind);
    }
  }
  return bytes;
}

// Marks the blocks in the windows of those that are likely to be gone on from: where a path ends or forks.
void PrefixCache::MarkNearEnds() {
  ++sweep_;
  const int recent = pool_.Layout().window.recent_blocks;
  for (const auto& [hash, end] : nodes_) {
    if (!end->block || end->num_children_in_memory == 1) continue;
    Node* node = end.get();
    for (int i = 0; i < recent && node != nullptr; ++i, node = node->parent) node->near_end = sweep_;
  }
}

// Drops the fine forms that only the cache holds, beside a base form. near_ends: those near ends, too.
// Returns false if there is none.
bool PrefixCache::DropFine(bool near_ends) {
  if (pool_.FineBytes() == 0) return false;
  if (!near_ends) MarkNearEnds();
  fine_entered_ = 0;
  bool dropped = false;
  for (const auto& [hash, node] : nodes_) {
    kv::SealedBlock& block = node->block;
    if (block.base == nullptr || block.fine.use_count() != 1) continue;
    if (!near_ends && node->near_end == sweep_) continue;
    block.fine.reset();
    dropped = true;
  }
  return dropped;
}

bool PrefixCache::EvictOne() {
  if (fine_entered_ > nodes_.size() / kBlocksPerDrop && DropFine(false)) return true;
  Node* node = leaves_->First([this](const Node* leaf) { return RankOf(leaf); },
                              [](const Node* leaf) { return IsUnshared(leaf->block); });
  Node* with_state = states_->First([this](const Node* of) { return StateRankOf(of); },
                                    [](const Node* of) { return of->block.state.use_count() == 1; });
  if (with_state != nullptr && (node == nullptr || StateRankOf(with_state) < RankOf(node))) {
    DropState(with_state);
    return true;
  }
  if (node == nullptr) return DropFine(true);
  Leave(node);
  return true;
}

}  // namespace throng::engine
