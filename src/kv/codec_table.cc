#include "kv/codec_table.h"

#include <algorithm>

#include "base/error.h"
#include "kv/codec_parameters.h"
#include "kv/f16/f16.h"
#include "kv/f32/f32.h"
#include "kv/int8/int8.h"

namespace throng::kv {
namespace {

// To add a codec: its folder, and one line here.
constexpr CodecEntry kCodecs[] = {
    {"f32", "", "rows as 32-bit floats: the reference",
     [](CodecParameters&, int d) -> std::shared_ptr<const Codec> { return MakeF32(d); }},
    {"f16", "", "rows as 16-bit floats: the usual cache",
     [](CodecParameters&, int d) -> std::shared_ptr<const Codec> { return MakeF16(d); }},
    {"int8", "", "8-bit integers with one scale per token; integer dot products",
     [](CodecParameters&, int d) { return MakeInt8(d); }},
};

size_t RoundUp64(size_t bytes) { return (bytes + 63) / 64 * 64; }

void CheckHeadDim(int head_dim) {
  if (head_dim < 8 || head_dim > kMaxHeadDim || head_dim % 8 != 0) {
    throw MakeError(ErrorCode::kUnsupported, "KV cache: head size {} must be a multiple of 8, from 8 to {}",
                    head_dim, kMaxHeadDim);
  }
}

// The codec of the open pages; the codec itself if it stores rows in that form anyway.
std::shared_ptr<const OpenCodec> OpenCodecFor(const std::shared_ptr<const Codec>& codec, int head_dim) {
  auto open = std::dynamic_pointer_cast<const OpenCodec>(codec);
  return open != nullptr ? open : MakeOpenCodec(codec->Open(), head_dim);
}

size_t Place(size_t& end, size_t bytes) {
  const size_t offset = end;
  end += RoundUp64(bytes);
  return offset;
}

}  // namespace

std::shared_ptr<const OpenCodec> MakeOpenCodec(OpenType type, int head_dim) {
  return type == OpenType::kF32 ? MakeF32(head_dim) : MakeF16(head_dim);
}

std::span<const CodecEntry> CodecTable() { return kCodecs; }

std::string CodecNames() {
  std::string names;
  for (const CodecEntry& entry : kCodecs) names += (names.empty() ? "" : ", ") + std::string(entry.name);
  return names;
}

std::shared_ptr<const Codec> ParseCodec(std::string_view spec, int head_dim) {
  CheckHeadDim(head_dim);
  const size_t colon = spec.find(':');
  const std::string_view name = spec.substr(0, colon);
  const auto entry = std::find_if(std::begin(kCodecs), std::end(kCodecs),
                                  [name](const CodecEntry& candidate) { return name == candidate.name; });
  if (entry == std::end(kCodecs)) {
    throw MakeError(ErrorCode::kInvalid, "unknown KV codec \"{}\" (allowed: {})", name, CodecNames());
  }
  CodecParameters parameters(name,
                             colon == std::string_view::npos ? std::string_view() : spec.substr(colon + 1));
  std::shared_ptr<const Codec> codec = entry->make(parameters, head_dim);
  parameters.CheckAllUsed();
  return codec;
}

BlockLayout MakeLayout(std::shared_ptr<const Codec> keys, std::shared_ptr<const Codec> values, int num_layers,
                       int num_kv_heads, int head_dim) {
  CheckHeadDim(head_dim);
  if (num_layers < 1 || num_layers > 1024 || num_kv_heads < 1 || num_kv_heads > 1024) {
    throw MakeError(ErrorCode::kUnsupported,
                    "KV cache: {} layers of {} heads (1 to 1024 of each are allowed)", num_layers,
                    num_kv_heads);
  }
  BlockLayout layout;
  layout.num_layers = num_layers;
  layout.num_kv_heads = num_kv_heads;
  layout.head_dim = head_dim;
  const auto open_keys = OpenCodecFor(keys, head_dim);
  const auto open_values = OpenCodecFor(values, head_dim);
  for (int i = 0; i < num_layers * num_kv_heads; ++i) {
    PageSpec spec;
    spec.keys = keys.get();
    spec.values = values.get();
    spec.open_keys = open_keys.get();
    spec.open_values = open_values.get();
    spec.keys_offset = Place(layout.bytes, keys->Bytes(Part::kKeys));
    spec.values_offset = Place(layout.bytes, values->Bytes(Part::kValues));
    spec.open_keys_offset = Place(layout.open_bytes, open_keys->Bytes(Part::kKeys));
    spec.open_values_offset = Place(layout.open_bytes, open_values->Bytes(Part::kValues));
    layout.pages.push_back(spec);
  }
  layout.codecs = {keys, values, open_keys, open_values};
  return layout;
}

BlockLayout MakeLayout(const CodecFlags& flags, int num_layers, int num_kv_heads, int head_dim) {
  return MakeLayout(ParseCodec(flags.Keys(), head_dim), ParseCodec(flags.Values(), head_dim), num_layers,
                    num_kv_heads, head_dim);
}

}  // namespace throng::kv
