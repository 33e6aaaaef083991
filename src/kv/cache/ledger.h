// Counts the bytes of the KV cache by kind, now and at the peak.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "kv/codec.h"

namespace throng::kv {

struct BlockLayout;
enum class BlockKind;

struct LedgerBytes {
  size_t codes = 0;
  size_t scales = 0;
  size_t low_rank = 0;
  size_t sparse = 0;
  size_t padding = 0;  // alignment of pages to 64 bytes, and of blocks to pages of the operating system
  size_t state = 0;    // states of recurrent layers
  size_t open = 0;     // open blocks: rows that are not encoded yet
  size_t chunk = 0;    // rows of the blocks that a running forward pass touches
  size_t Total() const { return codes + scales + low_rank + sparse + padding + state + open + chunk; }
};

struct LedgerEntry {
  const char* kind;  // "codes", "scales", ...: stable names for tables and JSON
  size_t bytes;
};

std::vector<LedgerEntry> Entries(const LedgerBytes& bytes);

struct Ledger {
  LedgerBytes held;
  LedgerBytes peak;  // the split at the moment when the total was highest
  size_t budget = 0;
  size_t sealed_blocks = 0;   // in the base form
  size_t sliding_blocks = 0;  // those whose sliding pages are there
  size_t fine_blocks = 0;     // in the fine form
  size_t states = 0;          // of all recurrent layers each
  size_t open_blocks = 0;
};

// The split of one slab of `stride` bytes with pages of a sealed block: of kSealed, kSliding or kFine.
LedgerBytes SealedBlockBytes(const BlockLayout& layout, BlockKind kind, size_t stride);

}  // namespace throng::kv
