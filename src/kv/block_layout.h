// Where the pages of a block lie, and which codec each has.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kv/codec.h"

namespace throng::kv {

class OpenCodec;

// One layer and KV head of a block, sealed and open. Offsets are aligned to 64 and count from the block's
// start.
struct PageSpec {
  const Codec* keys;
  const Codec* values;
  size_t keys_offset;
  size_t values_offset;
  // The form of rows that are not encoded yet, as Open() of the codec says.
  const OpenCodec* open_keys;
  const OpenCodec* open_values;
  size_t open_keys_offset;
  size_t open_values_offset;
};

struct BlockLayout {
  int num_layers = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
  size_t bytes = 0;                                  // of one sealed block
  size_t open_bytes = 0;                             // of one open block
  std::vector<PageSpec> pages;                       // [num_layers, num_kv_heads]
  std::vector<std::shared_ptr<const Codec>> codecs;  // keeps the codecs of `pages` alive
  const PageSpec& At(int layer, int head) const {
    return pages[static_cast<size_t>(layer) * num_kv_heads + head];
  }
};

struct CodecPair {
  std::shared_ptr<const Codec> keys;
  std::shared_ptr<const Codec> values;
};

// Throws kUnsupported if a block cannot have that many layers or KV heads.
void CheckBlockShape(int num_layers, int num_kv_heads);

// choose(layer, head) is called once for each page of a block. Throws kUnsupported if a number is out of
// range.
BlockLayout MakeLayout(const std::function<CodecPair(int layer, int head)>& choose, int num_layers,
                       int num_kv_heads, int head_dim);
// The same pair of codecs in all layers and heads.
BlockLayout MakeLayout(std::shared_ptr<const Codec> keys, std::shared_ptr<const Codec> values, int num_layers,
                       int num_kv_heads, int head_dim);

// The codecs of all pages in a word: "int8", "gear2+rot4" for keys and values, "mixed-" and a digest if
// layers or heads differ.
std::string LayoutName(const BlockLayout& layout);

}  // namespace throng::kv
