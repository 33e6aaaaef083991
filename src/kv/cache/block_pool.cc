#include "kv/cache/block_pool.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

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

size_t MostUsable(const BlockLayout& layout, bool needs_state, std::span<const SealedBlock> blocks) {
  size_t usable = 0;
  // Blocks with a fine form, and with sliding pages, without a gap before the next one.
  size_t fine = 0;
  size_t sliding = 0;
  for (size_t i = 0; i < blocks.size(); ++i) {
    const auto next = static_cast<int>(i) + 1;
    fine = blocks[i].fine != nullptr ? fine + 1 : 0;
    const bool is_sink = layout.window.IsSink(static_cast<int>(i));  // read in the fine form
    sliding = blocks[i].sliding != nullptr || is_sink ? sliding + 1 : 0;
    if (needs_state && blocks[i].state == nullptr) continue;
    if (fine < std::min(i + 1, static_cast<size_t>(layout.window.recent_blocks))) continue;
    if (layout.sliding_bytes > 0 && sliding < static_cast<size_t>(next - layout.FirstSliding(next))) continue;
    usable = i + 1;
  }
  return usable;
}

}  // namespace

std::vector<PagePlace> PagesOf(const BlockLayout& layout, BlockKind kind) {
  const bool fine = kind == BlockKind::kFine;
  std::vector<PagePlace> places;
  for (int layer = 0; layer < layout.NumLayers(); ++layer) {
    if (!fine && layout.Slides(layer) != (kind == BlockKind::kSliding)) continue;
    for (int head = 0; head < layout.layers[static_cast<size_t>(layer)].num_kv_heads; ++head) {
      const PageSpec& page = layout.At(layer, head);
      places.push_back(
          {fine ? page.fine_keys : page.keys, Part::kKeys, fine ? page.fine_keys_offset : page.keys_offset});
      if (page.values == nullptr) continue;
      places.push_back({fine ? page.fine_values : page.values, Part::kValues,
                        fine ? page.fine_values_offset : page.values_offset});
    }
  }
  return places;
}

bool IsNeeded(const BlockLayout& layout, BlockKind kind, int block, int next) {
  const FineWindow& window = layout.window;
  switch (kind) {
    case BlockKind::kSealed:
      return window.HasBase(block);
    case BlockKind::kSliding:
      return layout.sliding_bytes > 0 && window.HasBase(block) && block >= layout.FirstSliding(next);
    case BlockKind::kFine:
      return window.Seen(block, next) == Form::kFine;
    case BlockKind::kState:
      return layout.state_bytes > 0 && block + 1 == next;
    case BlockKind::kOpen:
      return false;
  }
  THRONG_CHECK(false);
}

size_t UsableBlocks(const BlockLayout& layout, std::span<const SealedBlock> blocks) {
  return MostUsable(layout, layout.state_bytes > 0, blocks);
}

size_t UsablePages(const BlockLayout& layout, std::span<const SealedBlock> blocks) {
  return MostUsable(layout, false, blocks);
}

std::optional<SealedBlock> TryCopy(BlockPool& pool, const SealedBlock& block) {
  SealedBlock result;
  for (const BlockKind kind : kSealedKinds) {
    const BlockRef& from = block.Of(kind);
    if (from == nullptr) continue;
    const std::shared_ptr<Block> to = pool.TryAllocate(kind);
    if (to == nullptr) return std::nullopt;
    to->CopyFrom(*from);
    result.Of(kind) = to;
  }
  return result;
}

Block::~Block() { pool_->Free(kind_, data_); }

size_t Block::Bytes() const { return SlabBytes(pool_->Layout(), kind_); }

bool Block::IsHost() const { return pool_->Memory().IsHost(); }

const uint8_t* Block::OnHost(std::vector<uint8_t>& buffer) const {
  if (IsHost()) return data_;
  buffer.resize(Bytes());
  pool_->Memory().CopyToHost(buffer.data(), data_, buffer.size());
  return buffer.data();
}

