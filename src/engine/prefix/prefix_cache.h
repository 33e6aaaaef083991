// Sealed blocks, indexed by their tokens and those of all blocks before them: a prompt that begins like an
// earlier one computes only the rest. A block's bytes are a function of those tokens, the model and the
// layout; a cache serves one model and one block pool, so it compares only tokens.
//
// With a spill file, blocks that leave memory go to disk. The blocks in memory are always a prefix of each
// path: a block leaves before its predecessors and returns after them.
//
// Where queries see some pages in a fine form (kv::FineWindow), or layers slide (kv::Reach), a block keeps
// the fine form and the sliding pages here, too, as long as there is room: a prompt can go on from a block
// only if the last ones before it have them. When memory is short, those in the middle of paths leave first.
// Those that are needed where somebody is likely to go on leave with the blocks: at an end or a fork of a
// path, at the end of a prompt, and where a sequence has begun before.
//
// Where prompts part in the middle of a block, its rows before that place can be copied, as long as they are
// kept (open_rows.h): not with recurrent layers, whose state is not kept there.
//
// Of a model with recurrent layers, a prompt can go on only from a block with their state, and states are
// large. So a state stays where somebody is likely to go on: at the end of a path, at a fork, at the end of a
// prompt, where a sequence has begun before, and at regular distances (docs/recurrent-state.md). When memory
// is short, it leaves with its block.
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
#include "engine/prefix/open_rows.h"
#include "kv/cache/block_pool.h"
#include "kv/cache/spill_file.h"

namespace throng::engine {

// Not thread-safe.
class PrefixCache {
 public:
  struct Counts {  // in blocks, since the start
    uint64_t insertions = 0;
    uint64_t recomputations = 0;  // insertions of blocks that had been here before
    uint64_t evictions = 0;       // blocks that left memory
    uint64_t spills = 0;          // evictions to disk
    uint64_t restores = 0;        // reads back from disk
  };

  // Restored blocks go to the pool. Pool and spill file outlive the cache. spill: may be null.
  PrefixCache(kv::BlockPool& pool, kv::SpillFile* spill);
  ~PrefixCache();
  PrefixCache(const PrefixCache&) = delete;
  PrefixCache& operator=(const PrefixCache&) = delete;

  // The most blocks that a prompt of n tokens can take from the cache: floor((n - 1) / 64), which leaves at
  // least one token to compute logits from.
  static size_t MostBlocks(size_t num_tokens);

  // What is known about agents; it decides which blocks leave. Blocks that no agent used leave first, in
  // order of last use.
  NextUse& Expectations() { return next_use_; }

  // Learns from an agent's prompt which blocks are used again. Call it once per prompt, before Insert of its
  // blocks.
  void Learn(std::span<const int32_t> prompt, const Asker& asker);

  // Whether the state after this block is of use once the path goes on: at the last block that an equal
  // prompt can take, and at distances at which states take no more bytes than the blocks' pages.
  bool KeepsState(size_t block, size_t num_prompt) const;

  // Finds the longest run of blocks in memory that these tokens begin with. kv::UsableBlocks says how many of
  // them a sequence can begin with.
  void Match(std::span<const int32_t> tokens, std::vector<kv::SealedBlock>& blocks);

  // After Match: adds the blocks that follow on disk, evicting others if the budget has no room.
  void Restore(std::span<const int32_t> tokens, std::vector<kv::SealedBlock>& blocks);

  // A sequence begins with the first `num_blocks` blocks of these tokens, so that what it needs for that is
  // of use.
  void Begins(std::span<const int32_t> tokens, size_t num_blocks);

  // blocks[i] holds tokens [64 i, 64 i + 64). Tokens whose block is already in memory keep that block, and
  // get its fine form, its sliding pages and its state if they lack them. asker: may be null. num_prompt: the
  // number of prompt tokens; the rest are the answer.
  void Insert(std::span<const int32_t> tokens, std::span<const kv::SealedBlock> blocks,
              const Asker* asker = nullptr, size_t num_prompt = 0);

  // Rows of the block after the first `num_blocks`, which are in memory: of the tokens that follow, all but
  // the last, those that an earlier sequence had too, or none.
  OpenRows::Found FindRows(std::span<const int32_t> tokens, size_t num_blocks);

