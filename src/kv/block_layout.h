// The layout of a block: the offset and the codecs of each page.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kv/codec.h"

namespace throng::kv {

class OpenCodec;

// The page of one layer and KV head, sealed and open. Offsets count from the block's start and are aligned to
// 64.
struct PageSpec {
  const Codec* keys;
  const Codec* values;
  size_t keys_offset;
  size_t values_offset;
  // Codecs of the open page, as Codec::Open() says.
  const OpenCodec* open_keys;
  const OpenCodec* open_values;
  size_t open_keys_offset;
  size_t open_values_offset;
};

// What the keys in a cache lack, so that codecs need not span it; attention adds its part to the scores
// (attention/key_bias.h). kModel: the bias of the model's key projection, where it stands out. kMean: the
// means of a layer's keys over a text. kNone: nothing.
enum class KeyBias { kModel, kMean, kNone };

// [layers][KV heads, head_dim], before rotation; 0 where keys lack nothing.
using KeyMeans = std::vector<std::vector<float>>;

struct BlockLayout {
  int num_layers = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
  size_t bytes = 0;                                  // of one sealed block
  size_t open_bytes = 0;                             // of one open block
  std::vector<PageSpec> pages;                       // [num_layers, num_kv_heads]
  std::vector<std::shared_ptr<const Codec>> codecs;  // keeps the codecs of `pages` alive
  KeyBias key_bias = KeyBias::kModel;
  std::shared_ptr<const KeyMeans> key_means;  // for kMean
  const PageSpec& At(int layer, int head) const {
    return pages[static_cast<size_t>(layer) * num_kv_heads + head];
  }
};

struct CodecPair {
  std::shared_ptr<const Codec> keys;
  std::shared_ptr<const Codec> values;
};

// Throws kUnsupported for more layers or KV heads than a block can have.
void CheckBlockShape(int num_layers, int num_kv_heads);

// Calls choose(layer, head) once for each page of a block. Throws kUnsupported if a number is out of range.
BlockLayout MakeLayout(const std::function<CodecPair(int layer, int head)>& choose, int num_layers,
                       int num_kv_heads, int head_dim);
// Uses the same pair of codecs in all layers and heads.
BlockLayout MakeLayout(std::shared_ptr<const Codec> keys, std::shared_ptr<const Codec> values, int num_layers,
                       int num_kv_heads, int head_dim);

// A short name of all pages' codecs: "int8", "gear2+rot4" for keys and values, "mixed-" and a digest if
// layers or heads differ; then ", keys with bias" for kNone, and ", keys without mean" and a digest for
// kMean.
std::string LayoutName(const BlockLayout& layout);

}  // namespace throng::kv
