// The KV cache of one sequence: sealed blocks of 64 tokens (shared, immutable) and an open block.
//
// A page is the keys and values of 64 tokens for one layer and one KV head. A block is the pages of one
// 64-token range for all layers and KV heads: the unit of allocation, sharing, spilling and freeing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kv/codec.h"

namespace throng::kv {

// Where the pages of a block lie. Codecs may differ per layer and head, and between keys and values.
struct PageSpec {
  const Codec* keys;
  const Codec* values;
  size_t keys_offset;  // within the block's bytes, aligned to 64
  size_t values_offset;
};

struct BlockLayout {
  int num_layers;
  int num_kv_heads;
  int head_dim;
  size_t bytes;                 // of one sealed block
  std::vector<PageSpec> pages;  // [num_layers, num_kv_heads]
  const PageSpec& At(int layer, int head) const {
    return pages[static_cast<size_t>(layer) * num_kv_heads + head];
  }
};

}  // namespace throng::kv
