// The blocks of a cache in a device's memory: one allocation within a budget, and tables that tell kernels
// where a sequence's blocks are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "device/device.h"

namespace throng::device {

// Where the bytes of an arena's budget are; their sum is the budget.
struct ArenaLedger {
  size_t used = 0;
  size_t free = 0;
  size_t rest = 0;  // less than a block
};

// Cuts one allocation into blocks of equal size. One thread at a time. The device must outlive it.
class BlockArena {
 public:
  // block_bytes: a multiple of 64, as BlockLayout::bytes of kv/block_layout.h. Throws kInvalid if the budget
  // has no room for a block, kExhausted if the device has no such budget.
  BlockArena(Device& device, size_t budget_bytes, size_t block_bytes);
  ~BlockArena();
  BlockArena(const BlockArena&) = delete;
  BlockArena& operator=(const BlockArena&) = delete;

  Device& GetDevice() const { return device_; }
  size_t BlockBytes() const { return block_bytes_; }
  ArenaLedger Ledger() const;

  // A block, whose bytes are undefined; empty if all are in use.
  [[nodiscard]] std::optional<uint8_t*> Take();
  void Give(uint8_t* block);

 private:
  Device& device_;
  const size_t budget_bytes_, block_bytes_;
  uint8_t* memory_;
  std::vector<uint8_t*> free_;  // the next one last
};

// The sealed blocks of a sequence, in the arena or, spilled, with the caller. The table itself takes one
// block of the arena. One thread at a time.
class PageTable {
 public:
  // Throws kExhausted if the arena is full.
  explicit PageTable(BlockArena& arena);
  ~PageTable();
  PageTable(const PageTable&) = delete;
  PageTable& operator=(const PageTable&) = delete;

  int NumBlocks() const { return static_cast<int>(blocks_.size()); }
  int MostBlocks() const { return static_cast<int>(arena_.BlockBytes() / sizeof(uint8_t*)); }
  bool IsHere(int block) const { return blocks_[static_cast<size_t>(block)] != nullptr; }

  // A block at the end, for kernels to seal into; null if the arena or the table is full.
  [[nodiscard]] uint8_t* Append();
  // Copies a block that is here to `to`, of BlockBytes(), and frees its place.
  void Spill(int block, std::span<uint8_t> to);
  // Brings it back, maybe to another place. False if the arena is full.
  [[nodiscard]] bool Restore(int block, std::span<const uint8_t> from);

  // The places of all blocks, in the device's memory; all must be here. Valid until the next change.
  const uint8_t* const* OnDevice();

 private:
  BlockArena& arena_;
  uint8_t* table_;
  std::vector<uint8_t*> blocks_;  // null: spilled
  size_t first_changed_ = 0;      // from there on, the device's table is old
};

}  // namespace throng::device
