#include "engine/codecs/kv_probe.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "kv/cache/block_pool.h"
#include "kv/layer_codecs.h"
#include "model/config.h"
#include "model/transformer.h"

namespace throng::engine {
namespace {

constexpr size_t kChunk = 128;  // tokens of one forward pass
// Most probabilities kept: fewer positions for large vocabularies.
constexpr size_t kMostProbabilities = size_t{32} << 20;

std::vector<int32_t> Cut(std::vector<int32_t> text, const model::ModelConfig& config, size_t most_tokens) {
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
  text.resize(std::min({text.size(), most_tokens, most, static_cast<size_t>(config.context_length)}));
  return text;
}

}  // namespace

KvProbe::KvProbe(model::Transformer& transformer, std::vector<int32_t> text, kv::SoftmaxKind softmax,
                 ThreadPool& threads, size_t most_tokens)
    : transformer_(transformer),
      softmax_(softmax),
      threads_(threads),
      tokens_(Cut(std::move(text), transformer.Config(), most_tokens)),
      vocab_(static_cast<size_t>(transformer.Config().vocab_size)),
      logits_(std::min(kChunk, tokens_.size()) * vocab_),
      predictions_(tokens_.size() - kv::kPageTokens) {
  const model::ModelConfig& config = transformer.Config();
  const auto layout = kv::WithStates(kv::MakeLayout({.kv = "f32", .k = "", .v = ""}, config.cache_layers),
                                     config.state_floats);
  Forward(layout, kv::SoftmaxKind::kExact,
          [&](size_t row, std::span<const float> logits) { predictions_[row].Set(logits, LogSum(logits)); });
}

const model::ModelConfig& KvProbe::Config() const { return transformer_.Config(); }

KlFigures KvProbe::Divergence(const kv::BlockLayout& layout) {
  std::vector<double> divergences(predictions_.size());
  Forward(layout, softmax_, [&](size_t row, std::span<const float> logits) {
    divergences[row] = predictions_[row].Divergence(logits, LogSum(logits));
  });
  const int fine = (layout.window.sink_blocks + layout.window.recent_blocks) * kv::kPageTokens;
  THRONG_CHECK(static_cast<size_t>(fine) < divergences.size());
  return FiguresOf({divergences.begin() + fine, divergences.end()});
}

void KvProbe::Forward(const kv::BlockLayout& layout, kv::SoftmaxKind softmax, const RowFunction& on_row) {
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
    threads_.ParallelFor(count, [&](size_t i, int) {
      on_row(row + i, {logits_.data() + i * vocab_, vocab_});
    });
  }
}

}  // namespace throng::engine
