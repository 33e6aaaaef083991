#include "kv/block_layout.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "base/check.h"
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
  const OpenCodec* OpenFor(const Codec* codec, int head_dim) {
    if (const auto* open = dynamic_cast<const OpenCodec*>(codec)) return open;
    std::shared_ptr<const OpenCodec>& open = open_[{codec->Open(), head_dim}];
    if (open == nullptr) open = MakeOpenCodec(codec->Open(), head_dim);
    Keep(open);
    return open.get();
  }

 private:
  BlockLayout& layout_;
  std::map<std::pair<OpenType, int>, std::shared_ptr<const OpenCodec>> open_;
};

size_t Place(size_t& end, size_t bytes) {
  const size_t offset = end;
  end += RoundUp64(bytes);
  return offset;
}

}  // namespace

std::vector<LayerShape> AlikeLayers(int num_layers, int num_kv_heads, int head_dim) {
  return {static_cast<size_t>(std::max(0, num_layers)), {num_kv_heads, head_dim, head_dim}};
}

namespace {

bool SameShape(LayerShape a, LayerShape b) {
  a.kept = b.kept = false;
  return a == b;
}

}  // namespace

bool AreAlike(std::span<const LayerShape> layers) {
  return std::ranges::all_of(layers, [&](const LayerShape& shape) {
    return SameShape(shape, layers.front()) && shape.key_dim == shape.value_dim && !shape.values_in_keys;
  });
}

std::string ShapeName(size_t num_layers, const LayerShape& shape) {
  const bool one = shape.num_kv_heads == 1;
  std::string name =
      fmt::format("{} layer{} of {} KV head{} of size {}", num_layers, num_layers == 1 ? "" : "s",
                  shape.num_kv_heads, one ? "" : "s", shape.key_dim);
  if (shape.values_in_keys) {
    name += fmt::format(" with values in {} first {} elements", one ? "its" : "their", shape.value_dim);
  } else if (shape.value_dim != shape.key_dim) {
    name += fmt::format(" with values of size {}", shape.value_dim);
  }
  return name;
}

std::string ShapeName(std::span<const LayerShape> layers) {
  std::string name;
  for (size_t first = 0, end = 0; first < layers.size(); first = end) {
    while (end < layers.size() && SameShape(layers[end], layers[first])) ++end;
    name += (first == 0 ? "" : ", ") + ShapeName(end - first, layers[first]);
  }
  return name;
}

std::span<const Part> PageSpec::Parts() const {
  static constexpr Part kBoth[] = {Part::kKeys, Part::kValues};
  return std::span(kBoth).first(values == nullptr ? 1 : 2);
}

void CheckShapes(std::span<const LayerShape> layers) {
  const auto check = [](int64_t count, const char* what) {
    if (count >= 1 && count <= 1024) return;
    throw MakeError(ErrorCode::kUnsupported, "KV cache: {} {} (1 to 1024 are allowed)", count, what);
  };
  check(static_cast<int64_t>(layers.size()), "layers");
  for (const LayerShape& shape : layers) {
    check(shape.num_kv_heads, "KV heads in a layer");
    CheckHeadDim(shape.key_dim);
    CheckHeadDim(shape.value_dim);
    if (shape.values_in_keys && shape.value_dim > shape.key_dim) {
      throw MakeError(ErrorCode::kUnsupported, "KV cache: values of {} elements cannot be in keys of {}",
                      shape.value_dim, shape.key_dim);
    }
  }
}

namespace {

void PlaceChunkPages(BlockLayout& layout) {
  const size_t num_layers = layout.layers.size();
  const auto begin = [&](size_t layer) {
    return layer == num_layers ? layout.open_bytes : layout.pages[layout.first_pages[layer]].open_keys_offset;
  };
  for (size_t layer = 0; layer < num_layers; ++layer) {
    if (layout.layers[layer].kept) continue;
    layout.chunk_bytes = std::max(layout.chunk_bytes, begin(layer + 1) - begin(layer));
  }
  for (size_t layer = 0; layer < num_layers; ++layer) {
    const bool kept = layout.layers[layer].kept;
    layout.chunk_offsets.push_back(kept ? layout.chunk_bytes : 0);
    if (kept) layout.chunk_bytes += begin(layer + 1) - begin(layer);
  }
}

}  // namespace

