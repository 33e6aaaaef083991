#include "kv/codec_table.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/digest.h"
#include "base/error.h"
#include "base/key_values.h"
#include "kv/flashq/flashq.h"
#include "kv/float/float.h"
#include "kv/gear/gear.h"
#include "kv/int8/int8.h"
#include "kv/rot/rot.h"

namespace throng::kv {
namespace {

// Of FlashQ: the form of the rows that are not sealed yet.
OpenType Buffer(KeyValues& parameters) {
  return parameters.Choice("buffer", {"f16", "int8"}) == 1 ? OpenType::kInt8 : OpenType::kF16;
}

// To add a codec: its folder, and one line here.
constexpr CodecEntry kCodecs[] = {
    {"f32", "", "rows as 32-bit floats: the reference",
     [](KeyValues&, int d) -> std::shared_ptr<const Codec> { return MakeF32(d); }},
    {"f16", "", "rows as 16-bit floats: the usual cache",
     [](KeyValues&, int d) -> std::shared_ptr<const Codec> { return MakeF16(d); }},
    {"int8", "", "8-bit integers with one scale per token; integer dot products",
     [](KeyValues&, int d) { return MakeInt8(d); }},
    {"kivi4", "g=TOKENS,kcvt=1", "4-bit codes: keys per channel, values per token; integer dot products",
     [](KeyValues& p, int d) { return MakeGear({.name = "kivi4", .bits = 4}, p, d); }},
    {"kivi3", "g=TOKENS,kcvt=1", "3-bit codes: keys per channel, values per token",
     [](KeyValues& p, int d) { return MakeGear({.name = "kivi3", .bits = 3}, p, d); }},
    {"kivi2", "g=TOKENS,kcvt=1", "2-bit codes: keys per channel, values per token",
     [](KeyValues& p, int d) { return MakeGear({.name = "kivi2", .bits = 2}, p, d); }},
    {"kcvt4", "g=TOKENS", "kivi4 with one scale for all channels of a token's values",
     [](KeyValues& p, int d) { return MakeGear({.name = "kcvt4", .bits = 4, .kcvt = true}, p, d); }},
    {"gearl4", "r=RANK,g=TOKENS,kcvt=1", "kivi4 and a low-rank fit of its errors",
     [](KeyValues& p, int d) { return MakeGear({.name = "gearl4", .bits = 4, .rank = 4}, p, d); }},
    {"gearl2", "r=RANK,g=TOKENS,kcvt=1", "kivi2 and a low-rank fit of its errors",
     [](KeyValues& p, int d) { return MakeGear({.name = "gearl2", .bits = 2, .rank = 4}, p, d); }},
    {"gear4", "r=RANK,s=PERCENT%,g=TOKENS,kcvt=1", "kivi4, exact outliers, and a low-rank fit of the errors",
     [](KeyValues& p, int d) {
       return MakeGear({.name = "gear4", .bits = 4, .rank = 4, .sparsity = 0.02}, p, d);
     }},
    {"gear2", "r=RANK,s=PERCENT%,g=TOKENS,kcvt=1", "kivi2, exact outliers, and a low-rank fit of the errors",
     [](KeyValues& p, int d) {
       // r=4,s=2% takes 1.6 times kivi2's bytes at 64 tokens a page: docs/kv-study.md.
       return MakeGear({.name = "gear2", .bits = 2, .rank = 2, .sparsity = 0.01}, p, d);
     }},
    {"flashq4", "buffer=f16|int8",
     "4-bit integers per channel of an INT8 block; integer dot products on the codes",
     [](KeyValues& p, int d) { return MakeFlashq(4, Buffer(p), d); }},
    {"flashq2", "buffer=f16|int8", "2-bit integers per channel of an INT8 block",
     [](KeyValues& p, int d) { return MakeFlashq(2, Buffer(p), d); }},
    {"rot4", "", "4-bit codes of randomly rotated rows, scale and midpoint per token",
     [](KeyValues&, int d) { return MakeRot(4, d); }},
    {"rot3", "", "3-bit codes of randomly rotated rows", [](KeyValues&, int d) { return MakeRot(3, d); }},
    {"rot2", "", "2-bit codes of randomly rotated rows", [](KeyValues&, int d) { return MakeRot(2, d); }},
};

size_t RoundUp64(size_t bytes) { return (bytes + 63) / 64 * 64; }

void CheckHeadDim(int head_dim) {
  if (head_dim < 8 || head_dim > kMaxHeadDim || head_dim % 8 != 0) {
    throw MakeError(ErrorCode::kUnsupported, "KV cache: head size {} must be a multiple of 8, from 8 to {}",
                    head_dim, kMaxHeadDim);
  }
}

void CheckShape(size_t num_layers, int num_kv_heads) {
  if (num_layers < 1 || num_layers > 1024 || num_kv_heads < 1 || num_kv_heads > 1024) {
    throw MakeError(ErrorCode::kUnsupported,
                    "KV cache: {} layers of {} heads (1 to 1024 of each are allowed)", num_layers,
                    num_kv_heads);
  }
}

// Owns the codecs of a layout, each once.
class Owner {
 public:
  explicit Owner(BlockLayout& layout) : layout_(layout) {}

