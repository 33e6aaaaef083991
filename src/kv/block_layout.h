// The layout of a block: the offset and the codecs of each page.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kv/codec.h"

namespace throng::kv {

class OpenCodec;

// The forms of a sealed page (docs/kv-window.md).
enum class Form { kBase, kFine };

// Which pages queries see in the fine form: those of a sequence's first blocks (sinks), and of the last
// blocks before the query's own. What is seen depends on positions alone.
struct FineWindow {
  int sink_blocks = 0;
  int recent_blocks = 0;
  bool operator==(const FineWindow&) const = default;

  bool IsSink(int block) const { return block < sink_blocks; }
  // Whether a block has each form when it is sealed. Sinks never need the base form.
  bool HasBase(int block) const { return !IsSink(block); }
  bool HasFine(int block) const { return IsSink(block) || recent_blocks > 0; }
  // The form of a sealed block that a query in a later block sees.
  Form Seen(int block, int query_block) const {
    return IsSink(block) || query_block - block <= recent_blocks ? Form::kFine : Form::kBase;
  }
};

// The page of one layer and KV head, sealed and open. Offsets count from the block's start and are aligned to
// 64. The fine form has a block of its own.
struct PageSpec {
  const Codec* keys;
  const Codec* values;
  size_t keys_offset;
  size_t values_offset;
  const Codec* fine = nullptr;  // of keys and values; null without fine pages
  size_t fine_keys_offset = 0;
  size_t fine_values_offset = 0;
  // Codecs of the open page, as Codec::Open() says.
  const OpenCodec* open_keys;
  const OpenCodec* open_values;
  size_t open_keys_offset;
  size_t open_values_offset;

  const Codec& Keys(Form form) const { return form == Form::kFine ? *fine : *keys; }
  const Codec& Values(Form form) const { return form == Form::kFine ? *fine : *values; }
};

// The state of one recurrent layer: what it carries from token to token instead of keys and values
// (docs/recurrent-state.md).
struct StateSpec {
  size_t floats;  // f32
  size_t offset;  // in bytes, from the beginning of all layers' states; aligned to 64
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
  size_t bytes = 0;                                  // of one sealed block, in the base form
  size_t fine_bytes = 0;                             // of one sealed block in the fine form; 0: there is none
  size_t open_bytes = 0;                             // of one open block
  std::vector<PageSpec> pages;                       // [num_layers, num_kv_heads]
  std::vector<std::shared_ptr<const Codec>> codecs;  // keeps the codecs of `pages` alive
  FineWindow window;                                 // empty without fine pages
  std::vector<StateSpec> states;                     // of the recurrent layers, in their order
  size_t state_bytes = 0;                            // of all of them; 0: there are none
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

// Gives the pages that queries see through the window a fine form, in int8. Throws kInvalid for codecs that
// cannot have one: those whose pages are no smaller than that form, and with sinks those that pass a scale
// from page to page.
void AddFinePages(BlockLayout& layout, const FineWindow& window);

// The same layout for a model that has recurrent layers, too. floats: the number of f32 of each one's state,
// in their order; empty: there are none. Throws kUnsupported for more layers or larger states than a cache
// can have.
BlockLayout WithStates(BlockLayout layout, std::span<const size_t> floats);

// A short name of all pages' codecs: "int8", "gear2+rot4" for keys and values, "mixed-" and a digest if
// layers or heads differ; then ", sink=64" and ", recent=256" in tokens; ", keys with bias" for kNone, and
// ", keys without mean" and a digest for kMean.
std::string LayoutName(const BlockLayout& layout);

}  // namespace throng::kv
