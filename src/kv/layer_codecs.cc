#include "kv/layer_codecs.h"

#include <map>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/text/key_values.h"
#include "kv/codec_table.h"
#include "kv/flashq/flashq.h"

namespace throng::kv {

bool LacksHeadBits(std::string_view spec) {
  return IsFlashqMixed(spec) && spec.find("bits=") == std::string_view::npos;
}

std::string WithHeadBits(std::string_view spec, std::string_view bits) {
  const char* separator = spec == kFlashqMixed ? ":" : ",";
  return std::string(spec) + separator + "bits=" + std::string(bits);
}

std::vector<std::shared_ptr<const Codec>> ParseHeadCodecs(std::string_view spec, int num_kv_heads,
                                                          int head_dim) {
  CheckBlockShape(1, num_kv_heads);
  const auto num_heads = static_cast<size_t>(num_kv_heads);
  if (!IsFlashqMixed(spec)) {
    return std::vector<std::shared_ptr<const Codec>>(num_heads, ParseCodec(spec, head_dim));
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
  CheckHeadDim(head_dim);
  const auto two = MakeFlashq(2, buffer, head_dim);
  const auto four = MakeFlashq(4, buffer, head_dim);
  std::vector<std::shared_ptr<const Codec>> codecs;
  for (size_t head = 0; head < num_heads; ++head)
    codecs.push_back(bits[head % bits.size()] == '2' ? two : four);
  return codecs;
}

BlockLayout MakeLayout(std::span<const LayerCodecs> layers, int num_kv_heads, int head_dim) {
  CheckBlockShape(static_cast<int>(layers.size()), num_kv_heads);
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
  CheckBlockShape(num_layers, num_kv_heads);
  const std::vector<LayerCodecs> layers(static_cast<size_t>(num_layers), {flags.Keys(), flags.Values()});
  return MakeLayout(layers, num_kv_heads, head_dim);
}

}  // namespace throng::kv
