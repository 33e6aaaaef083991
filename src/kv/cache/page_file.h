// The pages of one sequence as a file: to go on in another process with the bytes that this one has, instead
// of computing the tokens again.
//
// The file, little-endian: "throngkv", version (u32), header, tokens (i32 each), digest of all that; then
// each sealed block and, if there is one, the open block, each followed by its digest. Digests are XXH3 with
// 128 bits; a block's covers the header's digest and the block's index, so blocks cannot change places. They
// tell damage, not attacks: a crafted file may hold other numbers, but cannot lead out of any buffer.
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

// What decides on the bytes of pages beside tokens and layout.
struct PageSource {
  Digest model;             // of weights and configuration
  std::string computation;  // how: "softmax=exact simd=AVX2"
};

struct SavedPages {
  std::vector<int32_t> tokens;  // at least those that the cache holds
  SequenceCache cache;
};

// tokens: those of the cache, and perhaps some that follow. The file appears complete or not at all. Throws
// kIo, or kExhausted if the disk is full.
void SavePages(const std::string& path, const PageSource& source, std::span<const int32_t> tokens,
               const SequenceCache& cache);

// Throws, with one sentence, kIo; kCorrupt for a file that is damaged, no such file, or of another version;
// kInvalid for pages of another model, codec, shape or computation; kExhausted if the pool's budget has no
// room for them.
SavedPages LoadPages(const std::string& path, const PageSource& source, BlockPool& pool);

// Digest of names, places and encodings of all pages: the codecs encode a fixed block, so that a codec that
// changed its bytes under the same name has another digest.
Digest FormatDigest(const BlockLayout& layout);

}  // namespace throng::kv
