// The means of a model's keys, which caches with bias=mean leave out.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "kv/block_layout.h"
#include "kv/softmax_kind.h"

namespace throng {
class ThreadPool;
}
namespace throng::model {
class Transformer;
}

namespace throng::engine {

// Takes the mean of each head's keys before rotation over the first 512 tokens of a text, whole keys in f32
// and with this softmax. Keeps it in the pairs of elements where it is longer than twice the deviation of
// an average pair of that head (root of the mean square), and in elements that are not rotated; others are 0.
// Throws kInvalid if the text has fewer than 64 tokens, kUnsupported if the model's context has; kInvalid as
// kv::CheckKeyMeans.
std::shared_ptr<const kv::KeyMeans> MeasureKeyMeans(model::Transformer& transformer,
                                                    std::span<const int32_t> text, kv::SoftmaxKind softmax,
                                                    ThreadPool& threads);

}  // namespace throng::engine
