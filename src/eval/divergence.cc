#include "eval/divergence.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/check.h"
#include "base/error.h"
#include "kv/codec.h"
#include "kv/layer_codecs.h"
#include "model/config.h"
#include "model/tokenizer/tokenizer.h"

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
    AddExact(*seen_.back(), model);
  };
  add("f32", kv::SoftmaxKind::kExact);
  for (const std::string& codec : options.codecs) add(codec, options.softmax);
}

void Comparison::AddExact(Seen& seen, const engine::LoadedModel& model) {
  const kv::KeyBias bias = seen.subject->Cache().Layout().key_bias;
  for (; seen.exact < exact_.size(); ++seen.exact) {
    if (exact_[seen.exact].subject->Cache().Layout().key_bias == bias) return;
  }
  Exact exact{seen.subject.get(), nullptr, {}};
  if (!exact_.empty()) {
    exact.owned =
        std::make_unique<Subject>(kv::WithKeyBias("f32", bias), kv::SoftmaxKind::kExact, model, threads_);
    exact.subject = exact.owned.get();
  }
  exact_.push_back(std::move(exact));
}

void Comparison::Read(std::span<const int32_t> text) {
  if (text.empty() || text.size() > context_) {
    throw MakeError(ErrorCode::kInvalid, "eval: a text of {} tokens, allowed: 1 to {}, the model's context",
                    text.size(), context_);
  }
  const auto differs = std::mismatch(text.begin(), text.end(), text_.begin(), text_.end()).first;
  const size_t seen_before = static_cast<size_t>(differs - text.begin());
  Run(text, KeepPrefix(text.first(std::min(seen_before, text.size() - 1))), seen_before);
}

void Comparison::ReadWindow(std::span<const int32_t> window, size_t first_compared) {
  Run(window, KeepPrefix({}), first_compared);
}

// Reads the text after the first `kept` tokens, which the caches hold.
void Comparison::Run(std::span<const int32_t> text, size_t kept, size_t first_compared) {
  for (size_t first = kept; first < text.size(); first += kChunk) {
    const auto chunk = text.subspan(first, std::min<size_t>(kChunk, text.size() - first));
    for (const auto& seen : seen_) {
      seen->subject->Forward(chunk, seen->subject->Cache(), static_cast<int>(chunk.size()),
                             seen->logits.data());
    }
    for (const Exact& exact : exact_) {
      if (exact.owned != nullptr) exact.owned->Forward(chunk, exact.owned->Cache(), 0, nullptr);
    }
    for (size_t row = 0; row < chunk.size(); ++row) {
      const size_t position = first + row;
      if (position < std::max<size_t>(kv::kPageTokens, first_compared) || position + 1 >= text.size()) {
        continue;
      }
      Compare(row, position, static_cast<size_t>(text[position + 1]));
    }
    last_row_ = chunk.size() - 1;
  }
  text_.assign(text.begin(), text.end());
  const size_t blocks = text.size() / kv::kPageTokens;
  if (blocks <= first_compared / kv::kPageTokens) return;
  for (size_t exact = 0; exact < exact_.size(); ++exact) CompareBlock(exact, static_cast<int>(blocks) - 1);
}

// Cuts the caches to this prefix, or to less if it ends within a sealed page. Returns the number of tokens
// kept.
size_t Comparison::KeepPrefix(std::span<const int32_t> text) {
  std::vector<kv::SequenceCache*> caches;
  for (const auto& seen : seen_) caches.push_back(&seen->subject->Cache());
  for (const Exact& exact : exact_) caches.push_back(&exact.subject->Cache());
  int kept = static_cast<int>(text.size());
  for (kv::SequenceCache* cache : caches)
    kept = std::min(kept, cache->Truncate(std::min(kept, cache->NumTokens())));
  // All caches seal at the same places, but one that was ahead may have kept less.
  for (kv::SequenceCache* cache : caches) kept = std::min(kept, cache->Truncate(kept));
  return static_cast<size_t>(kept);
}

// Compares one row of all logits. next: the token that follows in the text.
void Comparison::Compare(size_t row, size_t position, size_t next) {
  const size_t band = static_cast<size_t>(std::bit_width(position + 1)) - 1;
  const std::span<const float> expected(seen_[0]->logits.data() + row * vocab_, vocab_);
  const double log_sum = engine::LogSum(expected);
  prediction_.Set(expected, log_sum);
  const size_t likeliest = ArgMax(expected);
  for (const auto& seen : seen_) {
    const std::span<const float> actual(seen->logits.data() + row * vocab_, vocab_);
    const double actual_log_sum = seen == seen_[0] ? log_sum : engine::LogSum(actual);
    const double divergence = prediction_.Divergence(actual, actual_log_sum);
    const bool agrees = ArgMax(actual) == likeliest;
    seen->divergences.push_back(divergence);
    seen->loss -= actual[next] - actual_log_sum;
    seen->agreements += agrees;
    while (seen->bands.size() <= band) seen->bands.push_back({.from = 1 << seen->bands.size()});
    ++seen->bands[band].positions;
    seen->bands[band].kl_mean += divergence;
    seen->bands[band].top1 += agrees;
  }
}

// Measures what encoding alone does: takes the exact pages of one block through each of their codecs and
// back.
void Comparison::CompareBlock(size_t exact_index, int block) {
  const kv::SequenceCache& reference = exact_[exact_index].subject->Cache();
  const kv::BlockLayout& layout = reference.Layout();
  for (int layer = 0; layer < layout.NumLayers(); ++layer) {
    for (int head = 0; head < layout.layers[static_cast<size_t>(layer)].num_kv_heads; ++head) {
      const kv::PageView view = reference.Sealed(layer, head, block);
      for (const kv::Part part : layout.At(layer, head).Parts()) {
        ComparePage(exact_index, layer, head, part, part == kv::Part::kKeys ? view.keys : view.values);
      }
    }
  }
}

