#include "kv/cache/block_memory.h"

#include <cstring>

#include "base/check.h"
#include "kv/cache/slab_arena.h"

namespace throng::kv {
namespace {

class HostMemory final : public BlockMemory {
 public:
  explicit HostMemory(const BlockLayout& layout) {
    for (const BlockKind kind : kBlockKinds) {
      const size_t bytes = SlabBytes(layout, kind);
      if (bytes > 0) arenas_[static_cast<size_t>(kind)] = std::make_unique<SlabArena>(bytes);
    }
  }

  bool IsHost() const override { return true; }
  size_t Stride(BlockKind kind) const override { return Of(kind).Stride(); }
  uint8_t* Allocate(BlockKind kind) override { return Of(kind).Allocate(); }
  void Free(BlockKind kind, uint8_t* slab) override { Of(kind).Free(slab); }
  void CopyToHost(uint8_t* host, const uint8_t* slab, size_t bytes) override {
    std::memcpy(host, slab, bytes);
  }
  void CopyFromHost(uint8_t* slab, const uint8_t* host, size_t bytes) override {
    std::memcpy(slab, host, bytes);
  }
  void Copy(uint8_t* to, const uint8_t* from, size_t bytes) override { std::memcpy(to, from, bytes); }

 private:
  SlabArena& Of(BlockKind kind) const { return *arenas_[static_cast<size_t>(kind)]; }

  std::array<std::unique_ptr<SlabArena>, kBlockKinds.size()> arenas_;  // null: no such slabs
};

}  // namespace

size_t SlabBytes(const BlockLayout& layout, BlockKind kind) {
  switch (kind) {
    case BlockKind::kSealed:
      return layout.bytes;
    case BlockKind::kSliding:
      return layout.sliding_bytes;
    case BlockKind::kFine:
      return layout.fine_bytes;
    case BlockKind::kState:
      return layout.state_bytes;
    case BlockKind::kOpen:
      return layout.open_bytes;
  }
  THRONG_CHECK(false);
}

std::unique_ptr<BlockMemory> MakeHostMemory(const BlockLayout& layout) {
  return std::make_unique<HostMemory>(layout);
}

}  // namespace throng::kv
