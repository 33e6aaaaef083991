#include "eval/subject.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
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
  kv::BlockLayout layout =
      kv::MakeLayout(Parse(keys.codec, config.head_dim), Parse(flags.Values(), config.head_dim),
                     config.num_layers, config.num_kv_heads, config.head_dim);
  layout.key_bias = keys.bias;
  return kv::WithStates(std::move(layout), config.state_floats);
}

bool IsComposed(const kv::Codec* codec) { return dynamic_cast<const ComposeCodec*>(codec) != nullptr; }

double Bits(const kv::Codec* codec, kv::Part part, int head_dim) {
  if (const auto* compose = dynamic_cast<const ComposeCodec*>(codec)) return compose->Bits(part);
  return 8.0 * static_cast<double>(codec->Bytes(part)) / (kv::kPageTokens * head_dim);
}

// Of an element in one form of all pages.
double Bits(const kv::BlockLayout& layout, kv::Form form) {
  double bits = 0.0;
  for (const kv::PageSpec& page : layout.pages) {
    bits += Bits(&page.Keys(form), kv::Part::kKeys, layout.head_dim) +
            Bits(&page.Values(form), kv::Part::kValues, layout.head_dim);
  }
  return bits / (2.0 * static_cast<double>(layout.pages.size()));
}

bool IsComposed(const kv::BlockLayout& layout) {
  return std::ranges::any_of(layout.pages, [](const kv::PageSpec& page) {
    return IsComposed(page.keys) || IsComposed(page.values);
  });
}

// num_blocks: sealed ones of a sequence.
Sizes Measure(const kv::BlockPool& pool, int num_blocks) {
  const kv::BlockLayout& layout = pool.Layout();
  const double elements = 2.0 * layout.num_layers * layout.num_kv_heads * layout.head_dim;  // per token
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

// The running chunk is the last one: recurrent layers go on from the same state, whatever the codec.
void CopyState(const kv::SequenceCache& from, kv::SequenceCache& to) {
  for (size_t layer = 0; layer < from.Layout().states.size(); ++layer) {
    const kv::StateSpec& state = from.Layout().states[layer];
    std::memcpy(to.State(static_cast<int>(layer)), from.StateData() + state.offset,
                state.floats * sizeof(float));
  }
}

}  // namespace

void Subject::Encode(const kv::SequenceCache& exact, kv::SequenceCache& cache) {
  const kv::BlockLayout& layout = exact.Layout();
  const auto d = static_cast<size_t>(layout.head_dim);
  std::vector<float> keys(kv::kPageTokens * d), values(kv::kPageTokens * d);
  while (cache.NumTokens() < exact.NumTokens()) {
    const int block = cache.NumTokens() / kv::kPageTokens;
    const int first = cache.NumTokens() % kv::kPageTokens;
    const int count = std::min(kv::kPageTokens - first, exact.NumTokens() - cache.NumTokens());
    const bool sealed = block < static_cast<int>(exact.SealedBlocks().size());
    Reserve(static_cast<size_t>(count), cache);
    cache.BeginChunk(count);
    for (int layer = 0; layer < layout.num_layers; ++layer) {
      for (int head = 0; head < layout.num_kv_heads; ++head) {
        const kv::PageSpec& page = layout.At(layer, head);
        if (sealed) {
          const kv::PageView view = exact.Sealed(layer, head, block);
          page.keys->Decode(kv::Part::kKeys, view.keys, keys.data());
          page.values->Decode(kv::Part::kValues, view.values, values.data());
        } else {
          const uint8_t* const rows = exact.OpenRows();
          page.open_keys->Decode(kv::Part::kKeys, rows + page.open_keys_offset, keys.data());
          page.open_values->Decode(kv::Part::kValues, rows + page.open_values_offset, values.data());
        }
        const size_t skipped = static_cast<size_t>(first) * d;
        cache.Append(layer, head, keys.data() + skipped, values.data() + skipped, d);
        cache.FinishLayer(layer, head);
      }
    }
    if (cache.NumTokens() + count == exact.NumTokens()) CopyState(exact, cache);
    cache.EndChunk();
  }
  NoteLength(cache);
}

}  // namespace throng::eval
