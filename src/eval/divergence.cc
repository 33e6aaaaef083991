#include "eval/divergence.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "base/error.h"
#include "base/thread_pool.h"
#include "kv/block_pool.h"
#include "kv/codec_table.h"
#include "kv/sequence_cache.h"
#include "model/config.h"
#include "model/transformer.h"

namespace throng::eval {
namespace {

constexpr int kChunk = 128;  // tokens of one forward pass

// One codec's cache, and what was seen with it.
struct Contender {
  Contender(const std::string& codec, const model::ModelConfig& config)
      : name(codec),
        pool(kv::MakeLayout({.kv = codec}, config.num_layers, config.num_kv_heads, config.head_dim),
             std::numeric_limits<size_t>::max() / 2),
        cache(pool) {}

  std::string name;
  kv::BlockPool pool;
  kv::SequenceCache cache;
  std::vector<float> logits;  // [kChunk, vocab]
  std::vector<double> divergences;
  double loss = 0.0;
  size_t agreements = 0;
};

// Logarithms of the probabilities of one row of logits.
void LogSoftmax(const float* logits, std::vector<double>& out) {
  const double max = *std::max_element(logits, logits + out.size());
  double sum = 0.0;
  for (size_t i = 0; i < out.size(); ++i) sum += std::exp(logits[i] - max);
  const double log_sum = max + std::log(sum);
  for (size_t i = 0; i < out.size(); ++i) out[i] = logits[i] - log_sum;
}

size_t ArgMax(const float* row, size_t size) {
  return static_cast<size_t>(std::max_element(row, row + size) - row);
}

void Forward(Contender& contender, std::span<const int32_t> tokens, model::Transformer& transformer,
             ThreadPool& threads) {
  const int count = static_cast<int>(tokens.size());
  if (!contender.cache.Reserve(count)) {
    throw MakeError(ErrorCode::kExhausted, "eval: the cache of {} has no room", contender.name);
  }
  const model::BatchItem item{tokens, &contender.cache, count};
  transformer.Forward({&item, 1}, threads, contender.logits.data());
}

class Comparison {
 public:
  Comparison(model::Transformer& transformer, std::span<const std::string> codecs, ThreadPool& threads)
      : transformer_(transformer),
        threads_(threads),
        vocab_(static_cast<size_t>(transformer.Config().vocab_size)),
        expected_(vocab_),
        actual_(vocab_) {
    contenders_.push_back(std::make_unique<Contender>("f32", transformer.Config()));
    for (const std::string& codec : codecs) {
      contenders_.push_back(std::make_unique<Contender>(codec, transformer.Config()));
    }
    for (const auto& contender : contenders_) contender->logits.resize(kChunk * vocab_);
  }

  void Add(std::span<const int32_t> text) {
    for (size_t first = 0; first < text.size(); first += kChunk) {
      const auto chunk = text.subspan(first, std::min<size_t>(kChunk, text.size() - first));
      for (const auto& contender : contenders_) Forward(*contender, chunk, transformer_, threads_);
      for (size_t i = 0; i < chunk.size(); ++i) {
        const size_t position = first + i;
        if (position < kv::kPageTokens || position + 1 >= text.size()) continue;
        Compare(i, static_cast<size_t>(text[position + 1]));
      }
    }
    for (const auto& contender : contenders_) contender->cache.Release();
  }

  std::vector<Divergence> Results() {
    if (positions_ == 0) {
      throw MakeError(ErrorCode::kInvalid,
                      "eval: no text has more than {} tokens, so that nothing is read from sealed pages",
                      kv::kPageTokens + 1);
    }
    std::vector<Divergence> results;
    for (size_t c = 1; c < contenders_.size(); ++c) results.push_back(Result(*contenders_[c]));
    return results;
  }

 private:
  // Row i of all contenders' logits; next: the token that follows in the text.
  void Compare(size_t i, size_t next) {
    const float* reference = contenders_[0]->logits.data() + i * vocab_;
    LogSoftmax(reference, expected_);
    const size_t likeliest = ArgMax(reference, vocab_);
    ++positions_;
    for (size_t c = 1; c < contenders_.size(); ++c) {
      Contender& contender = *contenders_[c];
      const float* row = contender.logits.data() + i * vocab_;
      LogSoftmax(row, actual_);
      double divergence = 0.0;
      for (size_t v = 0; v < vocab_; ++v) divergence += std::exp(expected_[v]) * (expected_[v] - actual_[v]);
      contender.divergences.push_back(std::max(0.0, divergence));  // rounding may leave a bit below zero
      contender.loss -= actual_[next];
      contender.agreements += ArgMax(row, vocab_) == likeliest;
    }
  }

  Divergence Result(Contender& contender) const {
    std::vector<double>& all = contender.divergences;
    std::sort(all.begin(), all.end());
    const auto n = static_cast<double>(all.size());
    Divergence result;
    result.kv = contender.name;
    result.positions = all.size();
    for (const double divergence : all) result.kl_mean += divergence / n;
    result.kl_p99 = all[std::min(all.size() - 1, static_cast<size_t>(0.99 * n))];
    result.top1 = static_cast<double>(contender.agreements) / n;
    result.ppl = std::exp(contender.loss / n);
    const kv::BlockLayout& layout = contender.pool.Layout();
    result.bytes_per_token = static_cast<double>(contender.pool.SealedBytes()) / kv::kPageTokens;
    result.ratio_to_f16 =
        4.0 * layout.num_layers * layout.num_kv_heads * layout.head_dim / result.bytes_per_token;
    return result;
  }

  model::Transformer& transformer_;
  ThreadPool& threads_;
  const size_t vocab_;
  std::vector<std::unique_ptr<Contender>> contenders_;  // the first is the reference
  std::vector<double> expected_, actual_;
  size_t positions_ = 0;
};

}  // namespace

std::vector<Divergence> MeasureDivergence(model::Transformer& transformer,
                                          std::span<const std::vector<int32_t>> texts,
                                          std::span<const std::string> codecs, ThreadPool& threads) {
  Comparison comparison(transformer, codecs, threads);
  const auto context = static_cast<size_t>(transformer.Config().context_length);
  for (const std::vector<int32_t>& text : texts) {
    // A shorter one has nothing to compare.
    if (text.size() > kv::kPageTokens + 1) {
      comparison.Add(std::span(text).first(std::min(text.size(), context)));
    }
  }
  return comparison.Results();
}

}  // namespace throng::eval