  // Notes how a prompt goes on after `num_blocks` blocks, of which it gets `count` tokens by FindRows.
  // Returns of how many of the blocks that follow to keep the rows: the first, if an earlier prompt went on
  // like it for longer, so that a third may; or a few, as long as such copies pay.
  int NoteParting(std::span<const int32_t> prompt, size_t num_blocks, int count);

  // Keeps the rows of the last `count` of these tokens, those after whole blocks, if these are in memory.
  void InsertRows(std::span<const int32_t> tokens, int count, kv::BlockRef rows);

  // Drops the rows used least recently; false if there are none.
  [[nodiscard]] bool DropRows() { return rows_.DropOldest(); }

  // Evicts from memory rows of open blocks, or else fine forms or sliding pages in the middle of paths, or
  // else the block expected to be needed last, among those that nobody else holds and no longer prefix in
  // memory needs; or else fine forms, sliding pages or a state that nobody else holds. Returns false if there
  // is nothing.
  [[nodiscard]] bool EvictOne();

  size_t EvictableBytes() const;                      // walks over all blocks
  size_t NumBlocks() const { return nodes_.size(); }  // in memory and on disk
  const Counts& GetCounts() const { return counts_; }

 private:
  struct Node;
  // Smaller ranks leave first.
  struct Rank {
    double rate;  // expected uses per step
    uint64_t last_use;
    auto operator<=>(const Rank&) const = default;
  };
  class Leaves;

  static uint64_t ChildHash(const Node* parent, std::span<const int32_t> tokens);
  Node* FindChild(const Node* parent, uint64_t hash, std::span<const int32_t> tokens);
  Node* FindChild(const Node* parent, std::span<const int32_t> tokens, size_t index);
  Node* MakeChild(Node* parent, uint64_t hash, std::span<const int32_t> tokens);
  Node* FindNode(std::span<const int32_t> tokens, size_t num_blocks);
  Leaves* LeavesOf(const Node* node);
  bool LacksOwn(const Node* node) const;
  bool IsDead(const Node* node) const;
  Rank RankOf(const Node* node) const;
  void Complete(Node* node, const kv::SealedBlock& block, std::span<const int32_t> tokens, size_t i,
                size_t num_prompt);
  bool Follows(const Node* node, std::span<const int32_t> tokens, size_t block);
  void Touch(Node* node);
  void AddUse(Node* node, const Asker& asker, size_t index, bool in_prompt);
  void DropUse(Node* node, uint32_t agent);
  void Enter(Node* node, kv::SealedBlock block);
  std::shared_ptr<kv::Block> Allocate(kv::BlockKind kind);
  void Leave(Node* node);
  bool HasPassing() const { return pool_.FineBytes() + pool_.SlidingBytes() > 0; }
  void MarkNearEnds(kv::BlockKind kind);
  bool DropPassing(kv::BlockKind kind, bool near_ends);
  bool DropPassing(bool near_ends);
  bool DropState();
  bool Spill(Node* node);
  void DropFromDisk(Node* node);
  void EraseIfLost(Node* node);
  void NoteLost(uint64_t hash);

  kv::BlockPool& pool_;
  kv::SpillFile* const spill_;
  NextUse next_use_;
  std::unordered_multimap<uint64_t, std::unique_ptr<Node>> nodes_;  // by the hash of their path
  std::unique_ptr<Leaves> leaves_;                            // nodes in memory, without children in memory
  std::unique_ptr<Leaves> disk_leaves_;                       // nodes on disk, without children
  std::unordered_map<uint32_t, std::vector<Node*>> used_by_;  // nodes by agent
  std::unordered_set<uint64_t> lost_;                         // hashes of the blocks lost most recently
  std::deque<uint64_t> lost_order_;                           // the hashes in lost_, oldest first
  OpenRows rows_;
  uint64_t clock_ = 0;
  uint64_t visit_ = 0;
  uint64_t sweep_ = 0;          // number of the last MarkNearEnds
  size_t passing_entered_ = 0;  // fine forms and sliding pages since the last DropPassing
  Counts counts_;
};

}  // namespace throng::engine
