#include "gpu/cache.h"

#include <algorithm>
#include <span>

#include "base/check.h"
#include "base/error.h"
#include "kv/codec.h"
#include "kv/gear/gear_encode.h"

namespace throng::gpu {
namespace {

constexpr int kTokens = kv::kPageTokens;

const device::CodecKernels& FindCodec(device::Device& device, std::string_view name, int head_dim) {
  for (const device::CodecKernels& codec : device::kCodecKernels) {
    if (codec.name == name && codec.head_dim == head_dim) return codec;
  }
  throw MakeError(
      ErrorCode::kUnsupported,
      "KV codec {}: {} has no kernels for it with heads of {} elements (docs/gpu.md has those that "
      "it has)",
      name, device.Name(), head_dim);
}

int BlocksOf(int tokens) { return (tokens + kTokens - 1) / kTokens; }

size_t FreeOf(const device::BlockArena& arena) { return arena.Ledger().free / arena.BlockBytes(); }

}  // namespace

DeviceCache::DeviceCache(device::Device& device, std::string_view codec, const CacheShape& shape,
                         size_t budget_bytes, int open_blocks)
    : device_(device),
      shape_(shape),
      codec_(FindCodec(device, codec, shape.head_dim)),
      sealed_part_(static_cast<int64_t>(kv::RoundUp64(codec_.page_bytes))),
      open_part_(int64_t{2} * kTokens * shape.head_dim) {
  size_t open_bytes = 0;
  if (codec_.seal) {
    open_bytes = static_cast<size_t>(open_blocks) * BlockBytes(open_part_);
    if (open_bytes >= budget_bytes) {
      throw MakeError(
          ErrorCode::kInvalid,
          "KV cache of {}: {} open blocks take {} bytes, which leaves nothing of the budget of {}",
          device.Name(), open_blocks, open_bytes, budget_bytes);
    }
    open_.emplace(device, open_bytes, BlockBytes(open_part_));
  } else {
    THRONG_CHECK(sealed_part_ == open_part_);
  }
  sealed_.emplace(device, budget_bytes - open_bytes, BlockBytes(sealed_part_));
  if (codec_.rank == 0) return;
  const auto rank = static_cast<size_t>(codec_.rank);
  const auto dim = static_cast<size_t>(shape.head_dim);
  const std::vector<double> start = kv::GearStart(shape.head_dim, codec_.rank);  // [d, rank]
  std::vector<double> transposed(rank * dim);
  for (size_t i = 0; i < start.size(); ++i) transposed[i % rank * dim + i / rank] = start[i];
  start_ = std::make_unique<device::DeviceArray<double>>(device, std::span<const double>(transposed));
}

FreeBlocks DeviceCache::Free() const { return {open_ ? FreeOf(*open_) : 0, FreeOf(*sealed_)}; }

DeviceSequence::DeviceSequence(DeviceCache& cache) : cache_(cache), table_(*cache.sealed_) {}

DeviceSequence::~DeviceSequence() {
  if (!Seals()) return;  // the table has them
  for (uint8_t* const block : open_) cache_.open_->Give(block);
}

int DeviceSequence::MostTokens() const { return kTokens * table_.MostBlocks(); }

FreeBlocks DeviceSequence::Needs(int count) const {
  const int end = num_tokens_ + count;
  const int in_table = Seals() ? end / kTokens : BlocksOf(end);
  FreeBlocks needs;
  needs.sealed = static_cast<size_t>(in_table - table_.NumBlocks());
  if (Seals()) needs.open = static_cast<size_t>(BlocksOf(end) - first_open_) - open_.size();
  return needs;
}

void DeviceSequence::Reserve(int count) {
  THRONG_CHECK(count > 0 && reserved_ == 0 && num_tokens_ + count <= MostTokens());
  const FreeBlocks needs = Needs(count);
  reserved_ = count;
  for (size_t i = 0; i < needs.sealed; ++i) {
    uint8_t* const block = table_.Append();
    THRONG_CHECK(block != nullptr);
    (Seals() ? sealed_ : open_).push_back(block);
  }
  for (size_t i = 0; i < needs.open; ++i) {
    const std::optional<uint8_t*> block = cache_.open_->Take();
    THRONG_CHECK(block.has_value());
    open_.push_back(*block);
  }
}

void DeviceSequence::Commit() {
  num_tokens_ += reserved_;
  reserved_ = 0;
  const int complete = num_tokens_ / kTokens - first_open_;
  for (int i = 0; i < complete; ++i) {
    if (Seals()) cache_.open_->Give(open_[static_cast<size_t>(i)]);
  }
  open_.erase(open_.begin(), open_.begin() + complete);
  first_open_ += complete;
  sealed_.clear();
}

}  // namespace throng::gpu
