#include "kv/cache/block_pool.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "kv/cache/slab_arena.h"

namespace throng::kv {
namespace {

void AddTimes(LedgerBytes& sum, size_t n, const LedgerBytes& one) {
  sum.codes += n * one.codes;
  sum.scales += n * one.scales;
  sum.low_rank += n * one.low_rank;
  sum.sparse += n * one.sparse;
  sum.padding += n * one.padding;
  sum.state += n * one.state;
}

LedgerBytes StateLedgerBytes(const BlockLayout& layout, size_t stride) {
  LedgerBytes sum;
  for (const StateSpec& state : layout.states) sum.state += state.floats * sizeof(float);
  sum.padding = stride - sum.state;
  return sum;
}

size_t MostUsable(const FineWindow& window, bool needs_state, std::span<const SealedBlock> blocks) {
  const auto recent = static_cast<size_t>(window.recent_blocks);
  size_t usable = 0;
  size_t fine = 0;  // blocks with a fine form, without a gap before the next one
  for (size_t i = 0; i < blocks.size(); ++i) {
    fine = blocks[i].fine != nullptr ? fine + 1 : 0;
    if (needs_state && blocks[i].state == nullptr) continue;
    if (fine >= std::min(i + 1, recent)) usable = i + 1;
  }
  return usable;
}

}  // namespace

size_t SlabBytes(const BlockLayout& layout, BlockKind kind) {
  switch (kind) {
    case BlockKind::kSealed:
      return layout.bytes;
    case BlockKind::kFine:
      return layout.fine_bytes;
    case BlockKind::kState:
      return layout.state_bytes;
    case BlockKind::kOpen:
      return layout.open_bytes;
  }
  THRONG_CHECK(false);
}

size_t UsableBlocks(const BlockLayout& layout, std::span<const SealedBlock> blocks) {
  return MostUsable(layout.window, layout.state_bytes > 0, blocks);
}

size_t UsablePages(const FineWindow& window, std::span<const SealedBlock> blocks) {
  return MostUsable(window, false, blocks);
}

std::optional<SealedBlock> TryCopy(BlockPool& pool, const SealedBlock& block) {
  SealedBlock result;
  for (const BlockKind kind : kSealedKinds) {
    const BlockRef& from = block.Of(kind);
    if (from == nullptr) continue;
    const std::shared_ptr<Block> to = pool.TryAllocate(kind);
    if (to == nullptr) return std::nullopt;
    std::memcpy(to->Data(), from->Data(), from->Bytes());
    result.Of(kind) = to;
  }
  return result;
}

Block::~Block() { pool_->Free(kind_, data_); }

size_t Block::Bytes() const { return SlabBytes(pool_->Layout(), kind_); }

BlockPool::BlockPool(BlockLayout layout, size_t budget_bytes, SoftmaxKind softmax)
    : layout_(std::move(layout)), budget_(budget_bytes), softmax_(softmax) {
  for (const BlockKind kind : kBlockKinds) {
    const size_t bytes = SlabBytes(layout_, kind);
    if (bytes > 0) arenas_[static_cast<size_t>(kind)] = std::make_unique<SlabArena>(bytes);
  }
  per_sealed_ = SealedBlockBytes(layout_, Form::kBase, SealedBytes());
  if (layout_.fine_bytes > 0) per_fine_ = SealedBlockBytes(layout_, Form::kFine, FineBytes());
  per_state_ = StateLedgerBytes(layout_, StateBytes());
}

BlockPool::~BlockPool() = default;

size_t BlockPool::Bytes(BlockKind kind) const {
  const auto& arena = arenas_[static_cast<size_t>(kind)];
  return arena == nullptr ? 0 : arena->Stride();
}

size_t BlockPool::NumUsed(BlockKind kind) const {
  const auto& arena = arenas_[static_cast<size_t>(kind)];
  return arena == nullptr ? 0 : arena->NumUsed();
}

size_t BlockPool::SealingBytes(int block) const {
  return (layout_.window.HasBase(block) ? SealedBytes() : 0) +
         (layout_.window.HasFine(block) ? FineBytes() : 0);
}

size_t BlockPool::SequenceBytes(int num_tokens) const {
  const int blocks = num_tokens / kPageTokens;
  const int sinks = std::min(blocks, layout_.window.sink_blocks);
  const int recent = std::min(blocks - sinks, layout_.window.recent_blocks);
  return static_cast<size_t>(blocks - sinks) * SealedBytes() +
         static_cast<size_t>(sinks + recent) * FineBytes() + (num_tokens == 0 ? 0 : StateBytes()) +
         (num_tokens % kPageTokens == 0 ? 0 : OpenBytes());
}

size_t BlockPool::Total() const {
  size_t total = chunk_bytes_;
  for (const BlockKind kind : kBlockKinds) total += NumUsed(kind) * Bytes(kind);
  return total;
}

size_t BlockPool::HeldBytes() const {
  std::lock_guard lock(mutex_);
  return Total();
}

LedgerBytes BlockPool::Held() const {
  const size_t num_open = NumUsed(BlockKind::kOpen);
  LedgerBytes held;
  AddTimes(held, NumUsed(BlockKind::kSealed), per_sealed_);
  AddTimes(held, NumUsed(BlockKind::kFine), per_fine_);
  AddTimes(held, NumUsed(BlockKind::kState), per_state_);
  held.padding += num_open * (OpenBytes() - layout_.open_bytes);
  held.open = num_open * layout_.open_bytes;
  held.chunk = chunk_bytes_;
  return held;
}

void BlockPool::NotePeak() {
  if (Total() <= peak_total_) return;
  peak_total_ = Total();
  peak_ = Held();
}

std::shared_ptr<Block> BlockPool::TryAllocate(BlockKind kind) {
  THRONG_DCHECK(Bytes(kind) > 0);
  uint8_t* data = nullptr;
  {
    std::lock_guard lock(mutex_);
    SlabArena& arena = Arena(kind);
    if (arena.Stride() > budget_ - Total()) return nullptr;
    data = arena.Allocate();
    if (data == nullptr) return nullptr;
    NotePeak();
  }
  return std::shared_ptr<Block>(new Block(this, kind, data));
}

void BlockPool::Free(BlockKind kind, uint8_t* data) {
  std::lock_guard lock(mutex_);
  Arena(kind).Free(data);
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
  ledger.sealed_blocks = NumUsed(BlockKind::kSealed);
  ledger.fine_blocks = NumUsed(BlockKind::kFine);
  ledger.states = NumUsed(BlockKind::kState);
  ledger.open_blocks = NumUsed(BlockKind::kOpen);
  return ledger;
}

}  // namespace throng::kv
