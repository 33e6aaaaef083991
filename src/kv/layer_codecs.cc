#include "kv/layer_codecs.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <string_view>
#include <tuple>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/text/key_values.h"
#include "kv/codec_table.h"
#include "kv/flashq/flashq.h"

namespace throng::kv {

namespace {

// A specification without one of its parameters, and that parameter's value.
struct Without {
  std::string codec;
  std::optional<std::string> value;
};

Without TakeOutOfOne(std::string_view spec, std::string_view key) {
  const auto [name, values] = SplitName(spec);
  Without result{std::string(name), std::nullopt};
  char separator = ':';
  for (size_t begin = 0; begin < values.size();) {
    const size_t end = std::min(values.find(',', begin), values.size());
    const std::string_view item = values.substr(begin, end - begin);
    begin = end + 1;
    if (!item.starts_with(key) || !item.substr(key.size()).starts_with('=')) {
      result.codec.append(1, separator).append(item);
      separator = ',';
      continue;
    }
    if (result.value) {
      throw MakeError(ErrorCode::kInvalid, "codec {}: parameter {} is given twice", name, key);
    }
    result.value = item.substr(key.size() + 1);
  }
  return result.value ? result : Without{std::string(spec), std::nullopt};
}

// One specification for each head, to be repeated.
std::vector<std::string_view> SplitHeads(std::string_view spec) {
  std::vector<std::string_view> heads;
  for (size_t begin = 0; begin <= spec.size();) {
    const size_t end = std::min(spec.find(kHeadSeparator, begin), spec.size());
    heads.push_back(spec.substr(begin, end - begin));
    begin = end + 1;
  }
  return heads;
}

Without TakeOut(std::string_view spec, std::string_view key) {
  const std::vector<std::string_view> heads = SplitHeads(spec);
  Without result = TakeOutOfOne(heads.front(), key);
  for (size_t head = 1; head < heads.size(); ++head) {
    const Without next = TakeOutOfOne(heads[head], key);
    if (next.value != result.value) {
      throw MakeError(ErrorCode::kInvalid, "KV codecs {}: {}= must be the same for all heads", spec, key);
    }
    result.codec.append(1, kHeadSeparator).append(next.codec);
  }
  return result;
}

// Adds a parameter, "bias=off", to each head's specification.
std::string WithParameter(std::string_view spec, std::string_view parameter) {
  std::string result;
  for (const std::string_view head : SplitHeads(spec)) {
    if (!result.empty()) result += kHeadSeparator;
    result.append(head).append(head.find(':') == std::string_view::npos ? ":" : ",").append(parameter);
  }
  return result;
}

int ParseBlocks(std::string_view spec, std::string_view key, const std::string& value) {
  constexpr int kMost = 1 << 20;
  int tokens = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), tokens);
  if (error != std::errc() || end != value.data() + value.size() || tokens < kPageTokens || tokens > kMost ||
      tokens % kPageTokens != 0) {
    throw MakeError(ErrorCode::kInvalid,
                    "codec {}: {}={} must be a number of tokens that is a multiple of {}, from {} to {}",
                    SplitName(spec).name, key, value, kPageTokens, kPageTokens, kMost);
  }
  return tokens / kPageTokens;
}

KeyBias ParseKeyBias(std::string_view codec, std::string_view value) {
  if (value == "model") return KeyBias::kModel;
  if (value == "mean") return KeyBias::kMean;
  if (value == "off") return KeyBias::kNone;
  throw MakeError(ErrorCode::kInvalid, "codec {}: bias={} must be model, mean or off", codec, value);
}

// All layers' keys lack the same.
KeyBias KeyBiasOf(std::span<const LayerCodecs> layers) {
  const KeyBias bias = SplitKeyBias(layers.front().k).bias;
  for (const LayerCodecs& layer : layers) {
    if (SplitKeyBias(layer.k).bias != bias) {
      throw MakeError(ErrorCode::kInvalid, "KV codecs {} and {}: bias= must be the same in all layers",
                      layers.front().k, layer.k);
    }
    if (SplitKeyBias(layer.v).codec != layer.v) {
      throw MakeError(ErrorCode::kInvalid, "codec {} of values: bias= is for keys", layer.v);
    }
  }
  return bias;
}

