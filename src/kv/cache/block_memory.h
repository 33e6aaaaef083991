// The memory that the slabs of a pool are in: this process's, or a device's.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "kv/block_layout.h"

namespace throng::kv {

// kSealed and kSliding: the pages of a sealed block in the base form, of layers that see everything and of
// those that slide. kFine: all of its pages in the fine form. kState: the state of all recurrent layers after
// some token.
enum class BlockKind { kSealed, kSliding, kFine, kState, kOpen };
inline constexpr std::array kBlockKinds = {BlockKind::kSealed, BlockKind::kSliding, BlockKind::kFine,
                                           BlockKind::kState, BlockKind::kOpen};
// What a sealed block can have.
inline constexpr std::array kSealedKinds = {BlockKind::kSealed, BlockKind::kSliding, BlockKind::kFine,
                                            BlockKind::kState};

// Bytes of one slab without its padding; 0: the layout has no such slabs.
size_t SlabBytes(const BlockLayout& layout, BlockKind kind);

// Slabs of the kinds of one layout. The pool calls Allocate and Free, one thread at a time, and keeps the
// budget; any thread may copy.
class BlockMemory {
 public:
  virtual ~BlockMemory() = default;

  // Whether this process can read and write slabs at their addresses; else it can only copy them.
  virtual bool IsHost() const = 0;
  // Bytes that a slab takes, with its padding; of kinds that the layout has.
  virtual size_t Stride(BlockKind kind) const = 0;
  // A slab, aligned to 64, whose bytes are undefined; null if there is no room.
  virtual uint8_t* Allocate(BlockKind kind) = 0;
  virtual void Free(BlockKind kind, uint8_t* slab) = 0;

  virtual void CopyToHost(uint8_t* host, const uint8_t* slab, size_t bytes) = 0;
  virtual void CopyFromHost(uint8_t* slab, const uint8_t* host, size_t bytes) = 0;
  virtual void Copy(uint8_t* to, const uint8_t* from, size_t bytes) = 0;  // from slab to slab
};

// Of this process. Slabs that are freed go back to the operating system, but for some that were freed last.
std::unique_ptr<BlockMemory> MakeHostMemory(const BlockLayout& layout);

}  // namespace throng::kv
