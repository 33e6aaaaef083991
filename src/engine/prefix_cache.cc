#include "engine/prefix_cache.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "base/rng.h"

namespace throng::engine {

using kv::kPageTokens;

struct PrefixCache::Node {
  Node* parent;  // null: the first block of a sequence
  uint64_t hash;
  std::array<int32_t, kPageTokens> tokens;
  kv::BlockRef block = nullptr;  // null: not in memory
  int64_t slot = -1;             // on disk, if not negative; never both
  int num_children = 0;
  int num_children_in_memory = 0;
  uint64_t last_use = 0;  // unique: the clock ticks with each use
};

PrefixCache::PrefixCache(kv::BlockPool& pool, kv::SpillFile* spill) : pool_(pool), spill_(spill) {}
PrefixCache::~PrefixCache() = default;

bool PrefixCache::EvictsBefore::operator()(const Node* a, const Node* b) const {
  return a->last_use < b->last_use;
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

// The order that the node is in now, or null.
std::set<PrefixCache::Node*, PrefixCache::EvictsBefore>* PrefixCache::OrderOf(const Node* node) {
  if (node->block != nullptr) return node->num_children_in_memory == 0 ? &leaves_ : nullptr;
  return node->slot >= 0 && node->num_children == 0 ? &disk_leaves_ : nullptr;
}

void PrefixCache::Touch(Node* node) {
  auto* order = OrderOf(node);
  if (order != nullptr) order->erase(node);
  node->last_use = ++clock_;
  if (order != nullptr) order->insert(node);
}

// A block for a node that has none in memory, but whose parent has.
void PrefixCache::Enter(Node* node, kv::BlockRef block) {
  if (node->slot >= 0) {
    if (auto* order = OrderOf(node)) order->erase(node);
    spill_->Free(node->slot);
    node->slot = -1;
  }
  node->block = std::move(block);
  leaves_.insert(node);
  if (node->parent != nullptr && node->parent->num_children_in_memory++ == 0) leaves_.erase(node->parent);
}

// From memory to disk or, if it does not take the block, to nowhere.
void PrefixCache::Leave(Node* node) {
  const bool on_disk = Spill(node);
  leaves_.erase(node);
  node->block.reset();
  if (node->parent != nullptr && --node->parent->num_children_in_memory == 0) leaves_.insert(node->parent);
  ++counts_.evictions;
  if (on_disk) {
    ++counts_.spills;
    if (auto* order = OrderOf(node)) order->insert(node);
  } else {
    EraseIfLost(node);
  }
}

bool PrefixCache::Spill(Node* node) {
  if (spill_ == nullptr) return false;
  while (spill_->IsFull() && !disk_leaves_.empty()) DropFromDisk(*disk_leaves_.begin());
  const int64_t slot = spill_->Write(node->block->Data());
  node->slot = slot;
  return slot >= 0;
}

void PrefixCache::DropFromDisk(Node* node) {
  if (auto* order = OrderOf(node)) order->erase(node);
  spill_->Free(node->slot);
  node->slot = -1;
  EraseIfLost(node);
}

// A node whose block is nowhere stays as long as children are on disk.
void PrefixCache::EraseIfLost(Node* node) {
  while (node != nullptr && node->block == nullptr && node->slot < 0 && node->num_children == 0) {
    Node* parent = node->parent;
    const auto [begin, end] = nodes_.equal_range(node->hash);
    nodes_.erase(std::find_if(begin, end, [&](const auto& entry) { return entry.second.get() == node; }));
    if (parent != nullptr && --parent->num_children == 0 && parent->block == nullptr && parent->slot >= 0) {
      disk_leaves_.insert(parent);
    }
    node = parent;
  }
}

size_t PrefixCache::MostBlocks(size_t num_tokens) {
  return num_tokens == 0 ? 0 : (num_tokens - 1) / kPageTokens;
}

void PrefixCache::Match(std::span<const int32_t> tokens, std::vector<kv::BlockRef>& blocks) {
  blocks.clear();
  const size_t most = MostBlocks(tokens.size());
  Node* parent = nullptr;
  while (blocks.size() < most) {
    Node* node = FindChild(parent, tokens, blocks.size());
    if (node == nullptr || node->block == nullptr) break;
    Touch(node);
    blocks.push_back(node->block);
    parent = node;
  }
}

void PrefixCache::Restore(std::span<const int32_t> tokens, std::vector<kv::BlockRef>& blocks) {
  if (spill_ == nullptr) return;
  Node* parent = nullptr;
  for (size_t i = 0; i < blocks.size(); ++i) parent = FindChild(parent, tokens, i);
  const size_t most = MostBlocks(tokens.size());
  const auto find = [&](const Node* after, size_t index) {
    Node* node = index < most ? FindChild(after, tokens, index) : nullptr;
    return node != nullptr && node->slot >= 0 ? node : nullptr;
  };
  // Or making room for the first might drop the others.
  size_t end = blocks.size();
  for (Node* node = find(parent, end); node != nullptr; node = find(node, ++end)) Touch(node);
  while (blocks.size() < end) {
    std::shared_ptr<kv::Block> block = pool_.TryAllocateSealed();
    while (block == nullptr && EvictOne()) block = pool_.TryAllocateSealed();
    Node* node = find(parent, blocks.size());
    if (block == nullptr || node == nullptr) return;
    if (!spill_->Read(node->slot, block->Data())) return DropFromDisk(node);
    Enter(node, block);
    blocks.push_back(std::move(block));
    ++counts_.restores;
    parent = node;
  }
}

void PrefixCache::Insert(std::span<const int32_t> tokens, std::span<const kv::BlockRef> blocks) {
  THRONG_CHECK(tokens.size() >= blocks.size() * kPageTokens);
  Node* parent = nullptr;
  for (size_t i = 0; i < blocks.size(); ++i) {
    const auto wanted = tokens.subspan(i * kPageTokens, kPageTokens);
    const uint64_t hash = ChildHash(parent, wanted);
    Node* node = FindChild(parent, hash, wanted);
    if (node == nullptr) {
      auto made = std::make_unique<Node>(Node{.parent = parent, .hash = hash, .tokens = {}});
      std::copy(wanted.begin(), wanted.end(), made->tokens.begin());
      node = nodes_.emplace(hash, std::move(made))->second.get();
      if (parent != nullptr) ++parent->num_children;
    }
    if (node->block == nullptr) {
      Enter(node, blocks[i]);
      ++counts_.insertions;
    }
    Touch(node);
    parent = node;
  }
}

size_t PrefixCache::CountEvictable() const {
  return static_cast<size_t>(std::count_if(
      nodes_.begin(), nodes_.end(), [](const auto& entry) { return entry.second->block.use_count() == 1; }));
}

bool PrefixCache::EvictOne() {
  // Blocks in use are those of running sequences, which were touched lately: few are passed over.
  const auto found = std::find_if(leaves_.begin(), leaves_.end(),
                                  [](const Node* node) { return node->block.use_count() == 1; });
  if (found == leaves_.end()) return false;
  Leave(*found);
  return true;
}

}  // namespace throng::engine