void Block::CopyFromHost(const uint8_t* bytes) { pool_->Memory().CopyFromHost(data_, bytes, Bytes()); }

void Block::CopyFrom(const Block& other) {
  if (other.IsHost()) return CopyFromHost(other.data_);
  pool_->Memory().Copy(data_, other.data_, Bytes());
}

BlockPool::BlockPool(BlockLayout layout, size_t budget_bytes, SoftmaxKind softmax,
                     std::unique_ptr<BlockMemory> memory)
    : layout_(std::move(layout)),
      budget_(budget_bytes),
      softmax_(softmax),
      memory_(memory != nullptr ? std::move(memory) : MakeHostMemory(layout_)) {
  for (const BlockKind kind : kSealedKinds) {
    if (Bytes(kind) == 0) continue;
    per_slab_[static_cast<size_t>(kind)] = kind == BlockKind::kState
                                               ? StateLedgerBytes(layout_, Bytes(kind))
                                               : SealedBlockBytes(layout_, kind, Bytes(kind));
  }
}

BlockPool::~BlockPool() = default;

size_t BlockPool::Bytes(BlockKind kind) const {
  return SlabBytes(layout_, kind) == 0 ? 0 : memory_->Stride(kind);
}

size_t BlockPool::SealingBytes(int block) const {
  return (layout_.window.HasBase(block) ? SealedBytes() + SlidingBytes() : 0) +
         (layout_.window.HasFine(block) ? FineBytes() : 0);
}

// The blocks whose sliding pages a sequence holds once it has sealed so many.
int BlockPool::NumSliding(int blocks) const {
  return blocks - std::min(blocks, std::max(layout_.FirstSliding(blocks), layout_.window.sink_blocks));
}

size_t BlockPool::SequenceBytes(int num_tokens) const {
  const int sliding = NumSliding(num_tokens / kPageTokens);
  return BytesWith(num_tokens, static_cast<size_t>(sliding) * SlidingBytes());
}

size_t BlockPool::MostSequenceBytes(int num_tokens) const {
  return BytesWith(num_tokens, MostSlidingBytes(num_tokens));
}

size_t BlockPool::MostSlidingBytes(int num_tokens) const {
  if (layout_.sliding_bytes == 0) return 0;
  int most = 0;
  for (int blocks = 0; blocks <= num_tokens / kPageTokens; ++blocks) {
    most = std::max(most, NumSliding(blocks));
  }
  return static_cast<size_t>(most) * SlidingBytes();
}

size_t BlockPool::BytesWith(int num_tokens, size_t sliding_bytes) const {
  const int blocks = num_tokens / kPageTokens;
  const int sinks = std::min(blocks, layout_.window.sink_blocks);
  const int recent = std::min(blocks - sinks, layout_.window.recent_blocks);
  return static_cast<size_t>(blocks - sinks) * SealedBytes() + sliding_bytes +
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
  for (const BlockKind kind : kSealedKinds) {
    AddTimes(held, NumUsed(kind), per_slab_[static_cast<size_t>(kind)]);
  }
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
    if (Bytes(kind) > budget_ - Total()) return nullptr;
    data = memory_->Allocate(kind);
    if (data == nullptr) return nullptr;
    ++used_[static_cast<size_t>(kind)];
    NotePeak();
  }
  return std::shared_ptr<Block>(new Block(this, kind, data));
}

void BlockPool::Free(BlockKind kind, uint8_t* data) {
  std::lock_guard lock(mutex_);
  memory_->Free(kind, data);
  --used_[static_cast<size_t>(kind)];
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
  ledger.sliding_blocks = NumUsed(BlockKind::kSliding);
  ledger.fine_blocks = NumUsed(BlockKind::kFine);
  ledger.states = NumUsed(BlockKind::kState);
  ledger.open_blocks = NumUsed(BlockKind::kOpen);
  return ledger;
}

}  // namespace throng::kv
