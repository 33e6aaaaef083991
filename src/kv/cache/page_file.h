// Saves the pages of one sequence to a file. Another process can continue from the same bytes instead of
// computing the tokens again.
//
// The file, little-endian: "throngkv", version (u32), header, tokens (i32 each), digest of all that; then
// each sealed block (its base form, its sliding pages, its fine form, those of them that the next token sees
// or a later one will see) and, if there are such, the open block and the state after the last token, each
// followed by its digest. Digests are XXH3 with 128 bits; a block's digest covers the header's digest and the
// block's index, so blocks cannot change places. Digests detect damage, not attacks: a crafted file may hold
// other numbers, but cannot cause access outside a buffer.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/digest.h"
#include "kv/cache/sequence_cache.h"

namespace throng::kv {

class BlockPool;

inline constexpr uint32_t kPageFileVersion = 1;

// What determines the bytes of pages, besides tokens and layout.
struct PageSource {
  Digest model;             // of weights and configuration
  std::string computation;  // how pages are computed: "softmax=exact simd=AVX2"
};

struct SavedPages {
  std::vector<int32_t> tokens;  // at least the tokens that the cache holds
  SequenceCache cache;
};

// tokens: the cache's tokens, possibly followed by more. The file appears complete or not at all. Throws kIo,
// or kExhausted if the disk is full.
void SavePages(const std::string& path, const PageSource& source, std::span<const int32_t> tokens,
               const SequenceCache& cache);

// Throws, with one sentence: kIo; kCorrupt for a file that is damaged, of another kind or of another version;
// kInvalid for pages of another model, codec, shape or computation; kExhausted if the pool's budget has no
// room for them.
SavedPages LoadPages(const std::string& path, const PageSource& source, BlockPool& pool);

// Digest of the names, offsets and encodings of all pages, and of the sizes of states. Each codec encodes a
// fixed block, so a codec that changes its bytes but not its name gets another digest.
Digest FormatDigest(const BlockLayout& layout);

}  // namespace throng::kv
