#include "kv/cache/sequence_cache.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "kv/cache/block_pool.h"
#include "kv/open_codec.h"

namespace throng::kv {
namespace {

// One part of a page, sealed and open.
struct PartSpec {
  const Codec* codec;
  const Codec* fine;
  const OpenCodec* open;
  size_t offset;
  size_t open_offset;
  size_t fine_offset;
};

PartSpec Select(const PageSpec& page, Part part) {
  if (part == Part::kKeys) {
    return {page.keys,        page.fine_keys,        page.open_keys,
            page.keys_offset, page.open_keys_offset, page.fine_keys_offset};
  }
  return {page.values,        page.fine_values,        page.open_values,
          page.values_offset, page.open_values_offset, page.fine_values_offset};
}

constexpr uint8_t kZeros[kNoPages] = {};

// Every byte of a sealed block is determined: blocks are checksummed and compared.
void ClearPadding(uint8_t* sealed, size_t bytes) { std::memset(sealed + bytes, 0, RoundUp64(bytes) - bytes); }

}  // namespace

SequenceCache::SequenceCache(BlockPool& pool) : pool_(&pool), layout_(&pool.Layout()) {}

SequenceCache::~SequenceCache() { Release(); }

SequenceCache::SequenceCache(SequenceCache&& other) noexcept : SequenceCache(*other.pool_) { Swap(other); }

SequenceCache& SequenceCache::operator=(SequenceCache&& other) noexcept {
  if (this != &other) {
    Release();
    Swap(other);
  }
  return *this;
}

void SequenceCache::Swap(SequenceCache& other) noexcept {
  std::swap(pool_, other.pool_);
  std::swap(layout_, other.layout_);
  std::swap(num_tokens_, other.num_tokens_);
  std::swap(sealed_, other.sealed_);
  std::swap(open_, other.open_);
  std::swap(state_, other.state_);
  std::swap(rows_, other.rows_);
  std::swap(reserved_tokens_, other.reserved_tokens_);
  std::swap(chunk_tokens_, other.chunk_tokens_);
  std::swap(keeps_unseen_, other.keeps_unseen_);
  std::swap(filling_, other.filling_);
  std::swap(scratch_, other.scratch_);
  std::swap(scratch_bytes_, other.scratch_bytes_);
  std::swap(later_open_, other.later_open_);
}

size_t SequenceCache::ScratchBytes(int num_tokens) const {
  const int first_block = num_tokens_ / kPageTokens;
  const int last_block = (num_tokens_ + num_tokens - 1) / kPageTokens;
  if (last_block == first_block) return 0;
  const size_t bytes = pool_->Memory().IsHost() ? layout_->chunk_bytes : pool_->OpenBytes();
  return static_cast<size_t>(last_block - first_block) * bytes;
}

size_t SequenceCache::BytesToReserve(int num_tokens) const {
  size_t bytes = ScratchBytes(num_tokens);
  if (num_tokens_ % kPageTokens == 0) bytes += pool_->OpenBytes() + pool_->StateBytes();
  const int end = (num_tokens_ + num_tokens) / kPageTokens;
  for (int block = num_tokens_ / kPageTokens; block < end; ++block) bytes += pool_->SealingBytes(block);
  return bytes;
}

bool SequenceCache::Reserve(int num_tokens) {
  THRONG_CHECK(chunk_tokens_ == 0 && num_tokens >= 1);
  rows_.clear();
  DropReservation();
  if (!TakeReservation(num_tokens)) {
    DropReservation();
    return false;
  }
  reserved_tokens_ = num_tokens;
  return true;
}

bool SequenceCache::TakeReservation(int num_tokens) {
  const auto take = [this](bool wanted, BlockKind kind, std::shared_ptr<Block>& block) {
    if (wanted && block == nullptr) block = pool_->TryAllocate(kind);
    return !wanted || block != nullptr;
  };
  if (!take(true, BlockKind::kOpen, open_) || !take(HasStates(), BlockKind::kState, state_)) return false;
  const int end = (num_tokens_ + num_tokens) / kPageTokens;
  for (int block = num_tokens_ / kPageTokens; block < end; ++block) {
    Filling& filling = filling_.emplace_back();
    const bool has_base = layout_->window.HasBase(block);
    if (!take(has_base, BlockKind::kSealed, filling.base) ||
        !take(has_base && layout_->sliding_bytes > 0, BlockKind::kSliding, filling.sliding) ||
        !take(layout_->window.HasFine(block), BlockKind::kFine, filling.fine)) {
      return false;
    }
    if (has_base && layout_->bytes == kNoPages) filling.base->CopyFromHost(kZeros);
  }
  return TakeScratch(num_tokens);
}

bool SequenceCache::TakeScratch(int num_tokens) {
  const size_t scratch_bytes = ScratchBytes(num_tokens);
  if (scratch_bytes == 0) return true;
  if (!pool_->Memory().IsHost()) {
    later_open_.resize(scratch_bytes / pool_->OpenBytes());
    for (std::shared_ptr<Block>& block : later_open_) {
      if ((block = pool_->TryAllocateOpen()) == nullptr) return false;
    }
    return true;
  }
  if (!pool_->TryHoldChunk(scratch_bytes)) return false;
  scratch_bytes_ = scratch_bytes;
  scratch_ = static_cast<uint8_t*>(std::aligned_alloc(64, scratch_bytes));
  return scratch_ != nullptr;
}

bool SequenceCache::ReserveState(int block) {
  const int first = num_tokens_ / kPageTokens;
  THRONG_CHECK(HasStates() && chunk_tokens_ == 0 && block >= first &&
               static_cast<size_t>(block - first) < filling_.size());
  if ((block + 1) * kPageTokens == num_tokens_ + reserved_tokens_) return true;
  Filling& filling = filling_[block - first];
  if (filling.state == nullptr) filling.state = pool_->TryAllocate(BlockKind::kState);
  return filling.state != nullptr;
}

void SequenceCache::ReleaseKept() {
  DropUnseen();
  const bool last_is_own = num_tokens_ % kPageTokens == 0;
  for (size_t i = 0; i + (last_is_own ? 1 : 0) < sealed_.size(); ++i) sealed_[i].state.reset();
}

bool SequenceCache::ReserveRows(int block) {
  const int first = num_tokens_ / kPageTokens;
  THRONG_CHECK(chunk_tokens_ == 0 && block >= first && static_cast<size_t>(block - first) < filling_.size());
  Filling& filling = filling_[block - first];
  if (filling.rows == nullptr) filling.rows = pool_->TryAllocateOpen();
  return filling.rows != nullptr;
}

BlockRef SequenceCache::TakeOpen() {
  THRONG_CHECK(chunk_tokens_ == 0);
  if (num_tokens_ % kPageTokens == 0) return nullptr;
  std::shared_ptr<Block> open = std::move(open_);
  num_tokens_ = static_cast<int>(sealed_.size()) * kPageTokens;
  DropReservation();
  return open;
}

int SequenceCache::ReserveGuesses(int num_tokens) {
  THRONG_CHECK(chunk_tokens_ == 0 && reserved_tokens_ > 0 && num_tokens >= 0);
  const int used = (num_tokens_ + reserved_tokens_) % kPageTokens;
  if (used == 0 || HasStates()) return 0;
  const int added = std::min(num_tokens, kPageTokens - 1 - used);
  reserved_tokens_ += added;
  return added;
}

void SequenceCache::DropReservation() {
  keeps_unseen_ = false;
  filling_.clear();
  later_open_.clear();
  std::free(scratch_);
  scratch_ = nullptr;
  if (scratch_bytes_ > 0) pool_->ReleaseChunk(scratch_bytes_);
  scratch_bytes_ = 0;
  if (num_tokens_ % kPageTokens == 0) {
    open_.reset();
    state_.reset();
  }
  reserved_tokens_ = 0;
}

void SequenceCache::Adopt(std::span<const SealedBlock> blocks) {
  THRONG_CHECK(UsableBlocks(*layout_, blocks) == blocks.size());
  TakeBlocks(blocks);
  ReleaseKept();
}

void SequenceCache::TakeBlocks(std::span<const SealedBlock> blocks) {
  THRONG_CHECK(num_tokens_ == 0 && chunk_tokens_ == 0);
  DropReservation();
  sealed_.assign(blocks.begin(), blocks.end());
  num_tokens_ = static_cast<int>(blocks.size()) * kPageTokens;
}

void SequenceCache::DropUnseen() {
  const int next_block = num_tokens_ / kPageTokens;
  const int first_sliding = layout_->FirstSliding(next_block);
  for (int block = 0; block < next_block; ++block) {
    if (block < first_sliding) sealed_[block].sliding.reset();
    if (layout_->window.Seen(block, next_block) == Form::kBase) sealed_[block].fine.reset();
  }
}

const Block* SequenceCache::OpenRows() const {
  return num_tokens_ % kPageTokens == 0 ? nullptr : open_.get();
}

const Block* SequenceCache::LastState() const {
  if (!HasStates() || num_tokens_ == 0) return nullptr;
  return num_tokens_ % kPageTokens == 0 ? sealed_.back().state.get() : state_.get();
}

bool SequenceCache::AdoptOpen(std::span<const SealedBlock> blocks, int count, const Block& rows,
                              const Block* state) {
  THRONG_CHECK((state != nullptr) == HasStates());
  DropReservation();
  std::shared_ptr<Block> own_rows = pool_->TryAllocateOpen();
  std::shared_ptr<Block> own_state = HasStates() ? pool_->TryAllocate(BlockKind::kState) : nullptr;
  if (own_rows == nullptr || (HasStates() && own_state == nullptr)) return false;
  own_rows->CopyFrom(rows);
  if (HasStates()) own_state->CopyFrom(*state);
  TakeOpen(blocks, count, std::move(own_rows), std::move(own_state));
  return true;
}

void SequenceCache::TakeOpen(std::span<const SealedBlock> blocks, int count, std::shared_ptr<Block> rows,
                             std::shared_ptr<Block> state) {
  THRONG_CHECK(count >= 1 && count < kPageTokens && (state != nullptr) == HasStates() &&
               UsablePages(*layout_, blocks) == blocks.size());
  TakeBlocks(blocks);
  open_ = std::move(rows);
  state_ = std::move(state);
  ClearOpen(count);
  num_tokens_ += count;
  ReleaseKept();
}

int SequenceCache::Reusable(int num_tokens) const {
  if (num_tokens >= num_tokens_) return num_tokens_;
  const auto num_blocks = static_cast<size_t>(num_tokens) / kPageTokens;
  if (num_blocks >= sealed_.size() && !HasStates()) return num_tokens;
  const auto blocks = std::span(sealed_).first(std::min(num_blocks, sealed_.size()));
  return static_cast<int>(UsableBlocks(*layout_, blocks)) * kPageTokens;
}

std::optional<SequenceCache> SequenceCache::Fork(int num_tokens) const {
  THRONG_CHECK(chunk_tokens_ == 0 && num_tokens >= 0 && num_tokens <= num_tokens_);
  SequenceCache fork(*pool_);
  const int kept = Reusable(num_tokens);
  const auto blocks = std::span(sealed_).first(static_cast<size_t>(kept) / kPageTokens);
  if (kept % kPageTokens == 0) {
    fork.Adopt(blocks);
    return fork;
  }
  if (!fork.AdoptOpen(blocks, kept % kPageTokens, *OpenRows(), LastState())) return std::nullopt;
  return fork;
}

int SequenceCache::Truncate(int num_tokens) {
  THRONG_CHECK(chunk_tokens_ == 0 && num_tokens >= 0);
  if (num_tokens >= num_tokens_) return num_tokens_;
  DropReservation();
  const int sealed_tokens = static_cast<int>(sealed_.size()) * kPageTokens;
  num_tokens_ = Reusable(num_tokens);
  if (num_tokens_ <= sealed_tokens) {
    sealed_.resize(static_cast<size_t>(num_tokens_) / kPageTokens);
    open_.reset();
    state_.reset();
    return num_tokens_;
  }
  ClearOpen(num_tokens_ % kPageTokens);
  return num_tokens_;
}

// Leaves the rows before the first one as they would be had no others followed.
void SequenceCache::ClearOpen(int first) {
  if (!pool_->Memory().IsHost()) return;
  for (const PageSpec& page : layout_->pages) {
    for (const Part part : page.Parts()) {
      const PartSpec spec = Select(page, part);
      spec.open->Clear(part, open_->Data() + spec.open_offset, first);
    }
  }
}

void SequenceCache::Release() {
  num_tokens_ = 0;
  chunk_tokens_ = 0;
  sealed_.clear();
  rows_.clear();
  DropReservation();
}

void SequenceCache::BeginChunk(int num_tokens) {
  THRONG_CHECK(chunk_tokens_ == 0 && num_tokens >= 1 && num_tokens <= reserved_tokens_);
  chunk_tokens_ = num_tokens;
  if (HasStates() && num_tokens_ % kPageTokens == 0) LoadState();
}

// At the end of a block the state belongs to whoever has that block, so the chunk gets a copy.
void SequenceCache::LoadState() {
  if (num_tokens_ == 0) {
    std::memset(state_->Data(), 0, layout_->state_bytes);
  } else {
    std::memcpy(state_->Data(), sealed_.back().state->Data(), layout_->state_bytes);
    sealed_.back().state.reset();
  }
}

float* SequenceCache::State(int layer) const {
  THRONG_DCHECK(chunk_tokens_ > 0);
  return reinterpret_cast<float*>(state_->Data() + layout_->states[layer].offset);
}

float* SequenceCache::KeptState(int layer, int block) const {
  THRONG_DCHECK(chunk_tokens_ > 0);
  const Filling& filling = filling_[block - num_tokens_ / kPageTokens];
  if (filling.state == nullptr) return nullptr;
  return reinterpret_cast<float*>(filling.state->Data() + layout_->states[layer].offset);
}

uint8_t* SequenceCache::SealedSlab(BlockKind kind, int block) const {
  const auto index = static_cast<size_t>(block);
  if (index >= sealed_.size()) {
    const Filling& filling = filling_[index - sealed_.size()];
    return (kind == BlockKind::kSealed ? filling.base : filling.sliding)->Data();
  }
  const BlockRef& slab = sealed_[index].Of(kind);
  return slab == nullptr ? nullptr : const_cast<uint8_t*>(slab->Data());
}

const std::shared_ptr<Block>& SequenceCache::OpenOf(int block) const {
  const int first_block = num_tokens_ / kPageTokens;
  THRONG_DCHECK(block >= first_block && block <= (num_tokens_ + chunk_tokens_ - 1) / kPageTokens);
  return block == first_block ? open_ : later_open_[static_cast<size_t>(block - first_block - 1)];
}

// The first block that a chunk touches is in the open block, the others are in the scratch.
uint8_t* SequenceCache::OpenPage(int layer, int block, size_t offset) const {
  const int first_block = num_tokens_ / kPageTokens;
  THRONG_DCHECK(block >= first_block && block <= (num_tokens_ + chunk_tokens_ - 1) / kPageTokens);
  if (block == first_block) return open_->Data() + offset;
  const size_t blocks_before = static_cast<size_t>(block - first_block - 1);
  return scratch_ + blocks_before * layout_->chunk_bytes +
         layout_->chunk_offsets[static_cast<size_t>(layer)] + offset - layout_->At(layer, 0).open_keys_offset;
}

void SequenceCache::Seal(Part part, int layer, int head, int block) {
  const PartSpec spec = Select(layout_->At(layer, head), part);
  const uint8_t* open = OpenPage(layer, block, spec.open_offset);
  const Filling& filling = filling_[block - num_tokens_ / kPageTokens];
  if (filling.rows != nullptr) {
    std::memcpy(filling.rows->Data() + spec.open_offset, open, spec.open->Bytes(part));
  }
  const PagesBefore before = {block, BaseBefore(layer, block, spec.offset)};
  if (const auto& base = layout_->Slides(layer) ? filling.sliding : filling.base) {
    uint8_t* sealed = base->Data() + spec.offset;
    spec.codec->Seal(part, *spec.open, open, before, sealed);
    ClearPadding(sealed, spec.codec->Bytes(part));
  }
  if (filling.fine != nullptr) {
    uint8_t* sealed = filling.fine->Data() + spec.fine_offset;
    spec.fine->Seal(part, *spec.open, open, before, sealed);
    ClearPadding(sealed, spec.fine->Bytes(part));
  }
}

// The page in the base form of the block before this one; null if there is none.
const uint8_t* SequenceCache::BaseBefore(int layer, int block, size_t offset) const {
  if (block == 0 || layout_->window.IsSink(block - 1)) return nullptr;
  return SealedData(layer, block - 1, Form::kBase) + offset;
}

void SequenceCache::AppendPart(Part part, int layer, int head, Rows rows) {
  const PartSpec spec = Select(layout_->At(layer, head), part);
  const int end = num_tokens_ + chunk_tokens_;
  for (int position = num_tokens_; position < end;) {
    const int block = position / kPageTokens;
    const int first = position % kPageTokens;
    const int count = std::min(kPageTokens - first, end - position);
    uint8_t* page = OpenPage(layer, block, spec.open_offset);
    if (first == 0) {
      const uint8_t* before = BaseBefore(layer, block, spec.offset);
      spec.open->Begin(part, page, before == nullptr ? 0.0f : spec.codec->NextScale(part, before));
    }
    spec.open->Append(part, page, first, count,
                      rows.data + static_cast<size_t>(position - num_tokens_) * rows.stride, rows.stride);
    if (first + count == kPageTokens) Seal(part, layer, head, block);
    position += count;
  }
}

void SequenceCache::Append(int layer, int head, Rows keys, Rows values) {
  THRONG_DCHECK(chunk_tokens_ > 0);
  AppendPart(Part::kKeys, layer, head, keys);
  if (layout_->layers[static_cast<size_t>(layer)].values_in_keys) return;
  AppendPart(Part::kValues, layer, head, values);
}

const uint8_t* SequenceCache::SealedData(int layer, int block, Form form) const {
  const size_t num_sealed = sealed_.size();
  const size_t index = static_cast<size_t>(block);
  THRONG_DCHECK(index < num_sealed + filling_.size());
  const bool slides = layout_->Slides(layer);
  const auto select = [form, slides](const auto& forms) {
    const Block* of = form == Form::kFine ? forms.fine.get()
                      : slides            ? forms.sliding.get()
                                          : forms.base.get();
    THRONG_DCHECK(of != nullptr);
    return of->Data();
  };
  return index < num_sealed ? select(sealed_[index]) : select(filling_[index - num_sealed]);
}

PageView SequenceCache::Sealed(int layer, int head, int block, Form form) const {
  const PageSpec& page = layout_->At(layer, head);
  const uint8_t* data = SealedData(layer, block, form);
  const bool fine = form == Form::kFine;
  return {data + (fine ? page.fine_keys_offset : page.keys_offset),
          page.values == nullptr ? nullptr : data + (fine ? page.fine_values_offset : page.values_offset)};
}

PageView SequenceCache::Open(int layer, int head, int block) const {
  const PageSpec& page = layout_->At(layer, head);
  return {OpenPage(layer, block, page.open_keys_offset),
          page.values == nullptr ? nullptr : OpenPage(layer, block, page.open_values_offset)};
}

void SequenceCache::FinishLayer(int layer, int head) {
  if (!layout_->layers[static_cast<size_t>(layer)].kept) KeepOpenRows(layer, head);
}

// Moves the rows of the chunk's last block, if that stays open, to where the next chunk finds them.
void SequenceCache::KeepOpenRows(int layer, int head) {
  const int end = num_tokens_ + chunk_tokens_;
  const int last_block = (end - 1) / kPageTokens;
  if (end % kPageTokens == 0 || last_block == num_tokens_ / kPageTokens) return;
  const PageSpec& page = layout_->At(layer, head);
  for (const Part part : page.Parts()) {
    const PartSpec spec = Select(page, part);
    const uint8_t* rows = OpenPage(layer, last_block, spec.open_offset);
    std::memcpy(open_->Data() + spec.open_offset, rows, spec.open->Bytes(part));
  }
}

// In a device's memory: copies rows for whoever wants them, and keeps the chunk's last block if it stays
// open.
void SequenceCache::KeepOpenBlock() {
  const int first_block = num_tokens_ / kPageTokens;
  const int end = num_tokens_ + chunk_tokens_;
  for (int block = first_block; block < end / kPageTokens; ++block) {
    const Filling& filling = filling_[static_cast<size_t>(block - first_block)];
    if (filling.rows != nullptr) filling.rows->CopyFrom(*OpenOf(block));
  }
  if (end % kPageTokens != 0) open_ = OpenOf(end / kPageTokens);
}

void SequenceCache::EndChunk() {
  THRONG_CHECK(chunk_tokens_ > 0);
  if (!pool_->Memory().IsHost()) KeepOpenBlock();
  for (int layer = 0; layer < layout_->NumLayers(); ++layer) {
    const LayerShape& shape = layout_->layers[static_cast<size_t>(layer)];
    for (int head = 0; shape.kept && head < shape.num_kv_heads; ++head) KeepOpenRows(layer, head);
  }
  const int completed = (num_tokens_ + chunk_tokens_) / kPageTokens - num_tokens_ / kPageTokens;
  for (int i = 0; i < completed; ++i) {
    Filling& filling = filling_[i];
    if (filling.rows != nullptr) rows_.push_back({num_tokens_ / kPageTokens + i, std::move(filling.rows)});
    sealed_.push_back({std::move(filling.base), std::move(filling.sliding), std::move(filling.fine),
                       std::move(filling.state)});
  }
  num_tokens_ += chunk_tokens_;
  chunk_tokens_ = 0;
  if (num_tokens_ % kPageTokens == 0) sealed_.back().state = std::move(state_);
  if (completed > 0 && !keeps_unseen_) DropUnseen();
  DropReservation();
}

}  // namespace throng::kv
