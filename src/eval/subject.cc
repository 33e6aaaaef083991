#include "eval/subject.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/thread_pool.h"
#include "engine/codecs/codec_config.h"
#include "eval/compose.h"
#include "kv/codec_table.h"
#include "kv/layer_codecs.h"
#include "kv/open_codec.h"
#include "model/config.h"

namespace throng::eval {
namespace {

std::shared_ptr<const kv::Codec> Parse(const std::string& spec, int head_dim) {
  if (IsCompose(spec)) return ParseCompose(spec, head_dim);
  return kv::ParseCodec(spec, head_dim);
}

kv::BlockLayout MakeLayout(const std::string& spec, kv::SoftmaxKind softmax, const engine::LoadedModel& model,
                           ThreadPool& threads) {
  const model::ModelConfig& config = model.transformer->Config();
  const size_t plus = spec.find('+');
  kv::CodecFlags flags;
  flags.kv = spec;
  if (plus != std::string::npos) {
    flags.k = spec.substr(0, plus);
    flags.v = spec.substr(plus + 1);
  }
  if (!IsCompose(flags.Keys()) && !IsCompose(flags.Values())) {
    return model.ChooseCodecs({.flags = flags, .softmax = softmax}, threads).Layout(config);
  }
  const kv::KeySpec keys = kv::SplitKeyBias(flags.Keys());
  if (keys.bias == kv::KeyBias::kMean) {
    throw MakeError(ErrorCode::kInvalid, "codec {}: bias=mean is for codecs of the table", flags.Keys());
  }
  std::map<std::pair<std::string, int>, std::shared_ptr<const kv::Codec>> codecs;
  const auto parse = [&](const std::string& spec_of_part, int head_dim) {
    auto& codec = codecs[{spec_of_part, head_dim}];
    if (codec == nullptr) codec = Parse(spec_of_part, head_dim);
    return codec;
  };
  const auto choose = [&](int layer, int) -> kv::CodecPair {
    const kv::LayerShape& shape = config.cache_layers[static_cast<size_t>(layer)];
    return {parse(keys.codec, shape.key_dim),
            shape.values_in_keys ? nullptr : parse(flags.Values(), shape.value_dim)};
  };
  kv::BlockLayout layout = kv::MakeLayout(choose, config.cache_layers);
  layout.key_bias = keys.bias;
  return kv::WithStates(std::move(layout), config.state_floats);
}

bool IsComposed(const kv::Codec* codec) { return dynamic_cast<const ComposeCodec*>(codec) != nullptr; }

// Of all elements that a token has in a page.
double Bits(const kv::Codec* codec, kv::Part part, int head_dim) {
  if (const auto* compose = dynamic_cast<const ComposeCodec*>(codec)) return compose->Bits(part) * head_dim;
  return 8.0 * static_cast<double>(codec->Bytes(part)) / kv::kPageTokens;
}

// Elements that a token has in all pages.
double Elements(const kv::BlockLayout& layout) {
  double elements = 0.0;
  for (const kv::LayerShape& shape : layout.layers) elements += static_cast<double>(shape.StoredElements());
  return elements;
}

// Of an element, on average over one form of all pages.
double Bits(const kv::BlockLayout& layout, kv::Form form) {
  double bits = 0.0;
  for (int layer = 0; layer < layout.NumLayers(); ++layer) {
    const kv::LayerShape& shape = layout.layers[static_cast<size_t>(layer)];
    for (int head = 0; head < shape.num_kv_heads; ++head) {
      const kv::PageSpec& page = layout.At(layer, head);
      bits += Bits(&page.Keys(form), kv::Part::kKeys, shape.key_dim);
      if (page.values != nullptr) bits += Bits(&page.Values(form), kv::Part::kValues, shape.value_dim);
    }
  }
  return bits / Elements(layout);
}

bool IsComposed(const kv::BlockLayout& layout) {
  return std::ranges::any_of(layout.pages, [](const kv::PageSpec& page) {
    return IsComposed(page.keys) || IsComposed(page.values);
  });
}

// num_blocks: sealed ones of a sequence.
Sizes Measure(const kv::BlockPool& pool, int num_blocks) {
  const kv::BlockLayout& layout = pool.Layout();
  const double elements = Elements(layout);
  const int blocks = std::max(1, num_blocks);
  const int sinks = std::min(blocks, layout.window.sink_blocks);
  const int fine = sinks + std::min(blocks - sinks, layout.window.recent_blocks);
  Sizes sizes;
  sizes.bits = Bits(layout, kv::Form::kBase) * (blocks - sinks) / blocks;
  if (fine > 0) sizes.bits += Bits(layout, kv::Form::kFine) * fine / blocks;
  // A composed codec has no real pages.
  sizes.bytes_per_token =
      IsComposed(layout)
          ? sizes.bits / 8.0 * elements
          : static_cast<double>(pool.SequenceBytes(blocks * kv::kPageTokens) - pool.StateBytes()) /
                (blocks * kv::kPageTokens);
  sizes.ratio_to_f16 = 2.0 * elements / sizes.bytes_per_token;
  return sizes;
}

}  // namespace

Subject::Subject(const std::string& spec, kv::SoftmaxKind softmax, const engine::LoadedModel& model,
                 ThreadPool& threads)
    : name_(spec),
      transformer_(*model.transformer),
      threads_(threads),
      pool_(MakeLayout(spec, softmax, model, threads), std::numeric_limits<size_t>::max() / 2, softmax),
      cache_(pool_) {}

Sizes Subject::GetSizes() const { return Measure(pool_, most_blocks_); }

void Subject::Reserve(size_t num_tokens, kv::SequenceCache& cache) {
  if (!cache.Reserve(static_cast<int>(num_tokens))) {
    throw MakeError(ErrorCode::kExhausted, "eval: the cache of {} has no room", name_);
  }
}

void Subject::Forward(std::span<const int32_t> tokens, kv::SequenceCache& cache, int num_logits,
                      float* logits) {
  Reserve(tokens.size(), cache);
  const model::BatchItem item{tokens, &cache, num_logits};
  transformer_.Forward({&item, 1}, threads_, logits);
  NoteLength(cache);
}

void Subject::NoteLength(const kv::SequenceCache& cache) {
  most_blocks_ = std::max(most_blocks_, cache.NumTokens() / kv::kPageTokens);
}

void Subject::Read(std::span<const int32_t> tokens, kv::SequenceCache& cache, std::span<float> logits) {
  for (size_t first = 0; first < tokens.size(); first += kChunk) {
    const auto chunk = tokens.subspan(first, std::min<size_t>(kChunk, tokens.size() - first));
    const bool is_last = first + chunk.size() == tokens.size();
    Forward(chunk, cache, is_last && !logits.empty() ? 1 : 0, logits.data());
  }
}

namespace {

// Rows of one page, [64, key_dim] and [64, value_dim]; values that are in the keys stay there.
void DecodePage(const kv::SequenceCache& cache, int layer, int head, int block, bool sealed, float* keys,
                float* values) {
  const kv::PageSpec& page = cache.Layout().At(layer, head);
  if (sealed) {
    const kv::PageView view = cache.Sealed(layer, head, block);
    page.keys->Decode(kv::Part::kKeys, view.keys, keys);
    if (page.values != nullptr) page.values->Decode(kv::Part::kValues, view.values, values);
    return;
  }
  const uint8_t* const rows = cache.OpenRows()->Data();
  page.open_keys->Decode(kv::Part::kKeys, rows + page.open_keys_offset, keys);
  if (page.values != nullptr) {
    page.open_values->Decode(kv::Part::kValues, rows + page.open_values_offset, values);
  }
}

// The running chunk is the last one: recurrent layers go on from the same state, whatever the codec.
void CopyState(const kv::SequenceCache& from, kv::SequenceCache& to) {
  for (size_t layer = 0; layer < from.Layout().states.size(); ++layer) {
    const kv::StateSpec& state = from.Layout().states[layer];
    std::memcpy(to.State(static_cast<int>(layer)), from.LastState()->Data() + state.offset,
                state.floats * sizeof(float));
  }
}

}  // namespace

void Subject::Encode(const kv::SequenceCache& exact, kv::SequenceCache& cache) {
  const kv::BlockLayout& layout = exact.Layout();
  std::vector<float> keys(kv::kPageTokens * kv::kMaxHeadDim), values(keys.size());
  while (cache.NumTokens() < exact.NumTokens()) {
    const int block = cache.NumTokens() / kv::kPageTokens;
    const int first = cache.NumTokens() % kv::kPageTokens;
    const int count = std::min(kv::kPageTokens - first, exact.NumTokens() - cache.NumTokens());
    const bool sealed = block < static_cast<int>(exact.SealedBlocks().size());
    Reserve(static_cast<size_t>(count), cache);
    cache.BeginChunk(count);
    for (int layer = 0; layer < layout.NumLayers(); ++layer) {
      const kv::LayerShape& shape = layout.layers[static_cast<size_t>(layer)];
      const auto rows_of = [&](const std::vector<float>& page, int head_dim) -> kv::Rows {
        const auto d = static_cast<size_t>(head_dim);
        return {page.data() + static_cast<size_t>(first) * d, d};
      };
      for (int head = 0; head < shape.num_kv_heads; ++head) {
        DecodePage(exact, layer, head, block, sealed, keys.data(), values.data());
        cache.Append(layer, head, rows_of(keys, shape.key_dim), rows_of(values, shape.value_dim));
        cache.FinishLayer(layer, head);
      }
    }
    if (cache.NumTokens() + count == exact.NumTokens()) CopyState(exact, cache);
    cache.EndChunk();
  }
  NoteLength(cache);
}

}  // namespace throng::eval
