#include "eval/subject.h"

#include <limits>
#include <memory>

#include "base/error.h"
#include "base/thread_pool.h"
#include "engine/codecs/codec_config.h"
#include "eval/compose.h"
#include "kv/codec_table.h"
#include "kv/layer_codecs.h"
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
  return layout;
}

bool IsComposed(const kv::Codec* codec) { return dynamic_cast<const ComposeCodec*>(codec) != nullptr; }

double Bits(const kv::Codec* codec, kv::Part part, int head_dim) {
  if (const auto* compose = dynamic_cast<const ComposeCodec*>(codec)) return compose->Bits(part);
  return 8.0 * static_cast<double>(codec->Bytes(part)) / (kv::kPageTokens * head_dim);
}

Sizes Measure(const kv::BlockPool& pool) {
  const kv::BlockLayout& layout = pool.Layout();
  const double elements = 2.0 * layout.num_layers * layout.num_kv_heads * layout.head_dim;  // per token
  Sizes sizes;
  bool composed = false;
  for (const kv::PageSpec& page : layout.pages) {
    sizes.bits += (Bits(page.keys, kv::Part::kKeys, layout.head_dim) +
                   Bits(page.values, kv::Part::kValues, layout.head_dim)) /
                  (2.0 * static_cast<double>(layout.pages.size()));
    composed = composed || IsComposed(page.keys) || IsComposed(page.values);
  }
  // A composed codec has no real pages.
  sizes.bytes_per_token =
      composed ? sizes.bits / 8.0 * elements : static_cast<double>(pool.SealedBytes()) / kv::kPageTokens;
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
      cache_(pool_),
      sizes_(Measure(pool_)) {}

void Subject::Forward(std::span<const int32_t> tokens, kv::SequenceCache& cache, int num_logits,
                      float* logits) {
  if (!cache.Reserve(static_cast<int>(tokens.size()))) {
    throw MakeError(ErrorCode::kExhausted, "eval: the cache of {} has no room", name_);
  }
  const model::BatchItem item{tokens, &cache, num_logits};
  transformer_.Forward({&item, 1}, threads_, logits);
}

}  // namespace throng::eval
