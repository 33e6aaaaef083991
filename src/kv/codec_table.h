// The table of codecs, the parser of codec specifications, and the layout of blocks that follows from them.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "kv/codec.h"
#include "kv/sequence_cache.h"

namespace throng::kv {

class CodecParameters;

struct CodecEntry {
  const char* name;        // "int8"
  const char* parameters;  // "r=RANK,s=PERCENT%", or "" if the codec takes none
  const char* summary;     // one sentence for --help
  std::shared_ptr<const Codec> (*make)(CodecParameters& parameters, int head_dim);
};

std::span<const CodecEntry> CodecTable();

// "f16, f32, int8": for messages and help texts.
std::string CodecNames();

// spec: a name of the table, or name:key=value,key=value. Throws kInvalid with the names, or keys, that are
// allowed.
std::shared_ptr<const Codec> ParseCodec(std::string_view spec, int head_dim);

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
BlockLayout MakeLayout(const CodecFlags& flags, int num_layers, int num_kv_heads, int head_dim);

}  // namespace throng::kv