// page: of the reference.
void Comparison::ComparePage(size_t exact_index, int layer, int head, kv::Part part, const uint8_t* page) {
  Exact& of = exact_[exact_index];
  const bool keys = part == kv::Part::kKeys;
  const auto codec_of = [&](Subject& subject) {
    const kv::PageSpec& spec = subject.Cache().Layout().At(layer, head);
    return keys ? spec.keys : spec.values;
  };
  const kv::LayerShape& shape = of.subject->Cache().Layout().layers[static_cast<size_t>(layer)];
  std::vector<float> exact(static_cast<size_t>(kv::kPageTokens * (keys ? shape.key_dim : shape.value_dim)));
  std::vector<float> decoded(exact.size());
  const auto bytes = std::make_unique<Aligned[]>(exact.size() * sizeof(float) / sizeof(Aligned) + 16);
  codec_of(*of.subject)->Decode(part, page, exact.data());
  for (const float x : exact) of.squares[!keys] += static_cast<double>(x) * x;
  for (const auto& seen : seen_) {
    if (seen->exact != exact_index) continue;
    const kv::Codec* codec = codec_of(*seen->subject);
    THRONG_CHECK(codec->Bytes(part) <= exact.size() * sizeof(float) + 15 * sizeof(Aligned));
    codec->Encode(part, exact.data(), bytes[0].bytes);
    codec->Decode(part, bytes[0].bytes, decoded.data());
    for (size_t i = 0; i < exact.size(); ++i) {
      const double error = static_cast<double>(decoded[i]) - exact[i];
      seen->square_errors[!keys] += error * error;
    }
  }
}

std::span<const float> Comparison::LastLogits(size_t i) const {
  return {seen_[i]->logits.data() + last_row_ * vocab_, vocab_};
}

Divergence Comparison::Result(size_t i) const {
  const Seen& seen = *seen_[i];
  Divergence result;
  result.positions = seen.divergences.size();
  if (seen.divergences.empty()) return result;
  const engine::KlFigures kl = engine::FiguresOf(seen.divergences);
  result.kl_mean = kl.mean;
  result.kl_p99 = kl.p99;
  const auto n = static_cast<double>(result.positions);
  result.top1 = static_cast<double>(seen.agreements) / n;
  result.ppl = std::exp(seen.loss / n);
  for (DistanceBand band : seen.bands) {
    if (band.positions == 0) continue;
    band.kl_mean /= static_cast<double>(band.positions);
    band.top1 /= static_cast<double>(band.positions);
    result.bands.push_back(band);
  }
  result.error_keys = std::sqrt(seen.square_errors[0] / std::max(exact_[seen.exact].squares[0], 1e-30));
  result.error_values = std::sqrt(seen.square_errors[1] / std::max(exact_[seen.exact].squares[1], 1e-30));
  return result;
}

std::vector<Window> WindowsOf(size_t num_tokens, size_t context, size_t stride) {
  std::vector<Window> windows;
  size_t compared = 0;  // the text's positions before this one have been compared
  for (size_t begin = 0; begin + kv::kPageTokens + 1 < num_tokens; begin += stride) {
    const size_t size = std::min(context, num_tokens - begin);
    if (begin + size - 1 <= compared) break;
    windows.push_back({begin, size, compared > begin ? compared - begin : 0});
    compared = begin + size - 1;
  }
  return windows;
}

std::vector<CodecDivergence> MeasureDivergence(const engine::LoadedModel& model,
                                               std::span<const std::vector<int32_t>> texts,
                                               const EvalOptions& options, ThreadPool& threads) {
  const int most = model.transformer->Config().context_length;
  const int context = options.context != 0 ? options.context : std::min(most, kMostContext);
  const int stride = options.stride != 0 ? options.stride : std::max(1, context / 2);
  if (context <= kv::kPageTokens + 1 || context > most) {
    throw MakeError(ErrorCode::kInvalid, "eval: a context of {} tokens, allowed is {} to {}, the model's",
                    context, kv::kPageTokens + 2, most);
  }
  if (stride < 1 || stride > context) {
    throw MakeError(ErrorCode::kInvalid, "eval: a stride of {} tokens, allowed is 1 to {}, the context",
                    stride, context);
  }
  Comparison comparison(model, options, threads);
  std::vector<std::vector<Window>> windows;
  size_t total = 0;
  for (const std::vector<int32_t>& text : texts) {
    windows.push_back(WindowsOf(text.size(), static_cast<size_t>(context), static_cast<size_t>(stride)));
    total += windows.back().size();
  }
  size_t done = 0;
  for (size_t i = 0; i < texts.size(); ++i) {
    for (const Window& window : windows[i]) {
      std::vector<int32_t> tokens(texts[i].begin() + static_cast<ptrdiff_t>(window.begin),
                                  texts[i].begin() + static_cast<ptrdiff_t>(window.begin + window.size));
      if (model.tokenizer->AddsBos()) tokens.front() = model.tokenizer->Bos();
      // Texts that fit into one window often begin alike, as prompts do.
      if (windows[i].size() == 1) {
        comparison.Read(tokens);
      } else {
        comparison.ReadWindow(tokens, window.first_compared);
      }
      if (options.progress) options.progress(++done, total);
    }
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
