// Which codecs the KV heads of each layer get: specifications of a layer, the flags that set them for all
// layers, and the layout of blocks that follows.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kv/block_layout.h"
#include "kv/codec.h"

namespace throng::kv {

// A specification for all heads of a layer, of which some get 2 bits and the others 4:
// flashq-mixed:bits=24 gives head i the i-th digit, and begins again after the last. Without bits it is for
// the engine, which ranks a model's heads. buffer=int8 is for all of them.
inline constexpr std::string_view kFlashqMixed = "flashq-mixed";
inline bool IsFlashqMixed(std::string_view spec) { return spec.substr(0, spec.find(':')) == kFlashqMixed; }
// Whether a specification is one of flashq-mixed without bits, and what it is with them.
bool LacksHeadBits(std::string_view spec);
std::string WithHeadBits(std::string_view spec, std::string_view bits);

// One codec for each head: the same one, but for flashq-mixed. Throws as ParseCodec does.
std::vector<std::shared_ptr<const Codec>> ParseHeadCodecs(std::string_view spec, int num_kv_heads,
                                                          int head_dim);

// Specifications of one layer, as ParseHeadCodecs takes them.
struct LayerCodecs {
  std::string k;
  std::string v;
  bool operator==(const LayerCodecs&) const = default;
};

// What the flags --kv, --k and --v say for every layer: --kv is for both, --k and --v override it.
struct CodecFlags {
  std::string kv = "f16";
  std::string k = "";  // empty: as kv
  std::string v = "";
  const std::string& Keys() const { return k.empty() ? kv : k; }
  const std::string& Values() const { return v.empty() ? kv : v; }
};

// Throw as ParseHeadCodecs, and kUnsupported if there are too many layers or heads.
BlockLayout MakeLayout(std::span<const LayerCodecs> layers, int num_kv_heads, int head_dim);
BlockLayout MakeLayout(const CodecFlags& flags, int num_layers, int num_kv_heads, int head_dim);

}  // namespace throng::kv
