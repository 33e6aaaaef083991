// The codecs of each layer's KV heads: specifications of a layer, the flags that set them for all layers, and
// the resulting layout of blocks.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kv/block_layout.h"
#include "kv/codec.h"

namespace throng::kv {

// Specifications of a layer whose heads differ: "rot4/kivi2:g=32" gives head i the i-th one, starting over
// after the last. Parameters that are of all heads (bias=, sink=, recent=) must be the same in each.
inline constexpr char kHeadSeparator = '/';

// A specification that gives some heads of a layer 2 bits and the others 4:
// flashq-mixed:bits=24 gives head i the i-th digit, starting over after the last. Without bits, the engine
// ranks the model's heads to choose them. buffer=int8 applies to all heads.
inline constexpr std::string_view kFlashqMixed = "flashq-mixed";
inline bool IsFlashqMixed(std::string_view spec) { return spec.substr(0, spec.find(':')) == kFlashqMixed; }
// LacksHeadBits: whether a specification is flashq-mixed without bits. WithHeadBits: the same one with bits.
bool LacksHeadBits(std::string_view spec);
std::string WithHeadBits(std::string_view spec, std::string_view bits);

// What a specification says of keys: "rot4:bias=off" is the codec rot4 over keys with their bias.
struct KeySpec {
  std::string codec;
  KeyBias bias = KeyBias::kModel;
};
// Takes bias=model|mean|off, which any codec may have, out of a specification. Throws kInvalid for other
// values.
KeySpec SplitKeyBias(std::string_view spec);
// The reverse: adds it to a specification without one.
std::string WithKeyBias(std::string_view codec, KeyBias bias);

// What a specification says of the window that sees finer pages: "gear2:sink=64,recent=256", in tokens.
struct WindowSpec {
  std::string codec;
  FineWindow window;
};
// Takes sink= and recent=, which any codec may have, out of a specification. Throws kInvalid for what is not
// a multiple of 64 from 64 to 1048576.
WindowSpec SplitWindow(std::string_view spec);
// The reverse: adds them to a specification without them.
std::string WithWindow(std::string_view codec, const FineWindow& window);

// Returns one codec per head: the same one, except for flashq-mixed and for heads that differ. head_dim: the
// size of keys, or of values. Throws as ParseCodec does, and as CheckShapes.
std::vector<std::shared_ptr<const Codec>> ParseHeadCodecs(std::string_view spec, int num_kv_heads,
                                                          int head_dim);

// Specifications of one layer, as ParseHeadCodecs takes them; that of keys may contain bias=, the same in all
// layers; both may contain sink= and recent=, the same in all.
struct LayerCodecs {
  std::string k;
  std::string v;  // empty where values are in the keys
  bool operator==(const LayerCodecs&) const = default;
};

// The flags --kv, --k and --v, which apply to every layer: --kv sets keys and values, --k and --v override
// it.
struct CodecFlags {
  std::string kv = "f16";
  std::string k = "";  // empty: as kv
  std::string v = "";
  const std::string& Keys() const { return k.empty() ? kv : k; }
  // bias= in `kv` is of keys.
  std::string Values() const { return v.empty() ? SplitKeyBias(kv).codec : v; }
};

// Throws kInvalid if --v is given and no layer has values of its own.
std::vector<LayerCodecs> LayersOf(const CodecFlags& flags, std::span<const LayerShape> shapes);

// Throws kInvalid if keys cannot lack their mean (bias=mean) in one of the layers: latent keys are values
// too.
void CheckKeyMeans(std::span<const LayerShape> shapes);

// Throw as ParseHeadCodecs and CheckShapes. codecs: as many as shapes. means: needed for bias=mean.
BlockLayout MakeLayout(std::span<const LayerCodecs> codecs, std::span<const LayerShape> shapes,
                       std::shared_ptr<const KeyMeans> means = nullptr);
BlockLayout MakeLayout(const CodecFlags& flags, std::span<const LayerShape> shapes);

}  // namespace throng::kv
