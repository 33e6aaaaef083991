#include "engine/prefix/prefix_cache.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "base/rng.h"

namespace throng::engine {

using kv::kPageTokens;

namespace {

// Agents tracked per block; a block shared by this many is used often anyway.
constexpr size_t kMostUses = 8;
// Lost blocks remembered, so that recomputing one is recognised.
constexpr size_t kMostLost = 1 << 18;
// Looking for fine forms to drop takes a walk over all blocks, so it waits until one has entered per so many
// blocks.
constexpr size_t kBlocksPerDrop = 64;

// Nobody else holds what there is.
bool IsUnshared(const kv::SealedBlock& block) {
  return block.base.use_count() <= 1 && block.fine.use_count() <= 1;
}

}  // namespace

struct PrefixCache::Node {
  Node* parent;  // null: the first block of a sequence
  uint64_t hash;
  std::array<int32_t, kPageTokens> tokens;
  kv::SealedBlock block = {};  // empty: not in memory
  int64_t slot = -1;           // slot on disk, if not negative; then block is empty
  int num_children = 0;
  int num_children_in_memory = 0;
  uint64_t last_use = 0;  // unique: the clock ticks with each use
  std::vector<NextUse::Use> uses{};
  uint64_t visit = 0;     // number of the last Learn that passed here
  uint64_t near_end = 0;  // number of the last sweep that found it in the window of an end or a fork
  size_t leaf_index = 0;  // index in its Leaves
  bool chosen = false;    // its Leaves chose it to leave soon
};

// Nodes that may leave. Ranks change all at once, with time and with what agents do, so they are not kept in
// order. When a node must leave, those with the smallest ranks are chosen: a few ahead if there are many.
class PrefixCache::Leaves {
 public:
  void Add(Node* node) {
    node->leaf_index = leaves_.size();
    leaves_.push_back(node);
  }

  void Remove(Node* node) {
    Keep(node);
    leaves_.back()->leaf_index = node->leaf_index;
    leaves_[node->leaf_index] = leaves_.back();
    leaves_.pop_back();
  }

  // The node was used: revokes an earlier choice.
  void Keep(Node* node) {
    if (!node->chosen) return;
    node->chosen = false;
    std::erase(chosen_, node);
  }

  // Returns null if no node may go.
  template <typename RankOf, typename MayGo>
  Node* First(const RankOf& rank_of, const MayGo& may_go) {
    while (true) {
      for (; !chosen_.empty(); Keep(chosen_.back())) {
        if (may_go(chosen_.back())) return chosen_.back();
      }
      ranked_.clear();
      for (Node* node : leaves_) {
        if (may_go(node)) ranked_.emplace_back(rank_of(node), node);
      }
      if (ranked_.empty()) return nullptr;
      const size_t count = 1 + ranked_.size() / kLeavesPerChoice;
      std::partial_sort(ranked_.begin(), ranked_.begin() + static_cast<ptrdiff_t>(count), ranked_.end());
      for (size_t i = count; i-- > 0;) {
        ranked_[i].second->chosen = true;
        chosen_.push_back(ranked_[i].second);
      }
    }
  }

