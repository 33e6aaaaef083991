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

size_t PrefixCache::EvictableBytes() const {
  size_t bytes = rows_.Bytes();
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

// Drops the state that is expected to be needed last, of those that only the cache holds. Returns false if
// there is none.
bool PrefixCache::DropState() {
  if (pool_.StateBytes() == 0) return false;
  Node* last = nullptr;
  for (const auto& [hash, node] : nodes_) {
    if (node->block.state.use_count() != 1) continue;
    if (last == nullptr || RankOf(node.get()) < RankOf(last)) last = node.get();
  }
  if (last == nullptr) return false;
  last->block.state.reset();
  return true;
}

bool PrefixCache::EvictOne() {
  if (rows_.DropOldest()) return true;
  if (fine_entered_ > nodes_.size() / kBlocksPerDrop && DropFine(false)) return true;
  Node* node = leaves_->First([this](const Node* leaf) { return RankOf(leaf); },
                              [](const Node* leaf) { return IsUnshared(leaf->block); });
  if (node == nullptr) return DropFine(true) || DropState();
  Leave(node);
  return true;
}

}  // namespace throng::engine
