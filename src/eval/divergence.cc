#include "eval/divergence.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/error.h"
#include "kv/codec.h"
#include "model/config.h"

namespace throng::eval {
namespace {

struct alignas(64) Aligned {
  uint8_t bytes[64];
};

size_t ArgMax(std::span<const float> row) {
  return static_cast<size_t>(std::max_element(row.begin(), row.end()) - row.begin());
}

}  // namespace

Comparison::Comparison(const engine::LoadedModel& model, const EvalOptions& options, ThreadPool& threads)
    : threads_(threads),
      vocab_(static_cast<size_t>(model.transformer->Config().vocab_size)),
      context_(static_cast<size_t>(model.transformer->Config().context_length)) {
  const auto add = [&](const std::string& codec, kv::SoftmaxKind softmax) {
    seen_.push_back(std::make_unique<Seen>());
    seen_.back()->subject = std::make_unique<Subject>(codec, softmax, model, threads_);
    seen_.back()->logits.resize(kChunk * vocab_);
  };
  add("f32", kv::SoftmaxKind::kExact);
  for (const std::string& codec : options.codecs) add(codec, options.softmax);
}

void Comparison::Read(std::span<const int32_t> text) {
  if (text.empty() || text.size() > context_) {
    throw MakeError(ErrorCode::kInvalid, "eval: a text of {} tokens, allowed: 1 to {}, the model's context",
                    text.size(), context_);
  }
  const auto differs = std::mismatch(text.begin(), text.end(), text_.begin(), text_.end()).first;
  const size_t seen_before = static_cast<size_t>(differs - text.begin());
  const size_t kept = KeepPrefix(text.first(std::min(seen_before, text.size() - 1)));
  for (size_t first = kept; first < text.size(); first += kChunk) {
    const auto chunk = text.subspan(first, std::min<size_t>(kChunk, text.size() - first));
    for (const auto& seen : seen_) {
      seen->subject->Forward(chunk, seen->subject->Cache(), static_cast<int>(chunk.size()),
                             seen->logits.data());
    }
    for (size_t row = 0; row < chunk.size(); ++row) {
      const size_t position = first + row;
      if (position < std::max<size_t>(kv::kPageTokens, seen_before) || position + 1 >= text.size()) continue;
      Compare(row, static_cast<size_t>(text[position + 1]));
    }
    last_row_ = chunk.size() - 1;
  }
  text_.assign(text.begin(), text.end());
  const size_t blocks = text.size() / kv::kPageTokens;
  if (blocks > seen_before / kv::kPageTokens) CompareBlock(static_cast<int>(blocks) - 1);
}

// Cuts the caches to this prefix, or to less if it ends within a sealed page. Returns the number of tokens
// kept.
size_t Comparison::KeepPrefix(std::span<const int32_t> text) {
  int kept = static_cast<int>(text.size());
  for (const auto& seen : seen_) {
    kv::SequenceCache& cache = seen->subject->Cache();
    kept = std::min(kept, cache.Truncate(std::min(kept, cache.NumTokens())));
  }
  // All caches seal at the same places, but one that was ahead may have kept less.
  for (const auto& seen : seen_) kept = std::min(kept, seen->subject->Cache().Truncate(kept));
  return static_cast<size_t>(kept);
}

// Compares one row of all logits. next: the token that follows in the text.
void Comparison::Compare(size_t row, size_t next) {
  const std::span<const float> expected(seen_[0]->logits.data() + row * vocab_, vocab_);
  const double log_sum = engine::LogSum(expected);
  prediction_.Set(expected, log_sum);
  const size_t likeliest = ArgMax(expected);
  for (const auto& seen : seen_) {
    const std::span<const float> actual(seen->logits.data() + row * vocab_, vocab_);
    const double actual_log_sum = seen == seen_[0] ? log_sum : engine::LogSum(actual);
    seen->divergences.push_back(prediction_.Divergence(actual, actual_log_sum));
    seen->loss -= actual[next] - actual_log_sum;
    seen->agreements += ArgMax(actual) == likeliest;
  }
}

// Measures what encoding alone does: takes the reference's pages of one block through each codec and back.
void Comparison::CompareBlock(int block) {
  const kv::SequenceCache& reference = seen_[0]->subject->Cache();
  const kv::BlockLayout& layout = reference.Layout();
  std::vector<float> exact(static_cast<size_t>(kv::kPageTokens) * layout.head_dim);
  std::vector<float> decoded(exact.size());
  const auto bytes = std::make_unique<Aligned[]>(exact.size() * sizeof(float) / sizeof(Aligned) + 16);
  for (size_t page = 0; page < layout.pages.size(); ++page) {
    const int layer = static_cast<int>(page) / layout.num_kv_heads;
    const int head = static_cast<int>(page) % layout.num_kv_heads;
    const kv::PageView view = reference.Sealed(layer, head, block);
    for (const kv::Part part : {kv::Part::kKeys, kv::Part::kValues}) {
      const bool keys = part == kv::Part::kKeys;
      const auto codec_of = [&](const kv::PageSpec& spec) { return keys ? spec.keys : spec.values; };
      codec_of(layout.pages[page])->Decode(part, keys ? view.keys : view.values, exact.data());
      for (const float x : exact) squares_[!keys] += static_cast<double>(x) * x;
      for (const auto& seen : seen_) {
        const kv::Codec* codec = codec_of(seen->subject->Cache().Layout().pages[page]);
        THRONG_CHECK(codec->Bytes(part) <= exact.size() * sizeof(float) + 15 * sizeof(Aligned));
        codec->Encode(part, exact.data(), bytes[0].bytes);
        codec->Decode(part, bytes[0].bytes, decoded.data());
        for (size_t i = 0; i < exact.size(); ++i) {
          const double error = static_cast<double>(decoded[i]) - exact[i];
          seen->square_errors[!keys] += error * error;
        }
      }
    }
  }
}

std::span<const float> Comparison::LastLogits(size_t i) const {
  return {seen_[i]->logits.data() + last_row_ * vocab_, vocab_};
}

Divergence Comparison::Result(size_t i) const {
  const Seen& seen = *seen_[i];
  std::vector<double> all = seen.divergences;
  Divergence result;
  result.positions = all.size();
  if (all.empty()) return result;
  std::sort(all.begin(), all.end());
  const auto n = static_cast<double>(all.size());
  for (const double divergence : all) result.kl_mean += divergence / n;
  result.kl_p99 = all[std::min(all.size() - 1, static_cast<size_t>(0.99 * n))];
  result.top1 = static_cast<double>(seen.agreements) / n;
  result.ppl = std::exp(seen.loss / n);
  result.error_keys = std::sqrt(seen.square_errors[0] / std::max(squares_[0], 1e-30));
  result.error_values = std::sqrt(seen.square_errors[1] / std::max(squares_[1], 1e-30));
  return result;
}

std::vector<CodecDivergence> MeasureDivergence(const engine::LoadedModel& model,
                                               std::span<const std::vector<int32_t>> texts,
                                               const EvalOptions& options, ThreadPool& threads) {
  Comparison comparison(model, options, threads);
  const auto context = static_cast<size_t>(model.transformer->Config().context_length);
  size_t done = 0;
  for (const std::vector<int32_t>& text : texts) {
    if (text.size() > kv::kPageTokens + 1) {
      comparison.Read(std::span(text).first(std::min(text.size(), context)));
    }
    if (options.progress) options.progress(++done, texts.size());
  }
  std::vector<CodecDivergence> results;
  for (size_t i = 0; i < comparison.NumSubjects(); ++i) {
    const Subject& subject = comparison.GetSubject(i);
    results.push_back({subject.Name(), subject.GetSizes(), comparison.Result(i)});
  }
  if (results.front().divergence.positions == 0) {
    throw MakeError(ErrorCode::kInvalid,
                    "eval: no text has more than {} tokens, so that nothing is read from sealed pages",
                    kv::kPageTokens + 1);
  }
  return results;
}

}  // namespace throng::eval
