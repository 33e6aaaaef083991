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
  std::swap(reserved_tokens_, other.reserved_tokens_);
  std::swap(chunk_tokens_, other.chunk_tokens_);
  std::swap(filling_, other.filling_);
  std::swap(scratch_, other.scratch_);
  std::swap(scratch_bytes_, other.scratch_bytes_);
}

size_t SequenceCache::ScratchBytes(int num_tokens) const {
  const int first_block = num_tokens_ / kPageTokens;
  const int last_block = (num_tokens_ + num_tokens - 1) / kPageTokens;
  if (last_block == first_block) return 0;
  return static_cast<size_t>(last_block - first_block) * layout_->chunk_bytes;
}

size_t SequenceCache::BytesToReserve(int num_tokens) const {
  size_t bytes = ScratchBytes(num_tokens) + (num_tokens_ % kPageTokens != 0 ? 0 : pool_->OpenBytes());
  const int end = (num_tokens_ + num_tokens) / kPageTokens;
  for (int block = num_tokens_ / kPageTokens; block < end; ++block) bytes += pool_->SealingBytes(block);
  return bytes;
}

bool SequenceCache::Reserve(int num_tokens) {
  THRONG_CHECK(chunk_tokens_ == 0 && num_tokens >= 1);
  DropReservation();
  const int end = (num_tokens_ + num_tokens) / kPageTokens;
  const size_t scratch_bytes = ScratchBytes(num_tokens);
  const auto take_block = [this](bool wanted, BlockKind kind, std::shared_ptr<Block>& block) {
    if (wanted) block = pool_->TryAllocate(kind);
    return !wanted || block != nullptr;
  };
  const auto take = [&] {
    if (open_ == nullptr) open_ = pool_->TryAllocateOpen();
    if (open_ == nullptr) return false;
    for (int block = num_tokens_ / kPageTokens; block < end; ++block) {
      Filling& filling = filling_.emplace_back();
      if (!take_block(layout_->window.HasBase(block), BlockKind::kSealed, filling.base) ||
          !take_block(layout_->window.HasFine(block), BlockKind::kFine, filling.fine)) {
        return false;
      }
    }
    if (scratch_bytes == 0) return true;
    if (!pool_->TryHoldChunk(scratch_bytes)) return false;
    scratch_bytes_ = scratch_bytes;
    scratch_ = static_cast<uint8_t*>(std::aligned_alloc(64, scratch_bytes));
    return scratch_ != nullptr;
  };
  if (!take()) {
    DropReservation();
    return false;
  }
  reserved_tokens_ = num_tokens;
  return true;
}

int SequenceCache::ReserveGuesses(int num_tokens) {
  THRONG_CHECK(chunk_tokens_ == 0 && reserved_tokens_ > 0 && num_tokens >= 0);
  const int used = (num_tokens_ + reserved_tokens_) % kPageTokens;
  if (used == 0) return 0;
  const int added = std::min(num_tokens, kPageTokens - 1 - used);
  reserved_tokens_ += added;
  return added;
}

void SequenceCache::DropReservation() {
  filling_.clear();
  std::free(scratch_);
  scratch_ = nullptr;
  if (scratch_bytes_ > 0) pool_->ReleaseChunk(scratch_bytes_);
  scratch_bytes_ = 0;
  if (num_tokens_ % kPageTokens == 0) open_.reset();
  reserved_tokens_ = 0;
}

void SequenceCache::Adopt(std::span<const SealedBlock> blocks) {
  THRONG_CHECK(num_tokens_ == 0 && chunk_tokens_ == 0 &&
               UsableBlocks(layout_->window, blocks) == blocks.size());
  DropReservation();
  sealed_.assign(blocks.begin(), blocks.end());
  num_tokens_ = static_cast<int>(blocks.size()) * kPageTokens;
  DropUnseen();
}

void SequenceCache::DropUnseen() {
  const int next_block = num_tokens_ / kPageTokens;
  for (int block = 0; block < next_block; ++block) {
    if (layout_->window.Seen(block, next_block) == Form::kBase) sealed_[block].fine.reset();
  }
}

const uint8_t* SequenceCache::OpenRows() const {
  return num_tokens_ % kPageTokens == 0 ? nullptr : open_->Data();
}

bool SequenceCache::AdoptOpen(int count, const uint8_t* rows) {
  THRONG_CHECK(num_tokens_ % kPageTokens == 0 && chunk_tokens_ == 0 && count >= 1 && count < kPageTokens);
  DropReservation();
  open_ = pool_->TryAllocateOpen();
  if (open_ == nullptr) return false;
  std::memcpy(open_->Data(), rows, layout_->open_bytes);
  num_tokens_ += count;
  return true;
}