  const Codec* Keep(const std::shared_ptr<const Codec>& codec) {
    if (std::find(layout_.codecs.begin(), layout_.codecs.end(), codec) == layout_.codecs.end()) {
      layout_.codecs.push_back(codec);
    }
    return codec.get();
  }

  // The codec of the open pages: the codec itself if it stores rows in that form anyway.
  const OpenCodec* OpenFor(const Codec* codec) {
    if (const auto* open = dynamic_cast<const OpenCodec*>(codec)) return open;
    std::shared_ptr<const OpenCodec>& open = open_[codec->Open()];
    if (open == nullptr) open = MakeOpenCodec(codec->Open(), layout_.head_dim);
    Keep(open);
    return open.get();
  }

 private:
  BlockLayout& layout_;
  std::map<OpenType, std::shared_ptr<const OpenCodec>> open_;
};

size_t Place(size_t& end, size_t bytes) {
  const size_t offset = end;
  end += RoundUp64(bytes);
  return offset;
}

}  // namespace

std::span<const CodecEntry> CodecTable() { return kCodecs; }

std::string CodecNames() {
  std::string names;
  for (const CodecEntry& entry : kCodecs) names += (names.empty() ? "" : ", ") + std::string(entry.name);
  return names;
}

std::shared_ptr<const Codec> ParseCodec(std::string_view spec, int head_dim) {
  CheckHeadDim(head_dim);
  const NamedValues named = SplitName(spec);
  const auto entry = std::find_if(std::begin(kCodecs), std::end(kCodecs),
                                  [&](const CodecEntry& candidate) { return named.name == candidate.name; });
  if (entry == std::end(kCodecs)) {
    throw MakeError(ErrorCode::kInvalid, "unknown KV codec \"{}\" (allowed: {})", named.name, CodecNames());
  }
  KeyValues parameters(fmt::format("codec {}", named.name), named.values);
  std::shared_ptr<const Codec> codec = entry->make(parameters, head_dim);
  parameters.CheckAllUsed();
  return codec;
}

bool LacksHeadBits(std::string_view spec) {
  return IsFlashqMixed(spec) && spec.find("bits=") == std::string_view::npos;
}

std::string WithHeadBits(std::string_view spec, std::string_view bits) {
  const char* separator = spec == kFlashqMixed ? ":" : ",";
  return std::string(spec) + separator + "bits=" + std::string(bits);
}

std::vector<std::shared_ptr<const Codec>> ParseHeadCodecs(std::string_view spec, int num_kv_heads,
                                                          int head_dim) {
  CheckShape(1, num_kv_heads);
  const auto num_heads = static_cast<size_t>(num_kv_heads);
  if (!IsFlashqMixed(spec)) {
    return std::vector<std::shared_ptr<const Codec>>(num_heads, ParseCodec(spec, head_dim));
  }
  KeyValues parameters(fmt::format("codec {}", kFlashqMixed), SplitName(spec).values);
  const std::string bits = parameters.Digits("bits", "24");
  const OpenType buffer = Buffer(parameters);
  parameters.CheckAllUsed();
  if (bits.empty()) {
    throw MakeError(
        ErrorCode::kInvalid,
        "codec {}: without a model, whose heads can be ranked, the bits of each head must be given, "
        "as in {}:bits=24",
        kFlashqMixed, kFlashqMixed);
  }
  CheckHeadDim(head_dim);
  const auto two = MakeFlashq(2, buffer, head_dim);
  const auto four = MakeFlashq(4, buffer, head_dim);
  std::vector<std::shared_ptr<const Codec>> codecs;
  for (size_t head = 0; head < num_heads; ++head)
    codecs.push_back(bits[head % bits.size()] == '2' ? two : four);
  return codecs;
}

BlockLayout MakeLayout(const std::function<CodecPair(int layer, int head)>& choose, int num_layers,
                       int num_kv_heads, int head_dim) {
  CheckHeadDim(head_dim);
  CheckShape(static_cast<size_t>(std::max(num_layers, 0)), num_kv_heads);
  BlockLayout layout;
  layout.num_layers = num_layers;
  layout.num_kv_heads = num_kv_heads;
  layout.head_dim = head_dim;
  Owner owner(layout);
  for (int i = 0; i < num_layers * num_kv_heads; ++i) {
    const CodecPair pair = choose(i / num_kv_heads, i % num_kv_heads);
    PageSpec spec;
    spec.keys = owner.Keep(pair.keys);
    spec.values = owner.Keep(pair.values);
    spec.open_keys = owner.OpenFor(spec.keys);
    spec.open_values = owner.OpenFor(spec.values);
    spec.keys_offset = Place(layout.bytes, spec.keys->Bytes(Part::kKeys));
    spec.values_offset = Place(layout.bytes, spec.values->Bytes(Part::kValues));
    spec.open_keys_offset = Place(layout.open_bytes, spec.open_keys->Bytes(Part::kKeys));
    spec.open_values_offset = Place(layout.open_bytes, spec.open_values->Bytes(Part::kValues));
    layout.pages.push_back(spec);
  }
  return layout;
}

BlockLayout MakeLayout(std::shared_ptr<const Codec> keys, std::shared_ptr<const Codec> values, int num_layers,
                       int num_kv_heads, int head_dim) {
  const CodecPair pair{std::move(keys), std::move(values)};
  return MakeLayout([&pair](int, int) { return pair; }, num_layers, num_kv_heads, head_dim);
}

BlockLayout MakeLayout(std::span<const LayerCodecs> layers, int num_kv_heads, int head_dim) {
  CheckShape(layers.size(), num_kv_heads);
  std::map<std::string_view, std::vector<std::shared_ptr<const Codec>>> heads;  // each specification once
  const auto find = [&](const std::string& spec) -> const std::vector<std::shared_ptr<const Codec>>& {
    const auto it = heads.find(spec);
    return it != heads.end()
               ? it->second
               : heads.emplace(spec, ParseHeadCodecs(spec, num_kv_heads, head_dim)).first->second;
  };
  const auto choose = [&](int layer, int head) {
    const LayerCodecs& codecs = layers[static_cast<size_t>(layer)];
    const auto at = static_cast<size_t>(head);
    return CodecPair{find(codecs.k)[at], find(codecs.v)[at]};
  };
  return MakeLayout(choose, static_cast<int>(layers.size()), num_kv_heads, head_dim);
}

BlockLayout MakeLayout(const CodecFlags& flags, int num_layers, int num_kv_heads, int head_dim) {
  CheckShape(static_cast<size_t>(std::max(num_layers, 0)), num_kv_heads);
  const std::vector<LayerCodecs> layers(static_cast<size_t>(num_layers), {flags.Keys(), flags.Values()});
  return MakeLayout(layers, num_kv_heads, head_dim);
}

std::string LayoutName(const BlockLayout& layout) {
  const PageSpec& first = layout.pages.front();
  const std::string keys = first.keys->Name(), values = first.values->Name();
  bool uniform = true;
  Hasher hasher;
  for (const PageSpec& page : layout.pages) {
    uniform = uniform && page.keys->Name() == keys && page.values->Name() == values;
    hasher.Add(page.keys->Name()).Add(page.values->Name());
  }
  if (!uniform) return "mixed-" + hasher.Finish().Hex();
  return keys == values ? keys : keys + "+" + values;
}

}  // namespace throng::kv
