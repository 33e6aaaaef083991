#include "gpu/device_memory.h"

#include <new>

#include "base/check.h"
#include "base/error.h"
#include "base/text/human_bytes.h"

namespace throng::gpu {
namespace {

constexpr size_t kAlignment = 256;  // of slabs, as of what devices allocate

size_t Align(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

uint8_t* AllocateAll(Arena& arena, size_t bytes) {
  arena.CountAs(MemoryUse::kCaches);
  try {
    auto* const memory = static_cast<uint8_t*>(arena.Allocate(bytes));
    arena.CountAs(MemoryUse::kPasses);
    return memory;
  } catch (const std::bad_alloc&) {
    throw MakeError(ErrorCode::kExhausted, "KV cache: {} has no memory for a budget of {}: {}", arena.Name(),
                    HumanBytes(static_cast<double>(bytes)), arena.Ledger());
  }
}

}  // namespace

DeviceMemory::DeviceMemory(std::shared_ptr<Arena> arena, const kv::BlockLayout& layout, size_t budget_bytes)
    : arena_(std::move(arena)),
      sealed_bytes_(Align(layout.bytes)),
      sliding_bytes_(Align(layout.sliding_bytes)),
      open_bytes_(Align(layout.open_bytes)),
      memory_(AllocateAll(*arena_, budget_bytes)),
      free_(budget_bytes / kAlignment * kAlignment) {}

DeviceMemory::~DeviceMemory() { arena_->Free(memory_); }

size_t DeviceMemory::Stride(kv::BlockKind kind) const {
  if (kind == kv::BlockKind::kOpen) return open_bytes_;
  THRONG_CHECK(kind == kv::BlockKind::kSealed || kind == kv::BlockKind::kSliding);
  return kind == kv::BlockKind::kSealed ? sealed_bytes_ : sliding_bytes_;
}

uint8_t* DeviceMemory::Allocate(kv::BlockKind kind) {
  const size_t bytes = Stride(kind);
  const auto begin = kind == kv::BlockKind::kOpen ? free_.TakeLast(bytes) : free_.TakeFirst(bytes);
  return begin ? memory_ + *begin : nullptr;
}

void DeviceMemory::Free(kv::BlockKind kind, uint8_t* slab) {
  free_.GiveBack(static_cast<size_t>(slab - memory_), Stride(kind));
}

void DeviceMemory::CopyToHost(uint8_t* host, const uint8_t* slab, size_t bytes) {
  arena_->CopyFrom(host, slab, bytes);
}

void DeviceMemory::CopyFromHost(uint8_t* slab, const uint8_t* host, size_t bytes) {
  arena_->CopyTo(slab, host, bytes);
}

void DeviceMemory::Copy(uint8_t* to, const uint8_t* from, size_t bytes) { arena_->Copy(to, from, bytes); }

}  // namespace throng::gpu
