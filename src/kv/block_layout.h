// The layout of a block: the shapes of layers, and the offset and the codecs of each page.
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

// The tokens that each token of a layer sees, itself included: the last `window` ones, or those of its own
// chunk of so many positions, or with neither all before it.
struct Reach {
  int window = 0;
  int chunk = 0;  // if > 0, then no window
  bool operator==(const Reach&) const = default;

  bool SeesAll() const { return window <= 0 && chunk <= 0; }
  int First(int position) const {  // the first token that the one at this position sees
    if (chunk > 0) return position / chunk * chunk;
    return window > 0 && position >= window ? position - window + 1 : 0;
  }
};

// What one layer keeps of each token: the keys and values of its KV heads. Layers of a model may differ.
struct LayerShape {
  int num_kv_heads;
  int key_dim;    // elements of a head's key
  int value_dim;  // and of its value
  // Latent pages (multi-head latent attention): a value is the first value_dim elements of its key, so no
  // values are stored.
  bool values_in_keys = false;
  // Later layers attend to this layer's pages too, so its open pages are as they are until the end of the
  // chunk.
  bool kept = false;
  bool operator==(const LayerShape&) const = default;

  size_t StoredElements() const {  // of one token
    return static_cast<size_t>(num_kv_heads) *
           static_cast<size_t>(key_dim + (values_in_keys ? 0 : value_dim));
  }
};

// Layers of one shape, whose keys and values have the same size.
std::vector<LayerShape> AlikeLayers(int num_layers, int num_kv_heads, int head_dim);
// Whether these are AlikeLayers, whatever is kept.
bool AreAlike(std::span<const LayerShape> layers);
// "24 layers of 2 KV heads of size 64", also "... of size 192 with values of size 128" and "... of size 576
// with values in its first 512 elements"; of layers that differ, each run of equal ones, after commas.
std::string ShapeName(std::span<const LayerShape> layers);
std::string ShapeName(size_t num_layers, const LayerShape& shape);

// The page of one layer and KV head, sealed and open. Offsets count from the start of the slab that has the
// page and are aligned to 64: the base form of layers that see everything is in one slab, that of the others
// in another, and the fine form of all in a third. What concerns values is null and 0 where values are in the
// keys.
struct PageSpec {
  const Codec* keys;
  const Codec* values = nullptr;
  size_t keys_offset = 0;
  size_t values_offset = 0;
  const Codec* fine_keys = nullptr;  // null without fine pages
  const Codec* fine_values = nullptr;
  size_t fine_keys_offset = 0;
  size_t fine_values_offset = 0;
  // Codecs of the open page, as Codec::Open() says.
  const OpenCodec* open_keys = nullptr;
  const OpenCodec* open_values = nullptr;
  size_t open_keys_offset = 0;
  size_t open_values_offset = 0;

  const Codec& Keys(Form form) const { return form == Form::kFine ? *fine_keys : *keys; }
  const Codec& Values(Form form) const { return form == Form::kFine ? *fine_values : *values; }
  std::span<const Part> Parts() const;  // those that are stored
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

// [layers][KV heads, key_dim], before rotation; 0 where keys lack nothing.
using KeyMeans = std::vector<std::vector<float>>;

// BlockLayout::bytes without pages.
inline constexpr size_t kNoPages = 64;

struct BlockLayout {
  std::vector<LayerShape> layers;
  // Of one sealed block in the base form, without sliding_bytes. If all layers slide, a few bytes that stand
  // for the block.
  size_t bytes = 0;
  // Of one sealed block's pages, in the base form, of the layers that slide: that do not see everything. They
  // are released when no later token sees them. 0: all layers see everything.
  size_t sliding_bytes = 0;
  size_t fine_bytes = 0;            // of one sealed block in the fine form; 0: there is none
  size_t open_bytes = 0;            // of one open block
  std::vector<PageSpec> pages;      // of the first layer's KV heads, then the second's...
  std::vector<size_t> first_pages;  // [layers]: index of the layer's first page
  // A block's open pages while a chunk runs that begins before it: those of kept layers, and room for those
  // of any other layer.
  size_t chunk_bytes = 0;
  std::vector<size_t> chunk_offsets;                 // [layers]: of the layer's first page
  std::vector<std::shared_ptr<const Codec>> codecs;  // keeps the codecs of `pages` alive
  FineWindow window;                                 // empty without fine pages
  std::vector<StateSpec> states;                     // of the recurrent layers, in their order
  size_t state_bytes = 0;                            // of all of them; 0: there are none
  std::vector<bool> slides;                          // [layers]; empty: none does
  std::vector<Reach> reaches;                        // those of the layers that slide, each once
  KeyBias key_bias = KeyBias::kModel;
  std::shared_ptr<const KeyMeans> key_means;  // for kMean

  bool Slides(int layer) const { return !slides.empty() && slides[static_cast<size_t>(layer)]; }
  // The first block whose sliding pages are read by tokens from block `next` on: those in their reach, and
  // the block before, from which some codecs take a scale.
  int FirstSliding(int next) const;

  int NumLayers() const { return static_cast<int>(layers.size()); }
  const PageSpec& At(int layer, int head) const {
    return pages[first_pages[static_cast<size_t>(layer)] + static_cast<size_t>(head)];
  }
};

struct CodecPair {
  std::shared_ptr<const Codec> keys;    // of the layer's key_dim
  std::shared_ptr<const Codec> values;  // of its value_dim; null where values are in the keys
};

// Throws kUnsupported for more layers or KV heads than a block can have, for head sizes that no codec has,
// and for values that do not fit into their keys.
void CheckShapes(std::span<const LayerShape> layers);

// Calls choose(layer, head) once for each page of a block. Throws as CheckShapes.
BlockLayout MakeLayout(const std::function<CodecPair(int layer, int head)>& choose,
                       std::span<const LayerShape> layers);

// Gives the pages that queries see through the window a fine form: int8, or the page's own codec where its
// pages are no smaller than that. Throws kInvalid if that is all of them, and with sinks for codecs that pass
// a scale from page to page.
void AddFinePages(BlockLayout& layout, const FineWindow& window);

// The same layout for a model that has recurrent layers, too. floats: the number of f32 of each one's state,
// in their order; empty: there are none. Throws kUnsupported for more layers or larger states than a cache
// can have.
BlockLayout WithStates(BlockLayout layout, std::span<const size_t> floats);

// The same layout for layers of these reaches, [layers] or empty: pages that nobody will see are released.
// Without this call, all pages stay and can be read, whatever the layers see.
BlockLayout WithReaches(BlockLayout layout, std::span<const Reach> reaches);

// A short name of all pages' codecs: "int8", "gear2+rot4" for keys and values, "mixed-" and a digest if
// layers or heads differ; then ", sink=64" and ", recent=256" in tokens; ", keys with bias" for kNone, and
// ", keys without mean" and a digest for kMean.
std::string LayoutName(const BlockLayout& layout);

}  // namespace throng::kv