BlockLayout MakeLayout(const std::function<CodecPair(int layer, int head)>& choose,
                       std::span<const LayerShape> layers) {
  CheckShapes(layers);
  BlockLayout layout;
  layout.layers.assign(layers.begin(), layers.end());
  Owner owner(layout);
  for (int layer = 0; layer < layout.NumLayers(); ++layer) {
    const LayerShape& shape = layers[static_cast<size_t>(layer)];
    layout.first_pages.push_back(layout.pages.size());
    for (int head = 0; head < shape.num_kv_heads; ++head) {
      const CodecPair pair = choose(layer, head);
      PageSpec& spec = layout.pages.emplace_back();
      spec.keys = owner.Keep(pair.keys);
      spec.open_keys = owner.OpenFor(spec.keys, shape.key_dim);
      spec.keys_offset = Place(layout.bytes, spec.keys->Bytes(Part::kKeys));
      spec.open_keys_offset = Place(layout.open_bytes, spec.open_keys->Bytes(Part::kKeys));
      THRONG_CHECK((pair.values == nullptr) == shape.values_in_keys);
      if (shape.values_in_keys) continue;
      spec.values = owner.Keep(pair.values);
      spec.open_values = owner.OpenFor(spec.values, shape.value_dim);
      spec.values_offset = Place(layout.bytes, spec.values->Bytes(Part::kValues));
      spec.open_values_offset = Place(layout.open_bytes, spec.open_values->Bytes(Part::kValues));
    }
  }
  PlaceChunkPages(layout);
  return layout;
}

namespace {

void CheckSinks(const Codec& codec, const FineWindow& window) {
  if (window.sink_blocks == 0 || codec.Open() != OpenType::kInt8) return;
  throw MakeError(ErrorCode::kInvalid,
                  "codec {}: buffer=int8 takes its scale from the page before, which sinks do not have "
                  "(recent= without sink= is allowed)",
                  codec.Name());
}

}  // namespace

void AddFinePages(BlockLayout& layout, const FineWindow& window) {
  std::map<int, std::shared_ptr<const Codec>> of_size;
  const Codec* unchanged = nullptr;
  bool any_finer = false;
  const auto fine = [&](const Codec* codec, Part part, int head_dim) {
    CheckSinks(*codec, window);
    std::shared_ptr<const Codec>& found = of_size[head_dim];
    if (found == nullptr) found = layout.codecs.emplace_back(MakeInt8(head_dim));
    if (codec->Bytes(part) < found->Bytes(part)) {
      any_finer = true;
      return static_cast<const Codec*>(found.get());
    }
    unchanged = codec;
    return codec;
  };
  layout.window = window;
  for (size_t layer = 0; layer < layout.layers.size(); ++layer) {
    const LayerShape& shape = layout.layers[layer];
    for (int head = 0; head < shape.num_kv_heads; ++head) {
      PageSpec& page = layout.pages[layout.first_pages[layer] + static_cast<size_t>(head)];
      page.fine_keys = fine(page.keys, Part::kKeys, shape.key_dim);
      page.fine_keys_offset = Place(layout.fine_bytes, page.fine_keys->Bytes(Part::kKeys));
      if (page.values == nullptr) continue;
      page.fine_values = fine(page.values, Part::kValues, shape.value_dim);
      page.fine_values_offset = Place(layout.fine_bytes, page.fine_values->Bytes(Part::kValues));
    }
  }
  if (any_finer) return;
  throw MakeError(ErrorCode::kInvalid,
                  "codec {}: sink= and recent= keep some pages in int8, whose pages are no larger",
                  unchanged->Name());
}

int BlockLayout::FirstSliding(int next) const {
  int first = std::max(0, next - 1);
  for (const Reach& reach : reaches) {
    first = std::min(first, reach.First(next * kPageTokens) / kPageTokens);
  }
  return first;
}

BlockLayout WithReaches(BlockLayout layout, std::span<const Reach> reaches) {
  if (std::ranges::all_of(reaches, &Reach::SeesAll)) return layout;
  THRONG_CHECK(reaches.size() == layout.layers.size());
  layout.bytes = layout.sliding_bytes = 0;
  for (size_t layer = 0; layer < reaches.size(); ++layer) {
    const Reach& reach = reaches[layer];
    layout.slides.push_back(!reach.SeesAll());
    if (!reach.SeesAll() && std::ranges::find(layout.reaches, reach) == layout.reaches.end()) {
      layout.reaches.push_back(reach);
    }
    size_t& end = reach.SeesAll() ? layout.bytes : layout.sliding_bytes;
    for (int head = 0; head < layout.layers[layer].num_kv_heads; ++head) {
      PageSpec& page = layout.pages[layout.first_pages[layer] + static_cast<size_t>(head)];
      page.keys_offset = Place(end, page.keys->Bytes(Part::kKeys));
      if (page.values != nullptr) page.values_offset = Place(end, page.values->Bytes(Part::kValues));
    }
  }
  // A block is there as long as its base form is, even if all of its pages slide.
  if (layout.bytes == 0) layout.bytes = kNoPages;
  return layout;
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
  const std::string keys = layout.pages.front().keys->Name();
  std::optional<std::string> values;  // of the first page that has them
  bool uniform = true;
  Hasher hasher;
  for (const PageSpec& page : layout.pages) {
    uniform = uniform && page.keys->Name() == keys;
    hasher.Add(page.keys->Name());
    if (page.values == nullptr) continue;
    if (!values) values = page.values->Name();
    uniform = uniform && page.values->Name() == *values;
    hasher.Add(page.values->Name());
  }
  if (!uniform) return "mixed-" + hasher.Finish().Hex();
  return !values || keys == *values ? keys : keys + "+" + *values;
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
