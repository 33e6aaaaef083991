#include "engine/codecs/kv_probe.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/error.h"
#include "base/thread_pool.h"
#include "kv/cache/block_pool.h"
#include "kv/codec_table.h"
#include "model/config.h"
#include "model/transformer.h"

namespace throng::engine {
namespace {

constexpr size_t kChunk = 128;  // tokens of one forward pass
constexpr size_t kMostProbabilities = size_t{32}
                                      << 20;  // that are kept: fewer positions for large vocabularies

std::vector<int32_t> Cut(std::vector<int32_t> text, const model::ModelConfig& config) {
  if (static_cast<size_t>(config.context_length) < KvProbe::kLeastTokens) {
    throw MakeError(ErrorCode::kUnsupported, "KV calibration: it takes {} tokens, the model's context has {}",
                    KvProbe::kLeastTokens, config.context_length);
  }
  if (text.size() < KvProbe::kLeastTokens) {
    throw MakeError(ErrorCode::kInvalid, "KV calibration: the text has {} tokens, at least {} are needed",
                    text.size(), KvProbe::kLeastTokens);
  }
  const size_t rows = kMostProbabilities / static_cast<size_t>(config.vocab_size);
  const size_t most = std::max(KvProbe::kLeastTokens, kv::kPageTokens + rows);
  text.resize(
      std::min({text.size(), KvProbe::kMostTokens, most, static_cast<size_t>(config.context_length)}));
  return text;
}

// The logarithm of the sum of exponentials.
double LogSum(const float* logits, size_t size) {
  const double max = *std::max_element(logits, logits + size);
  double sum = 0.0;
  for (size_t i = 0; i < size; ++i) sum += std::exp(logits[i] - max);
  return max + std::log(sum);
}

}  // namespace

KvProbe::KvProbe(model::Transformer& transformer, std::vector<int32_t> text, kv::SoftmaxKind softmax,
                 ThreadPool& threads)
    : transformer_(transformer),
      softmax_(softmax),
      threads_(threads),
      tokens_(Cut(std::move(text), transformer.Config())),
      vocab_(static_cast<size_t>(transformer.Config().vocab_size)),
      logits_(std::min(kChunk, tokens_.size()) * vocab_),
      probabilities_((tokens_.size() - kv::kPageTokens) * vocab_),
      negentropies_(tokens_.size() - kv::kPageTokens) {
  const model::ModelConfig& config = transformer.Config();
  const auto layout = kv::MakeLayout({.kv = "f32", .k = "", .v = ""}, config.num_layers, config.num_kv_heads,
                                     config.head_dim);
  Forward(layout, kv::SoftmaxKind::kExact, [&](size_t row, const float* logits) {
    const double log_sum = LogSum(logits, vocab_);
    double* probabilities = probabilities_.data() + row * vocab_;
    double negentropy = 0.0;
    for (size_t i = 0; i < vocab_; ++i) {
      const double log_probability = logits[i] - log_sum;
      probabilities[i] = std::exp(log_probability);
      negentropy += probabilities[i] * log_probability;
    }
    negentropies_[row] = negentropy;
  });
}

const model::ModelConfig& KvProbe::Config() const { return transformer_.Config(); }

double KvProbe::Divergence(const kv::BlockLayout& layout) {
  std::vector<double> divergences(negentropies_.size());
  Forward(layout, softmax_, [&](size_t row, const float* logits) {
    const double log_sum = LogSum(logits, vocab_);
    const double* probabilities = probabilities_.data() + row * vocab_;
    double cross = 0.0;
    for (size_t i = 0; i < vocab_; ++i) cross += probabilities[i] * (logits[i] - log_sum);
    divergences[row] = std::max(0.0, negentropies_[row] - cross);  // rounding may leave a bit below zero
  });
  double sum = 0.0;
  for (const double divergence : divergences) sum += divergence;
  return sum / static_cast<double>(divergences.size());
}

void KvProbe::Forward(const kv::BlockLayout& layout, kv::SoftmaxKind softmax,
                      const std::function<void(size_t row, const float* logits)>& on_row) {
  ++num_passes_;
  kv::BlockPool pool(layout, std::numeric_limits<size_t>::max() / 2, softmax);
  kv::SequenceCache cache(pool);
  for (size_t first = 0; first < tokens_.size(); first += kChunk) {
    const auto chunk = std::span(tokens_).subspan(first, std::min(kChunk, tokens_.size() - first));
    if (!cache.Reserve(static_cast<int>(chunk.size()))) {
      throw MakeError(ErrorCode::kExhausted, "KV calibration: no memory for a cache of {} tokens",
                      first + chunk.size());
    }
    const size_t skipped =
        first < kv::kPageTokens ? std::min<size_t>(kv::kPageTokens - first, chunk.size()) : 0;
    const size_t count = chunk.size() - skipped;
    const model::BatchItem item{chunk, &cache, static_cast<int>(count)};
    transformer_.Forward({&item, 1}, threads_, logits_.data());
    const size_t row = first + skipped - kv::kPageTokens;
    threads_.ParallelFor(count, [&](size_t i, int) { on_row(row + i, logits_.data() + i * vocab_); });
  }
}

}  // namespace throng::engine