// Keys and values of all layers see the same pages in the fine form.
FineWindow WindowOf(std::span<const LayerCodecs> layers) {
  const FineWindow window = SplitWindow(layers.front().k).window;
  for (const LayerCodecs& layer : layers) {
    for (const std::string* spec : {&layer.k, &layer.v}) {
      if (spec->empty() || SplitWindow(*spec).window == window) continue;
      throw MakeError(
          ErrorCode::kInvalid,
          "KV codecs {} and {}: sink= and recent= must be the same for keys and values of all layers",
          layers.front().k, *spec);
    }
  }
  return window;
}

}  // namespace

KeySpec SplitKeyBias(std::string_view spec) {
  const Without without = TakeOut(spec, "bias");
  if (!without.value) return {without.codec, KeyBias::kModel};
  return {without.codec, ParseKeyBias(SplitName(spec).name, *without.value)};
}

WindowSpec SplitWindow(std::string_view spec) {
  const Without sink = TakeOut(spec, "sink");
  const Without recent = TakeOut(sink.codec, "recent");
  WindowSpec result{recent.codec, {}};
  if (sink.value) result.window.sink_blocks = ParseBlocks(spec, "sink", *sink.value);
  if (recent.value) result.window.recent_blocks = ParseBlocks(spec, "recent", *recent.value);
  return result;
}

std::string WithKeyBias(std::string_view codec, KeyBias bias) {
  if (bias == KeyBias::kModel) return std::string(codec);
  return WithParameter(codec, bias == KeyBias::kMean ? "bias=mean" : "bias=off");
}

std::string WithWindow(std::string_view codec, const FineWindow& window) {
  std::string spec(codec);
  for (const auto& [what, blocks] :
       {std::pair("sink", window.sink_blocks), std::pair("recent", window.recent_blocks)}) {
    if (blocks > 0) spec = WithParameter(spec, fmt::format("{}={}", what, blocks * kPageTokens));
  }
  return spec;
}

bool LacksHeadBits(std::string_view spec) {
  return IsFlashqMixed(spec) && spec.find("bits=") == std::string_view::npos;
}

std::string WithHeadBits(std::string_view spec, std::string_view bits) {
  const char* separator = spec == kFlashqMixed ? ":" : ",";
  return std::string(spec) + separator + "bits=" + std::string(bits);
}

std::vector<std::shared_ptr<const Codec>> ParseHeadCodecs(std::string_view full_spec, int num_kv_heads,
                                                          int head_dim) {
  const std::string spec = SplitWindow(SplitKeyBias(full_spec).codec).codec;
  const LayerShape shape{num_kv_heads, head_dim, head_dim};
  CheckShapes({&shape, 1});
  const auto num_heads = static_cast<size_t>(num_kv_heads);
  const std::vector<std::string_view> of_heads = SplitHeads(spec);
  std::vector<std::shared_ptr<const Codec>> codecs;
  if (of_heads.size() > 1) {
    std::map<std::string_view, std::shared_ptr<const Codec>> known;
    if (std::ranges::any_of(of_heads, IsFlashqMixed)) {
      throw MakeError(ErrorCode::kInvalid,
                      "codec {}: among the codecs of single heads, name flashq2 or flashq4", kFlashqMixed);
    }
    for (size_t head = 0; head < num_heads; ++head) {
      std::shared_ptr<const Codec>& codec = known[of_heads[head % of_heads.size()]];
      if (codec == nullptr) codec = ParseCodec(of_heads[head % of_heads.size()], head_dim);
      codecs.push_back(codec);
    }
    return codecs;
  }
  if (!IsFlashqMixed(spec)) {
    codecs.assign(num_heads, ParseCodec(spec, head_dim));
    return codecs;
  }
  KeyValues parameters(fmt::format("codec {}", kFlashqMixed), SplitName(spec).values);
  const std::string bits = parameters.Digits("bits", "24");
  const OpenType buffer = FlashqBuffer(parameters);
  parameters.CheckAllUsed();
  if (bits.empty()) {
    throw MakeError(
        ErrorCode::kInvalid,
        "codec {}: without a model, whose heads can be ranked, the bits of each head must be given, "
        "as in {}:bits=24",
        kFlashqMixed, kFlashqMixed);
  }
  const auto two = MakeFlashq(2, buffer, head_dim);
  const auto four = MakeFlashq(4, buffer, head_dim);
  for (size_t head = 0; head < num_heads; ++head)
    codecs.push_back(bits[head % bits.size()] == '2' ? two : four);
  return codecs;
}

