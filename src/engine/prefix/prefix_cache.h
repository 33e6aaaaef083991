// Sealed blocks by the tokens that they and all blocks before them hold, so that a prompt that begins like an
// earlier one computes only the rest. A block's bytes are a function of those tokens, the model and the
// layout; a cache serves one model and one block pool, so tokens are all that it compares.
//
// With a spill file, blocks that leave memory go to disk. The blocks in memory are always a prefix of each
// path: a block goes before those that it follows, and comes back after them.
#pragma once

#include <compare>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "engine/prefix/next_use.h"
#include "kv/cache/block_pool.h"
#include "kv/cache/spill_file.h"

namespace throng::engine {

// For one thread.
class PrefixCache {
 public:
  struct Counts {  // in blocks, since the start
    uint64_t insertions = 0;
    uint64_t recomputations = 0;  // of these, of tokens whose block had been here before
    uint64_t evictions = 0;       // from memory
    uint64_t spills = 0;          // of these, to disk
    uint64_t restores = 0;        // back from disk
  };

  // The pool is where restored blocks go; both outlive the cache. spill: may be null.
  PrefixCache(kv::BlockPool& pool, kv::SpillFile* spill);
  ~PrefixCache();
  PrefixCache(const PrefixCache&) = delete;
  PrefixCache& operator=(const PrefixCache&) = delete;

  // How many blocks of a prompt of n tokens can come from the cache: floor((n - 1) / 64), so that at least
  // one token is left to compute logits from.
  static size_t MostBlocks(size_t num_tokens);

  // What is known of agents. It decides which blocks leave; those that no agent used leave first, the least
  // recently used one of them before the others.
  NextUse& Expectations() { return next_use_; }

  // An agent's prompt, once, before Insert of its blocks: shows which blocks are used again.
  void Learn(std::span<const int32_t> prompt, const Asker& asker);

  // The longest run of blocks in memory that these tokens begin with.
  void Match(std::span<const int32_t> tokens, std::vector<kv::BlockRef>& blocks);

  // After Match: adds the blocks that follow on disk, evicting others where the budget has no room.
  void Restore(std::span<const int32_t> tokens, std::vector<kv::BlockRef>& blocks);

  // blocks[i] holds tokens [64 i, 64 i + 64). Those that are in memory already keep their block. asker: may
  // be null; num_prompt: so many of the tokens are its prompt, the others are of the answer.
  void Insert(std::span<const int32_t> tokens, std::span<const kv::BlockRef> blocks,
              const Asker* asker = nullptr, size_t num_prompt = 0);

  // Takes from memory the block that is needed last, as far as one knows, of those that nobody else holds
  // and no longer prefix in memory needs. False if there is none.
  [[nodiscard]] bool EvictOne();

  size_t CountEvictable() const;                      // walks over all blocks
  size_t NumBlocks() const { return nodes_.size(); }  // in memory and on disk
  const Counts& GetCounts() const { return counts_; }

 private:
  struct Node;
  // Smaller ones leave first.
  struct Rank {
    double rate;  // of expected uses
    uint64_t last_use;
    auto operator<=>(const Rank&) const = default;
  };
  class Leaves;

  static uint64_t ChildHash(const Node* parent, std::span<const int32_t> tokens);
  Node* FindChild(const Node* parent, uint64_t hash, std::span<const int32_t> tokens);
  Node* FindChild(const Node* parent, std::span<const int32_t> tokens, size_t index);
  Node* MakeChild(Node* parent, uint64_t hash, std::span<const int32_t> tokens);
  Leaves* LeavesOf(const Node* node);
  Rank RankOf(const Node* node) const;
  void Touch(Node* node);
  void AddUse(Node* node, const Asker& asker, size_t index, bool in_prompt);
  void DropUse(Node* node, uint32_t agent);
  void Enter(Node* node, kv::BlockRef block);
  void Leave(Node* node);
  bool Spill(Node* node);
  void DropFromDisk(Node* node);
  void EraseIfLost(Node* node);
  void NoteLost(uint64_t hash);

  kv::BlockPool& pool_;
  kv::SpillFile* const spill_;
  NextUse next_use_;
  std::unordered_multimap<uint64_t, std::unique_ptr<Node>> nodes_;  // by the hash of their path
  std::unique_ptr<Leaves> leaves_;                                  // in memory, without children in memory
  std::unique_ptr<Leaves> disk_leaves_;                             // on disk, without children
  std::unordered_map<uint32_t, std::vector<Node*>> used_by_;        // by agent
  std::unordered_set<uint64_t> lost_;  // hashes of blocks that were here, those of the latest
  std::deque<uint64_t> lost_order_;    // the same, the oldest first
  uint64_t clock_ = 0;
  uint64_t visit_ = 0;
  Counts counts_;
};

}  // namespace throng::engine
