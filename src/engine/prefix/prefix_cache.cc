#include "engine/prefix/prefix_cache.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "base/rng.h"
#include "engine/prefix/prefix_nodes.h"

namespace throng::engine {

using kv::kPageTokens;

namespace {

// Agents tracked per block; a block shared by this many is used often anyway.
constexpr size_t kMostUses = 8;
// Lost blocks remembered, so that recomputing one is recognised.
constexpr size_t kMostLost = 1 << 18;

// Of a path: the hash of what comes before a block, and its tokens.
uint64_t HashAfter(uint64_t hash, std::span<const int32_t> tokens) {
  for (const int32_t token : tokens)
    hash = Mix64(hash + 0x9e3779b97f4a7c15ull + static_cast<uint32_t>(token));
  return hash;
}

}  // namespace

PrefixCache::PrefixCache(kv::BlockPool& pool, kv::SpillFile* spill)
    : pool_(pool),
      spill_(spill),
      leaves_(std::make_unique<Leaves>()),
      disk_leaves_(std::make_unique<Leaves>()),
      rows_(pool) {}
PrefixCache::~PrefixCache() = default;

uint64_t PrefixCache::ChildHash(const Node* parent, std::span<const int32_t> tokens) {
  return HashAfter(parent == nullptr ? 0 : parent->hash, tokens);
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
  auto made = std::make_unique<Node>(
      Node{.parent = parent, .index = parent == nullptr ? 0 : parent->index + 1, .hash = hash, .tokens = {}});
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
  passing_entered_ += node->block.fine != nullptr || node->block.sliding != nullptr ? 1 : 0;
  leaves_->Add(node);
  if (node->parent != nullptr && node->parent->num_children_in_memory++ == 0) leaves_->Remove(node->parent);
}

// Moves the block from memory to disk, or drops it if the disk does not take it.
void PrefixCache::Leave(Node* node) {
  const bool on_disk = Spill(node);
  rows_.Forget(node);
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
  if (spill_ == nullptr || IsDead(node)) return false;
  const auto rank_of = [this](const Node* leaf) { return RankOf(leaf); };
  while (!spill_->HasRoom(node->block)) {
    Node* first = disk_leaves_->First(rank_of, [](const Node*) { return true; });
    if (first == nullptr || RankOf(node) < RankOf(first)) return false;
    DropFromDisk(first);
  }
  node->slot = spill_->Write(node->block);
  return node->slot >= 0;
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

bool PrefixCache::KeepsState(size_t block, size_t num_prompt) const {
  if (pool_.StateBytes() == 0) return false;
  const size_t interval = (pool_.StateBytes() + pool_.SealedBytes() - 1) / pool_.SealedBytes();
  return block + 1 == MostBlocks(num_prompt) || (block + 1) % interval == 0;
}

void PrefixCache::Begins(std::span<const int32_t> tokens, size_t num_blocks) {
  if (pool_.StateBytes() == 0 && !HasPassing()) return;
  if (Node* node = FindNode(tokens, num_blocks)) node->begun = true;
}

// The node of the last of these blocks; null if there are none, or it is not here.
PrefixCache::Node* PrefixCache::FindNode(std::span<const int32_t> tokens, size_t num_blocks) {
  Node* node = nullptr;
  for (size_t i = 0; i < num_blocks; ++i) {
    node = FindChild(node, tokens, i);
    if (node == nullptr) return nullptr;
  }
  return node;
}

OpenRows::Found PrefixCache::FindRows(std::span<const int32_t> tokens, size_t num_blocks) {
  const Node* node = FindNode(tokens, num_blocks);
  if (num_blocks > 0 && node == nullptr) return {};
  const auto rest = tokens.subspan(num_blocks * kPageTokens);
  return rows_.Find(node, rest.first(rest.size() - 1));
}

int PrefixCache::NoteParting(std::span<const int32_t> prompt, size_t num_blocks, int count) {
  uint64_t hash = 0;
  bool seen = false;
  for (size_t i = 0; i * kPageTokens < prompt.size(); ++i) {
    const auto rest = prompt.subspan(i * kPageTokens);
    if (i == num_blocks) seen = rows_.WasSeen(hash, rest, count);
    if (i >= num_blocks) rows_.See(hash, rest);
    if (rest.size() >= kPageTokens) hash = HashAfter(hash, rest.first(kPageTokens));
  }
  if (!rows_.Pays()) return seen ? 1 : 0;
  constexpr size_t kMostCopies = 4;
  const size_t in_prompt =
      prompt.size() / kPageTokens;  // whole ones; the last may be completed by the answer
  const size_t computed = in_prompt + 1 - std::min(in_prompt, num_blocks);
  const auto copies = static_cast<int>(std::min(kMostCopies, computed));
  rows_.Spend(copies);
  return copies;
}

void PrefixCache::InsertRows(std::span<const int32_t> tokens, int count, kv::BlockRef rows) {
  const size_t num_blocks = (tokens.size() - static_cast<size_t>(count)) / kPageTokens;
  const Node* node = FindNode(tokens, num_blocks);
  if (num_blocks > 0 && (node == nullptr || !node->block)) return;
  rows_.Add(node, tokens.last(static_cast<size_t>(count)), std::move(rows));
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
  size_t seen = end;
  for (Node* node = find(parent, seen); node != nullptr; node = find(node, ++seen)) {
    Touch(node);
    // What lies behind the last block that somebody can go on from is of no use.
    if (!LacksOwn(node)) end = seen + 1;
  }
  while (blocks.size() < end) {
    kv::SealedBlock block;
    Node* node = find(parent, blocks.size());
    for (const kv::BlockKind kind : kv::kSealedKinds) {
      if (node == nullptr) return;
      if (!spill_->Has(node->slot, kind)) continue;
      const std::shared_ptr<kv::Block> slab = Allocate(kind);
      if (slab == nullptr) return;
      node = find(parent, blocks.size());  // to make room may have dropped it
      if (node == nullptr) return;
      if (!spill_->Read(node->slot, kind, *slab)) return DropFromDisk(node);
      block.Of(kind) = slab;
    }
    blocks.push_back(std::move(block));
    Enter(node, blocks.back());
    ++counts_.restores;
    parent = node;
  }
}

// Whether the tokens after this block, as far as they are known, go on to a child in memory.
bool PrefixCache::Follows(const Node* node, std::span<const int32_t> tokens, size_t block) {
  if (tokens.size() < (block + 2) * kPageTokens) return false;
  const Node* child = FindChild(node, tokens, block + 1);
  return child != nullptr && child->block;
}

// Gives block i of these tokens, which is in memory, what it lacks. Where the tokens go on as others did, a
// state is of no more use than before.
void PrefixCache::Complete(Node* node, const kv::SealedBlock& block, std::span<const int32_t> tokens,
                           size_t i, size_t num_prompt) {
  for (const kv::BlockKind kind : {kv::BlockKind::kSliding, kv::BlockKind::kFine}) {
    if (node->block.Of(kind) != nullptr || block.Of(kind) == nullptr) continue;
    node->block.Of(kind) = block.Of(kind);
    ++passing_entered_;
  }
  if (node->block.state != nullptr || block.state == nullptr) return;
  if (KeepsState(i, num_prompt) || !Follows(node, tokens, i)) node->block.state = block.state;
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
      // The end of the path has moved on.
      const bool is_first = parent != nullptr && parent->num_children_in_memory == 1;
      if (is_first && !parent->begun && !KeepsState(i - 1, num_prompt)) parent->block.state.reset();
    } else {
      Complete(node, blocks[i], tokens, i, num_prompt);
    }
    if (i + 1 == MostBlocks(num_prompt)) node->ends_prompt = true;
    if (asker != nullptr) AddUse(node, *asker, i, (i + 1) * kPageTokens <= num_prompt);
    Touch(node);
    parent = node;
  }
}

}  // namespace throng::engine
