// Measures how far compressed caches move a model's predictions, against the same model over an f32 cache
// with exact softmax.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/codecs/prediction.h"
#include "eval/subject.h"

namespace throng::eval {

struct EvalOptions {
  std::vector<std::string> codecs;                    // as Subject takes them
  kv::SoftmaxKind softmax = kv::SoftmaxKind::kExact;  // softmax of the codecs; the reference's is exact
  // A text is read in windows of at most `context` tokens, one every `stride` tokens, each from an empty
  // cache. Where prompts begin with BOS, it replaces the first token of each: heads may rest on it. 0: the
  // model's context, but at most kMostContext; half of the context.
  int context = 0;
  int stride = 0;
  std::function<void(size_t done, size_t total)> progress = nullptr;  // after each window or question
};
inline constexpr int kMostContext = 4096;

// The positions that see at least `from` tokens, themselves included, and fewer than twice as many.
struct DistanceBand {
  int from = 0;
  size_t positions = 0;
  double kl_mean = 0.0;
  double top1 = 0.0;
};

struct Divergence {
  size_t positions = 0;  // positions compared
  double kl_mean = 0.0;  // KL(f32 || codec) of the next token's distribution, nats
  double kl_p99 = 0.0;
  double top1 = 0.0;  // share of positions where both find the same token likeliest
  double ppl = 0.0;   // perplexity over the text's own tokens
  // |decoded - x| / |x| over pages of an f32 cache whose keys lack the same bias, one block of each text.
  double error_keys = 0.0;
  double error_values = 0.0;
  std::vector<DistanceBand> bands;  // ascending, none empty
};

// Runs the reference and all codecs over the same texts, one text after the other.
class Comparison {
 public:
  Comparison(const engine::LoadedModel& model, const EvalOptions& options, ThreadPool& threads);

  // Runs a text through all caches, and compares predictions at the positions that attend to at least one
  // sealed page: from token 64 on, except the last, which nothing follows. The caches keep as much as they
  // can of the prefix shared with the previous text; that prefix is not compared again. Throws kInvalid for
  // an empty text, and for one that is longer than the model's context.
  void Read(std::span<const int32_t> text);
  // As above, but from empty caches, and compares positions from `first_compared` on.
  void ReadWindow(std::span<const int32_t> window, size_t first_compared);

  // Subject 0 is the reference: f32.
  size_t NumSubjects() const { return seen_.size(); }
  Subject& GetSubject(size_t i) { return *seen_[i]->subject; }
  // The logits after the text read last: [vocab].
  std::span<const float> LastLogits(size_t i) const;
  Divergence Result(size_t i) const;

 private:
  struct Seen {
    std::unique_ptr<Subject> subject;
    size_t exact = 0;           // index in exact_
    std::vector<float> logits;  // [kChunk, vocab]
    std::vector<double> divergences;
    std::vector<DistanceBand> bands;  // band i: from 2^i; kl_mean and top1 are sums
    double loss = 0.0;
    size_t agreements = 0;
    double square_errors[2] = {};  // sums for keys and values
  };
  // An f32 cache, for the codecs whose keys lack the same bias.
  struct Exact {
    Subject* subject;
    std::unique_ptr<Subject> owned;  // null for the reference's
    double squares[2] = {};          // sums of squares of the keys and values compared
  };
  void AddExact(Seen& seen, const engine::LoadedModel& model);
  size_t KeepPrefix(std::span<const int32_t> text);
  void Run(std::span<const int32_t> text, size_t kept, size_t first_compared);
  void Compare(size_t row, size_t position, size_t next);
  void CompareBlock(size_t exact, int block);
  void ComparePage(size_t exact, int layer, int head, kv::Part part, const uint8_t* page);

  ThreadPool& threads_;
  const size_t vocab_;
  const size_t context_;  // tokens
  std::vector<std::unique_ptr<Seen>> seen_;
  std::vector<Exact> exact_;       // the reference's first
  engine::Prediction prediction_;  // the reference's, at one position
  std::vector<int32_t> text_;      // the text read last
  size_t last_row_ = 0;            // row of the last token of text_
};

struct CodecDivergence {
  std::string kv;
  Sizes sizes;
  Divergence divergence;
};

// A part of a text that is read at once, and its first position to compare: those before it have been
// compared in the window before, where they saw more.
struct Window {
  size_t begin;
  size_t size;
  size_t first_compared;  // from `begin` on
};

// The windows of a text of num_tokens. Each position but the last, which nothing follows, is compared once,
// unless it sees less than a page. None if the text has at most 65 tokens.
std::vector<Window> WindowsOf(size_t num_tokens, size_t context, size_t stride);

// The first result is the reference's; those of the codecs follow. Texts of at most 65 tokens are left out.
// Throws kInvalid if no text is long enough, a codec does not exist, or context or stride do not fit the
// model.
std::vector<CodecDivergence> MeasureDivergence(const engine::LoadedModel& model,
                                               std::span<const std::vector<int32_t>> texts,
                                               const EvalOptions& options, ThreadPool& threads);

}  // namespace throng::eval
