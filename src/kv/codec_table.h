// The table of codecs, the parser of codec specifications, and the layout of blocks that follows from them.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kv/cache/sequence_cache.h"
#include "kv/codec.h"

namespace throng {
class KeyValues;
}

namespace throng::kv {

struct CodecEntry {
  const char* name;        // "int8"
  const char* parameters;  // "r=RANK,s=PERCENT%", or "" if the codec takes none
  const char* summary;     // one sentence for --help
  std::shared_ptr<const Codec> (*make)(KeyValues& parameters, int head_dim);
};

std::span<const CodecEntry> CodecTable();

// "f16, f32, int8": for messages and help texts.
std::string CodecNames();

// spec: a name of the table, or name:key=value,key=value. Throws kInvalid with the names, or keys, that are
// allowed.
std::shared_ptr<const Codec> ParseCodec(std::string_view spec, int head_dim);

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

// What the flags --kv, --k and --v say: --kv is for both, --k and --v override it.
struct CodecFlags {
  std::string kv = "f16";
  std::string k = "";  // empty: as kv
  std::string v = "";
  const std::string& Keys() const { return k.empty() ? kv : k; }
  const std::string& Values() const { return v.empty() ? kv : v; }
};

struct CodecPair {
  std::shared_ptr<const Codec> keys;
  std::shared_ptr<const Codec> values;
};

// choose(layer, head) is called once for each page of a block. Throws kUnsupported if a number is out of
// range.
BlockLayout MakeLayout(const std::function<CodecPair(int layer, int head)>& choose, int num_layers,
                       int num_kv_heads, int head_dim);
// The same pair of codecs in all layers and heads.
BlockLayout MakeLayout(std::shared_ptr<const Codec> keys, std::shared_ptr<const Codec> values, int num_layers,
                       int num_kv_heads, int head_dim);
// Specifications of one layer, as ParseHeadCodecs wants them.
struct LayerCodecs {
  std::string k;
  std::string v;
  bool operator==(const LayerCodecs&) const = default;
};
BlockLayout MakeLayout(std::span<const LayerCodecs> layers, int num_kv_heads, int head_dim);
BlockLayout MakeLayout(const CodecFlags& flags, int num_layers, int num_kv_heads, int head_dim);

// The codecs of all pages in a word: "int8", "gear2+rot4" for keys and values, "mixed-" and a digest if
// layers or heads differ.
std::string LayoutName(const BlockLayout& layout);

}  // namespace throng::kv
