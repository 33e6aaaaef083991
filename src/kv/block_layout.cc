#include "kv/block_layout.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/digest.h"
#include "base/error.h"
#include "kv/int8/int8.h"
#include "kv/open_codec.h"

namespace throng::kv {
namespace {

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

void CheckBlockShape(int num_layers, int num_kv_heads) {
  if (num_layers < 1 || num_layers > 1024 || num_kv_heads < 1 || num_kv_heads > 1024) {
    throw MakeError(ErrorCode::kUnsupported,
                    "KV cache: {} layers of {} heads (1 to 1024 of each are allowed)", num_layers,
                    num_kv_heads);
  }
}

BlockLayout MakeLayout(const std::function<CodecPair(int layer, int head)>& choose, int num_layers,
                       int num_kv_heads, int head_dim) {
  CheckHeadDim(head_dim);
  CheckBlockShape(num_layers, num_kv_heads);
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

namespace {

void CheckFinePages(const BlockLayout& layout, const Codec& fine, const FineWindow& window) {
  for (const PageSpec& page : layout.pages) {
    for (const auto& [codec, part] : {std::pair(page.keys, Part::kKeys), {page.values, Part::kValues}}) {
      if (codec->Bytes(part) >= fine.Bytes(part)) {
        throw MakeError(ErrorCode::kInvalid,
                        "codec {}: sink= and recent= keep some pages in {}, whose pages are no larger",
                        codec->Name(), fine.Name());
      }
      if (window.sink_blocks > 0 && codec->Open() == OpenType::kInt8) {
        throw MakeError(ErrorCode::kInvalid,
                        "codec {}: buffer=int8 takes its scale from the page before, which sinks do not have "
                        "(recent= without sink= is allowed)",
                        codec->Name());
      }
    }
  }
}

}  // namespace

void AddFinePages(BlockLayout& layout, const FineWindow& window) {
  const auto fine = MakeInt8(layout.head_dim);
  CheckFinePages(layout, *fine, window);
  layout.window = window;
  layout.codecs.push_back(fine);
  for (PageSpec& page : layout.pages) {
    page.fine = fine.get();
    page.fine_keys_offset = Place(layout.fine_bytes, fine->Bytes(Part::kKeys));
    page.fine_values_offset = Place(layout.fine_bytes, fine->Bytes(Part::kValues));
  }
}

BlockLayout WithStates(BlockLayout layout, std::span<const size_t> floats) {
  constexpr size_t kMostLayers = 1024;
  constexpr size_t kMostFloats = size_t{1} << 28;
  if (floats.size() > kMostLayers) {
    throw MakeError(ErrorCode::kUnsupported, "KV cache: {} recurrent layers (at most {} are allowed)",
                    floats.size(), kMostLayers);
  }
  for (const size_t count : floats) {
    if (count < 1 || count > kMostFloats) {
      throw MakeError(ErrorCode::kUnsupported,
                      "KV cache: a recurrent layer's state of {} numbers (1 to {} are allowed)", count,
                      kMostFloats);
    }
    layout.states.push_back({count, Place(layout.state_bytes, count * sizeof(float))});
  }
  return layout;
}

namespace {

std::string NameOfCodecs(const BlockLayout& layout) {
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

Digest DigestOfMeans(const KeyMeans& means) {
  Hasher hasher;
  for (const std::vector<float>& layer : means) hasher.Bytes(layer.data(), layer.size() * sizeof(float));
  return hasher.Finish();
}

}  // namespace

std::string LayoutName(const BlockLayout& layout) {
  std::string name = NameOfCodecs(layout);
  for (const auto& [what, blocks] :
       {std::pair("sink", layout.window.sink_blocks), std::pair("recent", layout.window.recent_blocks)}) {
    if (blocks > 0) name += fmt::format(", {}={}", what, blocks * kPageTokens);
  }
  if (layout.key_bias == KeyBias::kModel) return name;
  if (layout.key_bias == KeyBias::kNone) return name + ", keys with bias";
  return name + ", keys without mean " + DigestOfMeans(*layout.key_means).Hex();
}

}  // namespace throng::kv
