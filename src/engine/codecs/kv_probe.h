// Measures what a KV layout and a softmax do to a model's predictions on one text: real forward passes over
// real pages, compared with f32 and the exact softmax.
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
  // Shortest text, and shortest context of a model.
  static constexpr size_t kLeastTokens = 2 * kv::kPageTokens;
  static constexpr size_t kMostTokens = 512;

  // Runs the text over f32 with the exact softmax; softmax: used with the layouts. most_tokens: longer texts
  // are cut. The references outlive the probe. Throws kInvalid if the text is shorter than kLeastTokens,
  // kUnsupported if the model's context is.
  KvProbe(model::Transformer& transformer, std::vector<int32_t> text, kv::SoftmaxKind softmax,
          ThreadPool& threads, size_t most_tokens = kMostTokens);

  // KL(f32 || layout and softmax) of the next token's distribution over the positions that attend to at least
  // one sealed page in the base form: the text must have such.
  KlFigures Divergence(const kv::BlockLayout& layout);

  const model::ModelConfig& Config() const;
  size_t NumTokens() const { return tokens_.size(); }
  int NumPasses() const { return num_passes_; }  // over the text, so far

 private:
  using RowFunction = std::function<void(size_t row, std::span<const float> logits)>;
  // row: counted from position kPageTokens. Calls for rows of a chunk are concurrent.
  void Forward(const kv::BlockLayout& layout, kv::SoftmaxKind softmax, const RowFunction& on_row);

  model::Transformer& transformer_;
  const kv::SoftmaxKind softmax_;
  ThreadPool& threads_;
  std::vector<int32_t> tokens_;
  const size_t vocab_;
  std::vector<float> logits_;            // [tokens of a chunk, vocab]
  std::vector<Prediction> predictions_;  // [rows], over f32
  int num_passes_ = 0;
};

}  // namespace throng::engine
