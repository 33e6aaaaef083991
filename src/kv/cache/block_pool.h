// The memory of blocks: slabs of two sizes (sealed, open) under one hard byte budget, and their ledger.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

#include "kv/block_layout.h"
#include "kv/cache/ledger.h"
#include "kv/softmax_kind.h"

namespace throng::kv {

class BlockPool;
class SlabArena;

// One slab. When its last reference goes, it returns to the pool, and its memory to the operating system.
// A sealed block is written once, before it is shared: filled by a sequence or loaded from disk.
class Block {
 public:
  ~Block();
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  uint8_t* Data() { return data_; }  // aligned to 64
  const uint8_t* Data() const { return data_; }
  size_t Bytes() const;  // as the layout says, without the slab's padding

 private:
  friend class BlockPool;
  Block(BlockPool* pool, bool sealed, uint8_t* data) : pool_(pool), sealed_(sealed), data_(data) {}
  BlockPool* pool_;
  bool sealed_;
  uint8_t* data_;
};

using BlockRef = std::shared_ptr<const Block>;

// Thread-safe. Must outlive its blocks.
class BlockPool {
 public:
  // softmax: the kind that all attention over these pages uses; the keys and values of all layers but the
  // first depend on it.
  BlockPool(BlockLayout layout, size_t budget_bytes, SoftmaxKind softmax = SoftmaxKind::kExact);
  ~BlockPool();
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;

  const BlockLayout& Layout() const { return layout_; }
  SoftmaxKind Softmax() const { return softmax_; }
  size_t BudgetBytes() const { return budget_; }
  size_t HeldBytes() const;  // never above the budget
  size_t FreeBytes() const { return budget_ - HeldBytes(); }

  // Bytes that one block takes from the budget.
  size_t SealedBytes() const;
  size_t OpenBytes() const;
  // Bytes that a sequence of num_tokens holds between forward passes if it shares nothing.
  size_t SequenceBytes(int num_tokens) const;

  // Returns null if the budget has no room. The contents are undefined.
  std::shared_ptr<Block> TryAllocateSealed();
  std::shared_ptr<Block> TryAllocateOpen();

  // Takes room for rows of a running forward pass from the budget; false if there is none.
  [[nodiscard]] bool TryHoldChunk(size_t bytes);
  void ReleaseChunk(size_t bytes);

  Ledger GetLedger() const;

 private:
  friend class Block;
  std::shared_ptr<Block> TryAllocate(bool sealed);
  void Free(bool sealed, uint8_t* data);
  LedgerBytes Held() const;  // needs mutex_
  size_t Total() const;      // needs mutex_
  void NotePeak();           // needs mutex_

  const BlockLayout layout_;
  const size_t budget_;
  const SoftmaxKind softmax_;
  LedgerBytes per_sealed_;
  mutable std::mutex mutex_;
  std::unique_ptr<SlabArena> sealed_;  // guarded by mutex_
  std::unique_ptr<SlabArena> open_;    // guarded by mutex_
  size_t chunk_bytes_ = 0;             // guarded by mutex_
  size_t peak_total_ = 0;              // guarded by mutex_
  LedgerBytes peak_;                   // guarded by mutex_
};

}  // namespace throng::kv
