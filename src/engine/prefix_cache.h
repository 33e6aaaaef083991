// Sealed blocks by the tokens that they and all blocks before them hold, so that a prompt that begins like an
// earlier one computes only the rest. A block's bytes are a function of those tokens, the model and the
// layout; a cache serves one model and one block pool, so tokens are all that it compares.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <unordered_map>
#include <vector>

#include "kv/block_pool.h"

namespace throng::engine {

// For one thread.
class PrefixCache {
 public:
  struct Counts {  // in blocks, since the start
    uint64_t insertions = 0;
    uint64_t evictions = 0;
  };

  PrefixCache();
  ~PrefixCache();
  PrefixCache(const PrefixCache&) = delete;
  PrefixCache& operator=(const PrefixCache&) = delete;

  // How many blocks of a prompt of n tokens can come from the cache: floor((n - 1) / 64), so that at least
  // one token is left to compute logits from.
  static size_t MostBlocks(size_t num_tokens);

  // The longest run of cached blocks that these tokens begin with.
  void Match(std::span<const int32_t> tokens, std::vector<kv::BlockRef>& blocks);

  // blocks[i] holds tokens [64 i, 64 i + 64). Those that are there already keep their block.
  void Insert(std::span<const int32_t> tokens, std::span<const kv::BlockRef> blocks);

  // Drops the block that EvictsBefore puts first, of those that nobody else holds and no longer prefix needs.
  // False if there is none.
  [[nodiscard]] bool EvictOne();

  size_t CountEvictable() const;  // walks over all blocks
  size_t NumBlocks() const { return nodes_.size(); }
  const Counts& GetCounts() const { return counts_; }

 private:
  struct Node;
  // The whole order of eviction: a hint of when a block is needed next belongs here.
  struct EvictsBefore {
    bool operator()(const Node* a, const Node* b) const;
  };

  static uint64_t ChildHash(const Node* parent, std::span<const int32_t> tokens);
  Node* FindChild(const Node* parent, uint64_t hash, std::span<const int32_t> tokens);
  void Touch(Node* node);

  // Children by the hash of their path. Nodes without children are also in leaves_, in order of eviction.
  std::unordered_multimap<uint64_t, std::unique_ptr<Node>> nodes_;
  std::set<Node*, EvictsBefore> leaves_;
  uint64_t clock_ = 0;
  Counts counts_;
};

}  // namespace throng::engine
