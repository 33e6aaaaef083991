// Sealed blocks by the tokens that they and all blocks before them hold, so that a prompt that begins like an
// earlier one computes only the rest. A block's bytes are a function of those tokens, the model and the
// layout; a cache serves one model and one block pool, so tokens are all that it compares.
//
// With a spill file, blocks that leave memory go to disk. The blocks in memory are always a prefix of each
// path: a block goes before those that it follows, and comes back after them.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <unordered_map>
#include <vector>

#include "kv/block_pool.h"
#include "kv/spill_file.h"

namespace throng::engine {

// For one thread.
class PrefixCache {
 public:
  struct Counts {  // in blocks, since the start
    uint64_t insertions = 0;
    uint64_t evictions = 0;  // from memory
    uint64_t spills = 0;     // of these, to disk
    uint64_t restores = 0;   // back from disk
  };

  // The pool is where restored blocks go; both outlive the cache. spill: may be null.
  PrefixCache(kv::BlockPool& pool, kv::SpillFile* spill);
  ~PrefixCache();
  PrefixCache(const PrefixCache&) = delete;
  PrefixCache& operator=(const PrefixCache&) = delete;

  // How many blocks of a prompt of n tokens can come from the cache: floor((n - 1) / 64), so that at least
  // one token is left to compute logits from.
  static size_t MostBlocks(size_t num_tokens);

  // The longest run of blocks in memory that these tokens begin with.
  void Match(std::span<const int32_t> tokens, std::vector<kv::BlockRef>& blocks);

  // After Match: adds the blocks that follow on disk, evicting others where the budget has no room.
  void Restore(std::span<const int32_t> tokens, std::vector<kv::BlockRef>& blocks);

  // blocks[i] holds tokens [64 i, 64 i + 64). Those that are in memory already keep their block.
  void Insert(std::span<const int32_t> tokens, std::span<const kv::BlockRef> blocks);

  // Takes from memory the block that EvictsBefore puts first, of those that nobody else holds and no longer
  // prefix in memory needs. False if there is none.
  [[nodiscard]] bool EvictOne();

  size_t CountEvictable() const;                      // walks over all blocks
  size_t NumBlocks() const { return nodes_.size(); }  // in memory and on disk
  const Counts& GetCounts() const { return counts_; }

 private:
  struct Node;
  // The whole order of eviction: a hint of when a block is needed next belongs here.
  struct EvictsBefore {
    bool operator()(const Node* a, const Node* b) const;
  };

  static uint64_t ChildHash(const Node* parent, std::span<const int32_t> tokens);
  Node* FindChild(const Node* parent, uint64_t hash, std::span<const int32_t> tokens);
  Node* FindChild(const Node* parent, std::span<const int32_t> tokens, size_t index);
  std::set<Node*, EvictsBefore>* OrderOf(const Node* node);
  void Touch(Node* node);
  void Enter(Node* node, kv::BlockRef block);
  void Leave(Node* node);
  bool Spill(Node* node);
  void DropFromDisk(Node* node);
  void EraseIfLost(Node* node);

  kv::BlockPool& pool_;
  kv::SpillFile* const spill_;
  std::unordered_multimap<uint64_t, std::unique_ptr<Node>> nodes_;  // by the hash of their path
  std::set<Node*, EvictsBefore> leaves_;                            // in memory, without children in memory
  std::set<Node*, EvictsBefore> disk_leaves_;                       // on disk, without children
  uint64_t clock_ = 0;
  Counts counts_;
};

}  // namespace throng::engine
