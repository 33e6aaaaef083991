// The table of codecs, and the parser of a codec's specification.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

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

// spec: a name of the table, or name:key=value,key=value. Throws kInvalid with the allowed names or keys.
std::shared_ptr<const Codec> ParseCodec(std::string_view spec, int head_dim);

}  // namespace throng::kv
