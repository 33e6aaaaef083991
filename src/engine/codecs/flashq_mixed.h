// Which heads of a model flashq-mixed gives 2 bits, and which 4.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/codecs/codec_choice.h"
#include "kv/softmax_kind.h"

namespace throng {
class ThreadPool;
}
namespace throng::model {
class Transformer;
}

namespace throng::engine {

// Ranks the heads (see kv/flashq/flashq_priority.h) by the model's keys and values for the first 128 tokens
// of a text, in f32 and with this softmax. Throws kUnsupported if the model's context, kInvalid if the text
// is shorter.
HeadPriorities RankHeads(model::Transformer& transformer, std::span<const int32_t> text,
                         kv::SoftmaxKind softmax, ThreadPool& threads);

// The specification for one layer, of one without bits and its heads' priorities: "flashq-mixed:bits=2442".
std::string MixedCodec(std::string_view spec, std::span<const double> priorities);

}  // namespace throng::engine
