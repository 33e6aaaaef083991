#include "engine/prefix_cache.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "base/check.h"
#include "base/rng.h"

namespace throng::engine {

using kv::kPageTokens;

struct PrefixCache::Node {
  Node* parent;  // null: the first block of a sequence
  uint64_t hash;
  std::array<int32_t, kPageTokens> tokens;
  kv::BlockRef block;
  int num_children = 0;
  uint64_t last_use = 0;  // unique: the clock ticks with each use
};

PrefixCache::PrefixCache() = default;
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

void PrefixCache::Touch(Node* node) {
  const bool is_leaf = node->num_children == 0;
  if (is_leaf) leaves_.erase(node);
  node->last_use = ++clock_;
  if (is_leaf) leaves_.insert(node);
}

size_t PrefixCache::MostBlocks(size_t num_tokens) {
  return num_tokens == 0 ? 0 : (num_tokens - 1) / kPageTokens;
}

void PrefixCache::Match(std::span<const int32_t> tokens, std::vector<kv::BlockRef>& blocks) {
  blocks.clear();
  const size_t most = MostBlocks(tokens.size());
  Node* parent = nullptr;
  while (blocks.size() < most) {
    const auto wanted = tokens.subspan(blocks.size() * kPageTokens, kPageTokens);
    Node* node = FindChild(parent, ChildHash(parent, wanted), wanted);
    if (node == nullptr) break;
    Touch(node);
    blocks.push_back(node->block);
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
      auto made =
          std::make_unique<Node>(Node{.parent = parent, .hash = hash, .tokens = {}, .block = blocks[i]});
      std::copy(wanted.begin(), wanted.end(), made->tokens.begin());
      node = nodes_.emplace(hash, std::move(made))->second.get();
      if (parent != nullptr && parent->num_children++ == 0) leaves_.erase(parent);
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
  Node* node = *found;
  leaves_.erase(found);
  if (node->parent != nullptr && --node->parent->num_children == 0) leaves_.insert(node->parent);
  const auto [begin, end] = nodes_.equal_range(node->hash);
  nodes_.erase(std::find_if(begin, end, [&](const auto& entry) { return entry.second.get() == node; }));
  ++counts_.evictions;
  return true;
}

}  // namespace throng::engine