int SequenceCache::Reusable(int num_tokens) const {
  const auto num_blocks = static_cast<size_t>(num_tokens) / kPageTokens;
  if (num_blocks >= sealed_.size()) return std::min(num_tokens, num_tokens_);
  return static_cast<int>(UsableBlocks(layout_->window, std::span(sealed_).first(num_blocks))) * kPageTokens;
}

std::optional<SequenceCache> SequenceCache::Fork(int num_tokens) const {
  THRONG_CHECK(chunk_tokens_ == 0 && num_tokens >= 0 && num_tokens <= num_tokens_);
  SequenceCache fork(*pool_);
  const int kept = Reusable(num_tokens);
  fork.Adopt(std::span(sealed_).first(static_cast<size_t>(kept) / kPageTokens));
  if (kept % kPageTokens == 0) return fork;
  if (!fork.AdoptOpen(num_tokens_ % kPageTokens, OpenRows())) return std::nullopt;
  fork.Truncate(kept);
  return fork;
}

int SequenceCache::Truncate(int num_tokens) {
  THRONG_CHECK(chunk_tokens_ == 0 && num_tokens >= 0);
  if (num_tokens >= num_tokens_) return num_tokens_;
  DropReservation();
  const int sealed_tokens = static_cast<int>(sealed_.size()) * kPageTokens;
  if (num_tokens <= sealed_tokens) {
    num_tokens_ = Reusable(num_tokens);
    sealed_.resize(static_cast<size_t>(num_tokens_) / kPageTokens);
    open_.reset();
    return num_tokens_;
  }
  num_tokens_ = num_tokens;
  for (const PageSpec& page : layout_->pages) {
    const int first = num_tokens % kPageTokens;
    for (const Part part : page.Parts()) {
      const PartSpec spec = Select(page, part);
      spec.open->Clear(part, open_->Data() + spec.open_offset, first);
    }
  }
  return num_tokens_;
}

void SequenceCache::Release() {
  num_tokens_ = 0;
  chunk_tokens_ = 0;
  sealed_.clear();
  DropReservation();
}

void SequenceCache::BeginChunk(int num_tokens) {
  THRONG_CHECK(chunk_tokens_ == 0 && num_tokens >= 1 && num_tokens <= reserved_tokens_);
  chunk_tokens_ = num_tokens;
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
  const PagesBefore before = {block, BaseBefore(block, spec.offset)};
  if (filling.base != nullptr) {
    uint8_t* sealed = filling.base->Data() + spec.offset;
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
const uint8_t* SequenceCache::BaseBefore(int block, size_t offset) const {
  if (block == 0 || layout_->window.IsSink(block - 1)) return nullptr;
  return SealedData(block - 1, Form::kBase) + offset;
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
      const uint8_t* before = BaseBefore(block, spec.offset);
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

const uint8_t* SequenceCache::SealedData(int block, Form form) const {
  const size_t num_sealed = sealed_.size();
  const size_t index = static_cast<size_t>(block);
  THRONG_DCHECK(index < num_sealed + filling_.size());
  const auto select = [form](const auto& forms) {
    const Block* of = form == Form::kFine ? forms.fine.get() : forms.base.get();
    THRONG_DCHECK(of != nullptr);
    return of->Data();
  };
  return index < num_sealed ? select(sealed_[index]) : select(filling_[index - num_sealed]);
}

PageView SequenceCache::Sealed(int layer, int head, int block, Form form) const {
  const PageSpec& page = layout_->At(layer, head);
  const uint8_t* data = SealedData(block, form);
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

void SequenceCache::EndChunk() {
  THRONG_CHECK(chunk_tokens_ > 0);
  for (int layer = 0; layer < layout_->NumLayers(); ++layer) {
    const LayerShape& shape = layout_->layers[static_cast<size_t>(layer)];
    for (int head = 0; shape.kept && head < shape.num_kv_heads; ++head) KeepOpenRows(layer, head);
  }
  const int completed = (num_tokens_ + chunk_tokens_) / kPageTokens - num_tokens_ / kPageTokens;
  for (int i = 0; i < completed; ++i) {
    sealed_.push_back({std::move(filling_[i].base), std::move(filling_[i].fine)});
  }
  num_tokens_ += chunk_tokens_;
  chunk_tokens_ = 0;
  DropReservation();
  if (completed > 0) DropUnseen();
}

}  // namespace throng::kv
