#include "kv/cache/block_pool.h"

#include <utility>

#include "base/check.h"
#include "kv/cache/slab_arena.h"

namespace throng::kv {

Block::~Block() { pool_->Free(sealed_, data_); }

size_t Block::Bytes() const { return sealed_ ? pool_->Layout().bytes : pool_->Layout().open_bytes; }

BlockPool::BlockPool(BlockLayout layout, size_t budget_bytes, SoftmaxKind softmax)
    : layout_(std::move(layout)),
      budget_(budget_bytes),
      softmax_(softmax),
      sealed_(std::make_unique<SlabArena>(layout_.bytes)),
      open_(std::make_unique<SlabArena>(layout_.open_bytes)) {
  per_sealed_ = SealedBlockBytes(layout_, sealed_->Stride());
}

BlockPool::~BlockPool() = default;

size_t BlockPool::SealedBytes() const { return sealed_->Stride(); }
size_t BlockPool::OpenBytes() const { return open_->Stride(); }

size_t BlockPool::SequenceBytes(int num_tokens) const {
  const size_t sealed = static_cast<size_t>(num_tokens / kPageTokens) * SealedBytes();
  return sealed + (num_tokens % kPageTokens == 0 ? 0 : OpenBytes());
}

size_t BlockPool::Total() const {
  return sealed_->NumUsed() * sealed_->Stride() + open_->NumUsed() * open_->Stride() + chunk_bytes_;
}

size_t BlockPool::HeldBytes() const {
  std::lock_guard lock(mutex_);
  return Total();
}

LedgerBytes BlockPool::Held() const {
  const size_t n = sealed_->NumUsed();
  LedgerBytes held;
  held.codes = n * per_sealed_.codes;
  held.scales = n * per_sealed_.scales;
  held.low_rank = n * per_sealed_.low_rank;
  held.sparse = n * per_sealed_.sparse;
  held.padding = n * per_sealed_.padding + open_->NumUsed() * (open_->Stride() - layout_.open_bytes);
  held.open = open_->NumUsed() * layout_.open_bytes;
  held.chunk = chunk_bytes_;
  return held;
}

void BlockPool::NotePeak() {
  if (Total() <= peak_total_) return;
  peak_total_ = Total();
  peak_ = Held();
}

std::shared_ptr<Block> BlockPool::TryAllocate(bool sealed) {
  uint8_t* data = nullptr;
  {
    std::lock_guard lock(mutex_);
    SlabArena& arena = sealed ? *sealed_ : *open_;
    if (arena.Stride() > budget_ - Total()) return nullptr;
    data = arena.Allocate();
    if (data == nullptr) return nullptr;
    NotePeak();
  }
  return std::shared_ptr<Block>(new Block(this, sealed, data));
}

std::shared_ptr<Block> BlockPool::TryAllocateSealed() { return TryAllocate(true); }
std::shared_ptr<Block> BlockPool::TryAllocateOpen() { return TryAllocate(false); }

void BlockPool::Free(bool sealed, uint8_t* data) {
  std::lock_guard lock(mutex_);
  (sealed ? *sealed_ : *open_).Free(data);
}

bool BlockPool::TryHoldChunk(size_t bytes) {
  std::lock_guard lock(mutex_);
  if (bytes > budget_ - Total()) return false;
  chunk_bytes_ += bytes;
  NotePeak();
  return true;
}

void BlockPool::ReleaseChunk(size_t bytes) {
  std::lock_guard lock(mutex_);
  THRONG_CHECK(bytes <= chunk_bytes_);
  chunk_bytes_ -= bytes;
}

Ledger BlockPool::GetLedger() const {
  std::lock_guard lock(mutex_);
  Ledger ledger;
  ledger.held = Held();
  ledger.peak = peak_;
  ledger.budget = budget_;
  ledger.sealed_blocks = sealed_->NumUsed();
  ledger.open_blocks = open_->NumUsed();
  return ledger;
}

}  // namespace throng::kv
