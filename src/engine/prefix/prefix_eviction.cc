// What leaves a prefix cache when memory is short.
#include <algorithm>

#include "engine/prefix/prefix_cache.h"
#include "engine/prefix/prefix_nodes.h"

namespace throng::engine {
namespace {

// Looking for fine forms and sliding pages to drop takes a walk over all blocks, so it waits until one has
// entered per so many blocks.
constexpr size_t kBlocksPerDrop = 64;

// Nobody else holds what there is.
bool IsUnshared(const kv::SealedBlock& block) {
  return std::ranges::all_of(kv::kSealedKinds,
                             [&](kv::BlockKind kind) { return block.Of(kind).use_count() <= 1; });
}

}  // namespace

// Whether nobody can go on from the block, since it lacks something that the token after it needs.
bool PrefixCache::LacksOwn(const Node* node) const {
  return std::ranges::any_of(kv::kSealedKinds, [&](kv::BlockKind kind) {
    if (!kv::IsNeeded(pool_.Layout(), kind, node->index, node->index + 1)) return false;
    return node->slot >= 0 ? !spill_->Has(node->slot, kind) : node->block.Of(kind) == nullptr;
  });
}

// Nobody can go on from the block, nor from a longer path.
bool PrefixCache::IsDead(const Node* node) const { return node->num_children == 0 && LacksOwn(node); }

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

// Marks the blocks whose fine forms or sliding pages are needed where somebody is likely to go on.
void PrefixCache::MarkNearEnds(kv::BlockKind kind) {
  ++sweep_;
  const kv::BlockLayout& layout = pool_.Layout();
  for (const auto& [hash, end] : nodes_) {
    const bool is_end = end->num_children_in_memory != 1 || end->begun || end->ends_prompt;
    if (!end->block || !is_end) continue;
    const int next = end->index + 1;
    for (Node* node = end.get(); node != nullptr; node = node->parent) {
      // What is needed begins somewhere and has no gap, except for sinks, which never slide.
      if (!kv::IsNeeded(layout, kind, node->index, next)) break;
      node->near_end = sweep_;
    }
  }
}

// Drops the fine forms or the sliding pages that only the cache holds; never the only form of a block.
// near_ends: those near ends, too. Returns false if there is none.
bool PrefixCache::DropPassing(kv::BlockKind kind, bool near_ends) {
  if (pool_.Bytes(kind) == 0) return false;
  if (!near_ends) MarkNearEnds(kind);
  bool dropped = false;
  for (const auto& [hash, node] : nodes_) {
    kv::BlockRef& slab = node->block.Of(kind);
    if (node->block.base == nullptr || slab.use_count() != 1) continue;
    if (!near_ends && node->near_end == sweep_) continue;
    slab.reset();
    dropped = true;
  }
  return dropped;
}

bool PrefixCache::DropPassing(bool near_ends) {
  if (!HasPassing()) return false;
  passing_entered_ = 0;
  const bool sliding = DropPassing(kv::BlockKind::kSliding, near_ends);
  return DropPassing(kv::BlockKind::kFine, near_ends) || sliding;
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
  if (passing_entered_ > nodes_.size() / kBlocksPerDrop && DropPassing(false)) return true;
  Node* node = leaves_->First([this](const Node* leaf) { return RankOf(leaf); },
                              [](const Node* leaf) { return IsUnshared(leaf->block); });
  if (node == nullptr) return DropPassing(true) || DropState();
  Leave(node);
  return true;
}

}  // namespace throng::engine