std::vector<LayerCodecs> LayersOf(const CodecFlags& flags, std::span<const LayerShape> shapes) {
  std::vector<LayerCodecs> layers;
  for (const LayerShape& shape : shapes) {
    layers.push_back({flags.Keys(), shape.values_in_keys ? "" : flags.Values()});
  }
  const auto in_keys = [](const LayerShape& shape) { return shape.values_in_keys; };
  if (!flags.v.empty() && std::ranges::all_of(shapes, in_keys)) {
    throw MakeError(ErrorCode::kInvalid,
                    "KV codec {} of values: this model's values are in its keys, so only keys have a codec",
                    flags.v);
  }
  return layers;
}

void CheckKeyMeans(std::span<const LayerShape> shapes) {
  if (!std::ranges::any_of(shapes, [](const LayerShape& shape) { return shape.values_in_keys; })) return;
  throw MakeError(ErrorCode::kInvalid,
                  "KV cache: bias=mean is for keys alone, but this model's keys are its values too");
}

BlockLayout MakeLayout(std::span<const LayerCodecs> codecs, std::span<const LayerShape> shapes,
                       std::shared_ptr<const KeyMeans> means) {
  CheckShapes(shapes);
  THRONG_CHECK(codecs.size() == shapes.size());
  using Heads = std::vector<std::shared_ptr<const Codec>>;
  std::map<std::tuple<std::string_view, int, int>, Heads> known;  // each specification and shape once
  const auto find = [&](const std::string& spec, int num_kv_heads, int head_dim) -> const Heads& {
    const auto [it, is_new] = known.try_emplace({spec, num_kv_heads, head_dim});
    if (is_new) it->second = ParseHeadCodecs(spec, num_kv_heads, head_dim);
    return it->second;
  };
  const auto choose = [&](int layer, int head) {
    const LayerCodecs& of = codecs[static_cast<size_t>(layer)];
    const LayerShape& shape = shapes[static_cast<size_t>(layer)];
    const auto at = static_cast<size_t>(head);
    CodecPair pair{find(of.k, shape.num_kv_heads, shape.key_dim)[at], nullptr};
    if (!shape.values_in_keys) pair.values = find(of.v, shape.num_kv_heads, shape.value_dim)[at];
    return pair;
  };
  BlockLayout layout = MakeLayout(choose, shapes);
  if (const FineWindow window = WindowOf(codecs); window != FineWindow{}) AddFinePages(layout, window);
  layout.key_bias = KeyBiasOf(codecs);
  if (layout.key_bias != KeyBias::kMean) return layout;
  CheckKeyMeans(shapes);
  if (means == nullptr) {
    throw MakeError(ErrorCode::kInvalid,
                    "codec {}: bias=mean needs the means of a model's keys, which are not known here",
                    codecs.front().k);
  }
  layout.key_means = std::move(means);
  return layout;
}

BlockLayout MakeLayout(const CodecFlags& flags, std::span<const LayerShape> shapes) {
  return MakeLayout(LayersOf(flags, shapes), shapes);
}

}  // namespace throng::kv
