// The KV cache of a model in a device's memory: sealed blocks, open ones, and where a sequence has them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "device/block_arena.h"
#include "device/codec_kernels.h"
#include "device/device.h"

namespace throng::gpu {

struct CacheShape {
  int layers, kv_heads, head_dim;
};

// Where the pages of KV head 0 of a layer are in a block, in bytes; heads are head_stride apart.
struct Places {
  int64_t keys, values, head_stride;
};

// Numbers of blocks.
struct FreeBlocks {
  size_t open = 0;
  size_t sealed = 0;
};

// Blocks of 64 tokens of all layers: [layers, kv_heads, keys and values, page]. One thread at a time.
class DeviceCache {
 public:
  // Within `budget_bytes`, of which `open_blocks` blocks of f16 are for what is not sealed: one for each
  // sequence, and one for each block of a chunk. Throws kUnsupported if the device has no kernels for the
  // codec, kInvalid if the budget is too small, kExhausted if the device has no such budget.
  DeviceCache(device::Device& device, std::string_view codec, const CacheShape& shape, size_t budget_bytes,
              int open_blocks);

  device::Device& GetDevice() const { return device_; }
  const CacheShape& Shape() const { return shape_; }
  const device::CodecKernels& Codec() const { return codec_; }
  Places Sealed(int layer) const { return PlacesOf(layer, sealed_part_); }
  Places Open(int layer) const { return PlacesOf(layer, open_part_); }
  FreeBlocks Free() const;
  // Of SealArgs; null where codecs have no start.
  const double* SealStart() const { return start_ ? start_->Data() : nullptr; }

 private:
  friend class DeviceSequence;
  Places PlacesOf(int layer, int64_t part) const {
    return {int64_t{layer} * shape_.kv_heads * 2 * part, int64_t{layer} * shape_.kv_heads * 2 * part + part,
            2 * part};
  }
  size_t BlockBytes(int64_t part) const {
    return static_cast<size_t>(int64_t{shape_.layers} * shape_.kv_heads * 2 * part);
  }

  device::Device& device_;
  const CacheShape shape_;
  const device::CodecKernels& codec_;
  const int64_t sealed_part_, open_part_;  // bytes of a head's keys or values in a block
  std::unique_ptr<device::DeviceArray<double>> start_;
  std::optional<device::BlockArena> open_;  // empty: open blocks become sealed ones as they are
  std::optional<device::BlockArena> sealed_;
};

// The cache must outlive it.
class DeviceSequence {
 public:
  // Throws kExhausted if the cache is full.
  explicit DeviceSequence(DeviceCache& cache);
  ~DeviceSequence();
  DeviceSequence(const DeviceSequence&) = delete;
  DeviceSequence& operator=(const DeviceSequence&) = delete;

  int NumTokens() const { return num_tokens_; }  // without those that are reserved

  // The most tokens that its table has room for.
  int MostTokens() const;
  // What a pass over `count` more tokens takes, and takes it: there is room for it in the cache and the
  // table.
  FreeBlocks Needs(int count) const;
  void Reserve(int count);
  // The block that these tokens are written to; it is reserved.
  uint8_t* OpenBlock(int block) const { return open_[static_cast<size_t>(block - first_open_)]; }
  // Where a block that the reserved tokens complete is sealed; codecs with seals only.
  uint8_t* SealedBlock(int block) const { return sealed_[static_cast<size_t>(block - first_open_)]; }
  // The places of sealed blocks, in the device's memory.
  const uint8_t* const* Table() { return table_.OnDevice(); }
  // The pass is done: the reserved tokens are in the cache.
  void Commit();

 private:
  bool Seals() const { return cache_.open_.has_value(); }

  DeviceCache& cache_;
  device::PageTable table_;
  int num_tokens_ = 0;
  int reserved_ = 0;
  int first_open_ = 0;            // the block of open_[0]
  std::vector<uint8_t*> open_;    // not sealed, or to be sealed in the pass
  std::vector<uint8_t*> sealed_;  // for the first of open_
};

}  // namespace throng::gpu
