// Blocks: slabs of one size per kind of block under one hard byte budget, and their ledger. The memory that
// they are in may be a device's.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "kv/block_layout.h"
#include "kv/cache/block_memory.h"
#include "kv/cache/ledger.h"
#include "kv/softmax_kind.h"

namespace throng::kv {

class BlockPool;

// Where a slab has a part of a page, and in which codec.
struct PagePlace {
  const Codec* codec;
  Part part;
  size_t offset;
};

// All pages in a slab of kSealed, kSliding or kFine.
std::vector<PagePlace> PagesOf(const BlockLayout& layout, BlockKind kind);

// One slab. When its last reference goes, it returns to the pool.
// A sealed block is written once, before it is shared: filled by a sequence or loaded from disk.
class Block {
 public:
  ~Block();
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  // Its address, aligned to 64; of a device where BlockPool::Memory is.
  uint8_t* Data() { return data_; }
  const uint8_t* Data() const { return data_; }
  size_t Bytes() const;  // SlabBytes

  bool IsHost() const;  // BlockMemory::IsHost
  // Its bytes where this process can read them: in place, or copied to `buffer`.
  const uint8_t* OnHost(std::vector<uint8_t>& buffer) const;
  void CopyFromHost(const uint8_t* bytes);
  void CopyFrom(const Block& other);  // of the same kind, in the same memory or this process's

 private:
  friend class BlockPool;
  Block(BlockPool* pool, BlockKind kind, uint8_t* data) : pool_(pool), kind_(kind), data_(data) {}
  BlockPool* pool_;
  BlockKind kind_;
  uint8_t* data_;
};

using BlockRef = std::shared_ptr<const Block>;

// A sealed block in the forms that are held: sinks have the fine form alone; other blocks have the base form,
// and as long as somebody may see them the sliding pages and the fine form.
struct SealedBlock {
  BlockRef base = nullptr;
  BlockRef sliding = nullptr;  // the rest of the base form
  BlockRef fine = nullptr;
  BlockRef state = nullptr;  // after the block's last token, where somebody may go on from there
  explicit operator bool() const { return base != nullptr || fine != nullptr; }
  bool operator==(const SealedBlock&) const = default;
  BlockRef& Of(BlockKind kind) {  // one of kSealedKinds
    switch (kind) {
      case BlockKind::kSealed:
        return base;
      case BlockKind::kSliding:
        return sliding;
      case BlockKind::kFine:
        return fine;
      default:
        return state;
    }
  }
  const BlockRef& Of(BlockKind kind) const { return const_cast<SealedBlock*>(this)->Of(kind); }
};

// Whether tokens from block `next` on, which is a later one, need this of a block. Of states, they need that
// of the last block before.
bool IsNeeded(const BlockLayout& layout, BlockKind kind, int block, int next);

// The most of these blocks, from the first one on, that a sequence can begin with: those whose blocks have
// what the tokens after them need.
size_t UsableBlocks(const BlockLayout& layout, std::span<const SealedBlock> blocks);
// The same if the state comes from elsewhere.
size_t UsablePages(const BlockLayout& layout, std::span<const SealedBlock> blocks);

// Copies all forms of a block, of this pool or of one of this process's memory, into blocks of its own; empty
// if the budget has no room.
std::optional<SealedBlock> TryCopy(BlockPool& pool, const SealedBlock& block);

// Thread-safe. Must outlive its blocks.
class BlockPool {
 public:
  // softmax: the kind that all attention over these pages uses; the keys and values of all layers but the
  // first depend on it. memory: of this layout; null: this process's.
  BlockPool(BlockLayout layout, size_t budget_bytes, SoftmaxKind softmax = SoftmaxKind::kExact,
            std::unique_ptr<BlockMemory> memory = nullptr);
  ~BlockPool();
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;

  const BlockLayout& Layout() const { return layout_; }
  SoftmaxKind Softmax() const { return softmax_; }
  BlockMemory& Memory() const { return *memory_; }
  size_t BudgetBytes() const { return budget_; }
  size_t HeldBytes() const;  // never above the budget
  size_t FreeBytes() const { return budget_ - HeldBytes(); }

  // Bytes that one block takes from the budget; 0 for what the layout does not have.
  size_t SealedBytes() const { return Bytes(BlockKind::kSealed); }
  size_t SlidingBytes() const { return Bytes(BlockKind::kSliding); }
  size_t FineBytes() const { return Bytes(BlockKind::kFine); }
  size_t StateBytes() const { return Bytes(BlockKind::kState); }
  size_t OpenBytes() const { return Bytes(BlockKind::kOpen); }
  size_t Bytes(BlockKind kind) const;
  // Bytes that sealing a sequence's block takes, for all forms of its pages.
  size_t SealingBytes(int block) const;
  // Bytes that a sequence of num_tokens holds between forward passes if it shares nothing.
  size_t SequenceBytes(int num_tokens) const;
  // The most that it holds on the way there: where layers see chunks of the text, it may hold less at the
  // end.
  size_t MostSequenceBytes(int num_tokens) const;
  size_t MostSlidingBytes(int num_tokens) const;  // of it, sliding pages

  // Returns null if the budget or the memory has no room. The contents are undefined.
  std::shared_ptr<Block> TryAllocate(BlockKind kind);
  std::shared_ptr<Block> TryAllocateSealed() { return TryAllocate(BlockKind::kSealed); }
  std::shared_ptr<Block> TryAllocateOpen() { return TryAllocate(BlockKind::kOpen); }

  // Takes room for rows of a running forward pass from the budget; false if there is none.
  [[nodiscard]] bool TryHoldChunk(size_t bytes);
  void ReleaseChunk(size_t bytes);

  Ledger GetLedger() const;

 private:
  friend class Block;
  size_t NumUsed(BlockKind kind) const { return used_[static_cast<size_t>(kind)]; }  // needs mutex_
  void Free(BlockKind kind, uint8_t* data);
  LedgerBytes Held() const;  // needs mutex_
  size_t Total() const;      // needs mutex_
  void NotePeak();           // needs mutex_
  int NumSliding(int blocks) const;
  size_t BytesWith(int num_tokens, size_t sliding_bytes) const;

  const BlockLayout layout_;
  const size_t budget_;
  const SoftmaxKind softmax_;
  const std::unique_ptr<BlockMemory> memory_;
  std::array<LedgerBytes, kSealedKinds.size()> per_slab_;  // of each kind
  mutable std::mutex mutex_;
  std::array<size_t, kBlockKinds.size()> used_{};  // slabs of each kind; guarded by mutex_
  size_t chunk_bytes_ = 0;                         // guarded by mutex_
  size_t peak_total_ = 0;                          // guarded by mutex_
  LedgerBytes peak_;                               // guarded by mutex_
};

}  // namespace throng::kv
