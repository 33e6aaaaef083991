#include "engine/codecs/flashq_mixed.h"

#include <limits>
#include <utility>

#include "base/error.h"
#include "kv/cache/block_pool.h"
#include "kv/cache/sequence_cache.h"
#include "kv/flashq/flashq_priority.h"
#include "kv/layer_codecs.h"
#include "model/config.h"
#include "model/transformer.h"

namespace throng::engine {
namespace {

constexpr size_t kBlocks = 2;
constexpr size_t kTokens = kBlocks * kv::kPageTokens;

double Priority(const kv::SequenceCache& cache, kv::Part part, int layer, int head) {
  const kv::BlockLayout& layout = cache.Layout();
  const kv::PageSpec& page = layout.At(layer, head);
  const kv::LayerShape& shape = layout.layers[static_cast<size_t>(layer)];
  const int head_dim = part == kv::Part::kKeys ? shape.key_dim : shape.value_dim;
  const size_t size = static_cast<size_t>(kv::kPageTokens) * static_cast<size_t>(head_dim);
  std::vector<float> rows(kBlocks * size);
  for (size_t block = 0; block < kBlocks; ++block) {
    const kv::PageView view = cache.Sealed(layer, head, static_cast<int>(block));
    float* to = rows.data() + block * size;
    if (part == kv::Part::kKeys) {
      page.keys->Decode(part, view.keys, to);
    } else {
      page.values->Decode(part, view.values, to);
    }
  }
  return kv::FlashqPriority(rows, head_dim);
}

std::vector<std::vector<double>> Priorities(const kv::SequenceCache& cache, kv::Part part) {
  const kv::BlockLayout& layout = cache.Layout();
  std::vector<std::vector<double>> priorities;
  for (int layer = 0; layer < layout.NumLayers(); ++layer) {
    const kv::LayerShape& shape = layout.layers[static_cast<size_t>(layer)];
    std::vector<double>& of_layer = priorities.emplace_back();
    if (part == kv::Part::kValues && shape.values_in_keys) continue;
    for (int head = 0; head < shape.num_kv_heads; ++head)
      of_layer.push_back(Priority(cache, part, layer, head));
  }
  return priorities;
}

}  // namespace

HeadPriorities RankHeads(model::Transformer& transformer, std::span<const int32_t> text,
                         kv::SoftmaxKind softmax, ThreadPool& threads, kv::KeyBias bias,
                         std::shared_ptr<const kv::KeyMeans> means) {
  const model::ModelConfig& config = transformer.Config();
  if (static_cast<size_t>(config.context_length) < kTokens || text.size() < kTokens) {
    throw MakeError(text.size() < kTokens ? ErrorCode::kInvalid : ErrorCode::kUnsupported,
                    "{}: ranking the heads takes {} tokens, the model's context has {} and the text {}",
                    kv::kFlashqMixed, kTokens, config.context_length, text.size());
  }
  const kv::CodecFlags f32{.kv = "f32", .k = "", .v = ""};
  kv::BlockLayout layout = kv::WithStates(kv::MakeLayout(f32, config.cache_layers), config.state_floats);
  layout.key_bias = bias;
  layout.key_means = std::move(means);
  kv::BlockPool pool(std::move(layout), std::numeric_limits<size_t>::max() / 2, softmax);
  kv::SequenceCache cache(pool);
  if (!cache.Reserve(static_cast<int>(kTokens))) {
    throw MakeError(ErrorCode::kExhausted, "{}: no memory to rank the heads", kv::kFlashqMixed);
  }
  const model::BatchItem item{text.first(kTokens), &cache, 0};
  transformer.Forward({&item, 1}, threads, nullptr);
  return {.keys = Priorities(cache, kv::Part::kKeys), .values = Priorities(cache, kv::Part::kValues)};
}

std::string MixedCodec(std::string_view spec, std::span<const double> priorities) {
  std::string bits;
  for (const int of_head : kv::FlashqHeadBits(priorities)) bits += std::to_string(of_head);
  return kv::WithHeadBits(spec, bits);
}

}  // namespace throng::engine
