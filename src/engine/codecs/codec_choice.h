// Which codecs a model's KV cache uses, layer by layer, and the file that keeps such a choice.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "engine/codecs/prediction.h"
#include "kv/layer_codecs.h"
#include "kv/softmax_kind.h"

namespace throng::model {
struct ModelConfig;
}

namespace throng::engine {

// Priorities of the heads' keys and values, [layers][KV heads]: see kv/flashq/flashq_priority.h. Layers whose
// values are in the keys have no values here.
struct HeadPriorities {
  std::vector<std::vector<double>> keys;
  std::vector<std::vector<double>> values;
  bool operator==(const HeadPriorities&) const = default;
};

struct CodecChoice {
  std::vector<kv::LayerCodecs> layers;            // of ModelConfig::cache_layers
  std::shared_ptr<const kv::KeyMeans> key_means;  // of bias=mean; null without it
  HeadPriorities priorities;                      // determine the bits of flashq-mixed; empty: not ranked

  // How the choice was found, if the model was run for it:
  Digest text;  // digest of the calibration text
  kv::SoftmaxKind softmax = kv::SoftmaxKind::kExact;
  // Divergence from f32; zeros: not measured, or unknown (files of version 1 have no p99 and nothing held
  // out).
  KlFigures target;
  KlFigures kl;        // on that text
  KlFigures held_out;  // on one that the search did not see

  kv::BlockLayout Layout(const model::ModelConfig& config) const;
};

// The bytes of one token in sealed blocks, as the allocator counts them (in the base form, see WindowBytes),
// and the bytes that 16-bit keys and values would take.
double BytesPerToken(const kv::BlockLayout& layout);
// Those of it that are released when the token leaves the windows of layers that slide (kv::Reach).
double SlidingBytesPerToken(const kv::BlockLayout& layout);
// What a long sequence takes beyond that, for the fine form of its first and its last pages.
size_t WindowBytes(const kv::BlockLayout& layout);
double F16BytesPerToken(const kv::BlockLayout& layout);

// model: Transformer::WeightsDigest. JSON of version 2: format, version, model, layers [{k, v}], without v
// where values are in the keys, bytes_per_token, ratio_to_f16, window_bytes of layers with sink= or recent=,
// and where known key_means [layers][[element, mean], ...], text, softmax (if it is missing: exact),
// kl_target, p99_target, kl, p99, held_out_kl, held_out_p99, head_priorities {k, v}.
std::string WriteChoice(const CodecChoice& choice, const Digest& model, const model::ModelConfig& config);

// Reads version 1, too, which has no codecs per head, p99 and held_out. where: the file, for messages. Throws
// kInvalid, in one sentence, if the text is not such a choice, is of another version, model or number of
// layers, or states wrong bytes.
CodecChoice ReadChoice(std::string_view text, const std::string& where, const Digest& model,
                       const model::ModelConfig& config);

}  // namespace throng::engine
