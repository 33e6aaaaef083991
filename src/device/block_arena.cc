#include "device/block_arena.h"

#include <algorithm>
#include <new>
#include <string>

#include "base/check.h"
#include "base/error.h"

namespace throng::device {
namespace {

uint8_t* Allocate(Device& device, size_t budget_bytes, size_t block_bytes) {
  THRONG_CHECK(block_bytes > 0 && block_bytes % 64 == 0);
  if (budget_bytes < block_bytes) {
    throw Error(ErrorCode::kInvalid, "KV cache of " + device.Name() + ": the budget of " +
                                         std::to_string(budget_bytes) + " bytes has no room for a block of " +
                                         std::to_string(block_bytes));
  }
  try {
    return static_cast<uint8_t*>(device.Allocate(budget_bytes));
  } catch (const std::bad_alloc&) {
    throw Error(ErrorCode::kExhausted, "KV cache of " + device.Name() + ": it has no " +
                                           std::to_string(budget_bytes) + " bytes of memory left");
  }
}

}  // namespace

BlockArena::BlockArena(Device& device, size_t budget_bytes, size_t block_bytes)
    : device_(device),
      budget_bytes_(budget_bytes),
      block_bytes_(block_bytes),
      memory_(Allocate(device, budget_bytes, block_bytes)) {
  for (size_t i = budget_bytes / block_bytes; i > 0; --i) free_.push_back(memory_ + (i - 1) * block_bytes);
}

BlockArena::~BlockArena() { device_.Free(memory_); }

ArenaLedger BlockArena::Ledger() const {
  const size_t free = free_.size() * block_bytes_;
  const size_t rest = budget_bytes_ % block_bytes_;
  return {budget_bytes_ - free - rest, free, rest};
}

std::optional<uint8_t*> BlockArena::Take() {
  if (free_.empty()) return std::nullopt;
  uint8_t* const block = free_.back();
  free_.pop_back();
  return block;
}

void BlockArena::Give(uint8_t* block) {
  THRONG_CHECK(block >= memory_ && static_cast<size_t>(block - memory_) % block_bytes_ == 0);
  free_.push_back(block);
}

PageTable::PageTable(BlockArena& arena) : arena_(arena) {
  const std::optional<uint8_t*> block = arena.Take();
  if (!block) {
    throw Error(ErrorCode::kExhausted,
                "KV cache of " + arena.GetDevice().Name() + ": no block is left for a sequence's table");
  }
  table_ = *block;
}

PageTable::~PageTable() {
  for (uint8_t* const block : blocks_) {
    if (block != nullptr) arena_.Give(block);
  }
  arena_.Give(table_);
}

uint8_t* PageTable::Append() {
  if (NumBlocks() == MostBlocks()) return nullptr;
  const std::optional<uint8_t*> block = arena_.Take();
  if (!block) return nullptr;
  blocks_.push_back(*block);
  return *block;
}

void PageTable::Spill(int block, std::span<uint8_t> to) {
  THRONG_CHECK(IsHere(block) && to.size() == arena_.BlockBytes());
  uint8_t*& place = blocks_[static_cast<size_t>(block)];
  arena_.GetDevice().CopyFrom(to.data(), place, to.size());
  arena_.Give(place);
  place = nullptr;
  first_changed_ = std::min(first_changed_, static_cast<size_t>(block));
}

bool PageTable::Restore(int block, std::span<const uint8_t> from) {
  THRONG_CHECK(!IsHere(block) && from.size() == arena_.BlockBytes());
  const std::optional<uint8_t*> place = arena_.Take();
  if (!place) return false;
  arena_.GetDevice().CopyTo(*place, from.data(), from.size());
  blocks_[static_cast<size_t>(block)] = *place;
  return true;
}

const uint8_t* const* PageTable::OnDevice() {
  THRONG_CHECK(std::find(blocks_.begin(), blocks_.end(), nullptr) == blocks_.end());
  if (first_changed_ < blocks_.size()) {
    arena_.GetDevice().CopyTo(table_ + first_changed_ * sizeof(uint8_t*), blocks_.data() + first_changed_,
                              (blocks_.size() - first_changed_) * sizeof(uint8_t*));
    first_changed_ = blocks_.size();
  }
  return reinterpret_cast<const uint8_t* const*>(table_);
}

}  // namespace throng::device
