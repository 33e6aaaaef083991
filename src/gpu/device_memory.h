// The blocks of a KV cache in a device's memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "gpu/arena.h"
#include "gpu/free_ranges.h"
#include "kv/cache/block_memory.h"

namespace throng::gpu {

// One piece of the arena, taken at the start, for all but states and fine forms. Sealed blocks are at its
// beginning and open ones at its end, so that a block which is freed leaves room for another of its size.
class DeviceMemory final : public kv::BlockMemory {
 public:
  // Throws kExhausted if the arena has no such piece.
  DeviceMemory(std::shared_ptr<Arena> arena, const kv::BlockLayout& layout, size_t budget_bytes);
  ~DeviceMemory() override;
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  bool IsHost() const override { return false; }
  size_t Stride(kv::BlockKind kind) const override;
  uint8_t* Allocate(kv::BlockKind kind) override;
  void Free(kv::BlockKind kind, uint8_t* slab) override;
  void CopyToHost(uint8_t* host, const uint8_t* slab, size_t bytes) override;
  void CopyFromHost(uint8_t* slab, const uint8_t* host, size_t bytes) override;
  void Copy(uint8_t* to, const uint8_t* from, size_t bytes) override;

  size_t FreeBytes() const { return free_.Bytes(); }

 private:
  const std::shared_ptr<Arena> arena_;
  const size_t sealed_bytes_, sliding_bytes_, open_bytes_;
  uint8_t* const memory_;
  FreeRanges free_;
};

}  // namespace throng::gpu
