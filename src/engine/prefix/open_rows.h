// Blocks as they are before they are sealed, so that a prompt which differs from an earlier one in the middle
// of a block copies the rows before that place instead of computing them. A sealed block cannot be cut: its
// codes depend on all of its tokens.
//
// Such a block takes several times the memory of a sealed one, so few are kept: the incomplete last block of
// whoever ended, the blocks in which prompts were seen to part, and, as long as that pays, the first block of
// each prompt that had to be computed. They leave before anything else does, those used least recently first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "kv/cache/block_pool.h"

namespace throng::engine {

// Not thread-safe. `path` stands for the blocks before a block: an address for what is compared exactly, a
// hash for what is but a hint.
class OpenRows {
 public:
  // Sharing fewer tokens than this is not looked for, and lengths are told apart in steps of it.
  static constexpr size_t kStep = 16;

  struct Found {
    kv::BlockRef rows = nullptr;
    int count = 0;  // of the tokens asked for, which are the first of its rows
  };

  explicit OpenRows(const kv::BlockPool& pool) : pool_(pool) {}

  // tokens: those that follow the path; a block has its first 64. Finds the rows with most of them.
  Found Find(const void* path, std::span<const int32_t> tokens);

  // Keeps the rows of these tokens, at most 64, unless there are some that begin with all of them. Rows with
  // fewer than kStep tokens, and those that these begin with, are dropped. At most an eighth of the pool's
  // budget is kept.
  void Add(const void* path, std::span<const int32_t> tokens, kv::BlockRef rows);

  // The blocks before have left memory: so do these rows.
  void Forget(const void* path);

  bool DropOldest();  // false if there are none
  size_t Bytes() const { return entries_.size() * pool_.OpenBytes(); }

  // Whether to copy rows that nobody is known to share: found rows save computing their tokens, and a copy
  // costs about as much as some tokens. Spend notes such copies.
  bool Pays() const { return credit_ > 0; }
  void Spend(int copies) { credit_ -= copies * kCopyTokens; }

  // Notes that a prompt goes on from a path with these tokens.
  void See(uint64_t path, std::span<const int32_t> tokens);
  // Whether another was seen to go on like these tokens for longer than `count` of them, and at least kStep.
  bool WasSeen(uint64_t path, std::span<const int32_t> tokens, int count) const;

 private:
  // A copy was measured to take the time of one to two tokens.
  static constexpr int64_t kCopyTokens = 4;
  static constexpr int64_t kMostCredit = 256 * kCopyTokens;

  struct Entry {
    const void* path;
    std::vector<int32_t> tokens;
    kv::BlockRef rows;
  };
  using Place = std::list<Entry>::iterator;

  void Drop(Place entry);

  const kv::BlockPool& pool_;
  std::list<Entry> entries_;  // used least recently first
  std::unordered_map<const void*, std::vector<Place>> by_path_;
  std::unordered_set<uint64_t> seen_;  // hashes of the beginnings seen most recently
  std::deque<uint64_t> seen_order_;    // the hashes in seen_, oldest first
  int64_t credit_ = kMostCredit;       // tokens
};

}  // namespace throng::engine
