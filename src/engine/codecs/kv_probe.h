// What a KV layout and a softmax do to a model's predictions on one text: real forward passes over real
// pages, compared with f32 and the exact softmax.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "engine/codecs/prediction.h"
#include "kv/cache/sequence_cache.h"
#include "kv/softmax_kind.h"

namespace throng {
class ThreadPool;
}
namespace throng::model {
class Transformer;
struct ModelConfig;
}  // namespace throng::model

namespace throng::engine {

class KvProbe {
 public:
  static constexpr size_t kLeastTokens = 2 * kv::kPageTokens;  // of a text, and of a model's context
  static constexpr size_t kMostTokens = 512;                   // of a text: what is more is left out

  // Runs the text over f32 with the exact softmax; softmax: of the layouts. The references outlive the probe.
  // Throws kInvalid if the text, kUnsupported if the model's context is shorter than kLeastTokens.
  KvProbe(model::Transformer& transformer, std::vector<int32_t> text, kv::SoftmaxKind softmax,
          ThreadPool& threads);

  // Mean of KL(f32 || layout and softmax) of the next token's distribution, in nats, over the positions that
  // attend to at least one sealed page.
  double Divergence(const kv::BlockLayout& layout);

  const model::ModelConfig& Config() const;
  size_t NumTokens() const { return tokens_.size(); }
  int NumPasses() const { return num_passes_; }  // over the text, until now

 private:
  using RowFunction = std::function<void(size_t row, std::span<const float> logits)>;
  // row: counts from position kPageTokens on. Rows of a chunk come at the same time.
  void Forward(const kv::BlockLayout& layout, kv::SoftmaxKind softmax, const RowFunction& on_row);

  model::Transformer& transformer_;
  const kv::SoftmaxKind softmax_;
  ThreadPool& threads_;
  std::vector<int32_t> tokens_;
  const size_t vocab_;
  std::vector<float> logits_;            // [tokens of a chunk, vocab]
  std::vector<Prediction> predictions_;  // over f32: [rows]
  int num_passes_ = 0;
};

}  // namespace throng::engine
