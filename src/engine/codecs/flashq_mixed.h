// Decides which heads of a model flashq-mixed encodes with 2 bits, and which with 4.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/codecs/codec_choice.h"
#include "kv/block_layout.h"
#include "kv/softmax_kind.h"

namespace throng {
class ThreadPool;
}
namespace throng::model {
class Transformer;
}

namespace throng::engine {

// Ranks the heads (see kv/flashq/flashq_priority.h) by the model's keys, which lack this bias, and values for
// the first 128 tokens of a text, in f32 and with this softmax. Throws kUnsupported if the model's context is
// shorter, kInvalid if the text is.
HeadPriorities RankHeads(model::Transformer& transformer, std::span<const int32_t> text,
                         kv::SoftmaxKind softmax, ThreadPool& threads, kv::KeyBias bias = kv::KeyBias::kModel,
                         std::shared_ptr<const kv::KeyMeans> means = nullptr);

// The specification of one layer, from one without bits and the priorities of the layer's heads:
// "flashq-mixed:bits=2442".
std::string MixedCodec(std::string_view spec, std::span<const double> priorities);

}  // namespace throng::engine