 private:
  static constexpr size_t kLeavesPerChoice = 64;
  std::vector<Node*> leaves_;
  std::vector<Node*> chosen_;  // a subset of leaves_; the last one goes first
  std::vector<std::pair<Rank, Node*>> ranked_;
};

PrefixCache::PrefixCache(kv::BlockPool& pool, kv::SpillFile* spill)
    : pool_(pool),
      spill_(spill),
      leaves_(std::make_unique<Leaves>()),
      disk_leaves_(std::make_unique<Leaves>()) {}
PrefixCache::~PrefixCache() = default;

// The rates of all agents that use the block add up.
PrefixCache::Rank PrefixCache::RankOf(const Node* node) const {
  double rate = 0;
  for (const NextUse::Use& use : node->uses) rate += next_use_.Rate(use);
  return {rate, node->last_use};
}

uint64_t PrefixCache::ChildHash(const Node* parent, std::span<const int32_t> tokens) {
  uint64_t hash = parent == nullptr ? 0 : parent->hash;
  for (const int32_t token : tokens)
    hash = Mix64(hash + 0x9e3779b97f4a7c15ull + static_cast<uint32_t>(token));
  return hash;
}

PrefixCache::Node* PrefixCache::FindChild(const Node* parent, uint64_t hash,
                                          std::span<const int32_t> tokens) {
  const auto [begin, end] = nodes_.equal_range(hash);
  for (auto it = begin; it != end; ++it) {
    Node* node = it->second.get();
    if (node->parent == parent && std::equal(tokens.begin(), tokens.end(), node->tokens.begin())) return node;
  }
  return nullptr;
}

PrefixCache::Node* PrefixCache::FindChild(const Node* parent, std::span<const int32_t> tokens, size_t index) {
  const auto wanted = tokens.subspan(index * kPageTokens, kPageTokens);
  return FindChild(parent, ChildHash(parent, wanted), wanted);
}

PrefixCache::Node* PrefixCache::MakeChild(Node* parent, uint64_t hash, std::span<const int32_t> tokens) {
  auto made = std::make_unique<Node>(Node{.parent = parent, .hash = hash, .tokens = {}});
  std::copy(tokens.begin(), tokens.end(), made->tokens.begin());
  if (parent != nullptr) ++parent->num_children;
  return nodes_.emplace(hash, std::move(made))->second.get();
}

// The Leaves that hold the node now, or null.
PrefixCache::Leaves* PrefixCache::LeavesOf(const Node* node) {
  if (node->block) return node->num_children_in_memory == 0 ? leaves_.get() : nullptr;
  return node->slot >= 0 && node->num_children == 0 ? disk_leaves_.get() : nullptr;
}

void PrefixCache::Touch(Node* node) {
  if (Leaves* leaves = LeavesOf(node)) leaves->Keep(node);
  node->last_use = ++clock_;
}

void PrefixCache::AddUse(Node* node, const Asker& asker, size_t index, bool in_prompt) {
  const auto is_agent = [&](const NextUse::Use& use) { return use.agent == asker.agent; };
  if (std::any_of(node->uses.begin(), node->uses.end(), is_agent)) return;
  if (node->uses.size() == kMostUses) DropUse(node, node->uses.front().agent);
  node->uses.push_back(NextUse::Use::Of(asker, index));
  if (in_prompt) node->uses.back().hits = 1;
  used_by_[asker.agent].push_back(node);
}

void PrefixCache::DropUse(Node* node, uint32_t agent) {
  std::erase_if(node->uses, [&](const NextUse::Use& use) { return use.agent == agent; });
  std::erase(used_by_[agent], node);
}

void PrefixCache::Learn(std::span<const int32_t> prompt, const Asker& asker) {
  std::vector<Node*> path;
  const size_t most = MostBlocks(prompt.size());
  ++visit_;
  for (Node* node = nullptr; path.size() < most; path.push_back(node)) {
    node = FindChild(node, prompt, path.size());
    if (node == nullptr) break;
    node->visit = visit_;
  }
  std::erase_if(used_by_[asker.agent], [&](Node* node) {
    const auto use = std::find_if(node->uses.begin(), node->uses.end(),
                                  [&](const NextUse::Use& known) { return known.agent == asker.agent; });
    next_use_.Learn(*use, node->visit == visit_);
    if (use->misses < NextUse::kForgotten) return false;
    node->uses.erase(use);
    return true;
  });
  for (size_t i = 0; i < path.size(); ++i) AddUse(path[i], asker, i, true);
}

// Gives a block to a node that has none in memory, but whose parent has one.
void PrefixCache::Enter(Node* node, kv::SealedBlock block) {
  if (node->slot >= 0) {
    if (Leaves* leaves = LeavesOf(node)) leaves->Remove(node);
    spill_->Free(node->slot);
    node->slot = -1;
  }
  node->block = std::move(block);
  fine_entered_ += node->block.fine != nullptr ? 1 : 0;
  leaves_->Add(node);
  if (node->parent != nullptr && node->parent->num_children_in_memory++ == 0) leaves_->Remove(node->parent);
}

// Moves the block from memory to disk, or drops it if the disk does not take it.
void PrefixCache::Leave(Node* node) {
  const bool on_disk = Spill(node);
  leaves_->Remove(node);
  node->block = {};
  if (node->parent != nullptr && --node->parent->num_children_in_memory == 0) leaves_->Add(node->parent);
  ++counts_.evictions;
  if (on_disk) {
    ++counts_.spills;
    if (Leaves* leaves = LeavesOf(node)) leaves->Add(node);
  } else {
    EraseIfLost(node);
  }
}

bool PrefixCache::Spill(Node* node) {
  if (spill_ == nullptr) return false;
  const auto rank_of = [this](const Node* leaf) { return RankOf(leaf); };
  while (spill_->IsFull()) {
    Node* first = disk_leaves_->First(rank_of, [](const Node*) { return true; });
    if (first == nullptr || RankOf(node) < RankOf(first)) return false;
    DropFromDisk(first);
  }
  const auto data = [](const kv::BlockRef& block) { return block == nullptr ? nullptr : block->Data(); };
  const int64_t slot = spill_->Write(data(node->block.base), data(node->block.fine));
  node->slot = slot;
  return slot >= 0;
}

void PrefixCache::DropFromDisk(Node* node) {
  if (Leaves* leaves = LeavesOf(node)) leaves->Remove(node);
  spill_->Free(node->slot);
  node->slot = -1;
  EraseIfLost(node);
}

// Erases a node whose block is nowhere, unless it has children on disk; then looks at its parent.
void PrefixCache::EraseIfLost(Node* node) {
  while (node != nullptr && !node->block && node->slot < 0 && node->num_children == 0) {
    Node* parent = node->parent;
    NoteLost(node->hash);
    for (const NextUse::Use& use : node->uses) std::erase(used_by_[use.agent], node);
    const auto [begin, end] = nodes_.equal_range(node->hash);
    nodes_.erase(std::find_if(begin, end, [&](const auto& entry) { return entry.second.get() == node; }));
    if (parent != nullptr && --parent->num_children == 0 && !parent->block && parent->slot >= 0) {
      disk_leaves_->Add(parent);
    }
    node = parent;
  }
}

void PrefixCache::NoteLost(uint64_t hash) {
  if (!lost_.insert(hash).second) return;
  lost_order_.push_back(hash);
  if (lost_order_.size() <= kMostLost) return;
  lost_.erase(lost_order_.front());
  lost_order_.pop_front();
}

size_t PrefixCache::MostBlocks(size_t num_tokens) {
  return num_tokens == 0 ? 0 : (num_tokens - 1) / kPageTokens;
}

void PrefixCache::Match(std::span<const int32_t> tokens, std::vector<kv::SealedBlock>& blocks) {
  blocks.clear();
  const size_t most = MostBlocks(tokens.size());
  Node* parent = nullptr;
  while (blocks.size() < most) {
    Node* node = FindChild(parent, tokens, blocks.size());
    if (node == nullptr || !node->block) break;
    Touch(node);
    blocks.push_back(node->block);
    parent = node;
  }
}

// Returns null if there is no room for a block, even after evicting others.
std::shared_ptr<kv::Block> PrefixCache::Allocate(kv::BlockKind kind) {
  std::shared_ptr<kv::Block> block = pool_.TryAllocate(kind);
  while (block == nullptr && EvictOne()) block = pool_.TryAllocate(kind);
  return block;
}

void PrefixCache::Restore(std::span<const int32_t> tokens, std::vector<kv::SealedBlock>& blocks) {
  if (spill_ == nullptr) return;
  Node* parent = nullptr;
  for (size_t i = 0; i < blocks.size(); ++i) parent = FindChild(parent, tokens, i);
  const size_t most = MostBlocks(tokens.size());
  const auto find = [&](const Node* after, size_t index) {
    Node* node = index < most ? FindChild(after, tokens, index) : nullptr;
    return node != nullptr && node->slot >= 0 ? node : nullptr;
  };
  // Touch all of them first, or making room for one might drop the others.
  size_t end = blocks.size();
  for (Node* node = find(parent, end); node != nullptr; node = find(node, ++end)) Touch(node);
  while (blocks.size() < end) {
    Node* node = find(parent, blocks.size());
    if (node == nullptr) return;
    std::shared_ptr<kv::Block> base, fine;
    if (spill_->HasBase(node->slot) && (base = Allocate(kv::BlockKind::kSealed)) == nullptr) return;
    node = find(parent, blocks.size());  // to make room may have dropped it
    if (node == nullptr) return;
    if (spill_->HasFine(node->slot) && (fine = Allocate(kv::BlockKind::kFine)) == nullptr) return;
    node = find(parent, blocks.size());
    if (node == nullptr) return;
    const auto data = [](const std::shared_ptr<kv::Block>& block) {
      return block == nullptr ? nullptr : block->Data();
    };
    if (!spill_->Read(node->slot, data(base), data(fine))) return DropFromDisk(node);
    blocks.push_back({std::move(base), std::move(fine)});
    Enter(node, blocks.back());
    ++counts_.restores;
    parent = node;
  }
}

void PrefixCache::Insert(std::span<const int32_t> tokens, std::span<const kv::SealedBlock> blocks,
                         const Asker* asker, size_t num_prompt) {
  THRONG_CHECK(tokens.size() >= blocks.size() * kPageTokens);
  Node* parent = nullptr;
  for (size_t i = 0; i < blocks.size(); ++i) {
    const auto wanted = tokens.subspan(i * kPageTokens, kPageTokens);
    const uint64_t hash = ChildHash(parent, wanted);
    Node* node = FindChild(parent, hash, wanted);
    const bool was_here = node != nullptr || lost_.contains(hash);
    if (node == nullptr) node = MakeChild(parent, hash, wanted);
    if (!node->block) {
      Enter(node, blocks[i]);
      ++counts_.insertions;
      if (was_here) ++counts_.recomputations;
    } else if (node->block.fine == nullptr && blocks[i].fine != nullptr) {
      node->block.fine = blocks[i].fine;
      ++fine_entered_;
    }
    if (asker != nullptr) AddUse(node, *asker, i, (i + 1) * kPageTokens <= num_prompt);
    Touch(node);
    parent = node;
  }
}

size_t PrefixCache::EvictableBytes() const {
  size_t bytes = 0;
  for (const auto& [hash, node] : nodes_) {
    if (node->block.base.use_count() == 1) bytes += pool_.SealedBytes();
    if (node->block.fine.use_count() == 1) bytes += pool_.FineBytes();
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
  if (node == nullptr) return DropFine(true);
  Leave(node);
  return true;
}

}  // namespace throng::engine
