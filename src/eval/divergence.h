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
  std::function<void(size_t done, size_t total)> progress = nullptr;  // after each text or question
};

struct Divergence {
  size_t positions = 0;  // positions compared
  double kl_mean = 0.0;  // KL(f32 || codec) of the next token's distribution, nats
  double kl_p99 = 0.0;
  double top1 = 0.0;  // share of positions where both find the same token likeliest
  double ppl = 0.0;   // perplexity over the text's own tokens
  // |decoded - x| / |x| over pages of the reference, one block of each text.
  double error_keys = 0.0;
  double error_values = 0.0;
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

  // Subject 0 is the reference: f32.
  size_t NumSubjects() const { return seen_.size(); }
  Subject& GetSubject(size_t i) { return *seen_[i]->subject; }
  // The logits after the text read last: [vocab].
  std::span<const float> LastLogits(size_t i) const;
  Divergence Result(size_t i) const;

 private:
  struct Seen {
    std::unique_ptr<Subject> subject;
    std::vector<float> logits;  // [kChunk, vocab]
    std::vector<double> divergences;
    double loss = 0.0;
    size_t agreements = 0;
    double square_errors[2] = {};  // sums for keys and values
  };
  size_t KeepPrefix(std::span<const int32_t> text);
  void Compare(size_t row, size_t next);
  void CompareBlock(int block);

  ThreadPool& threads_;
  const size_t vocab_;
  const size_t context_;  // tokens
  std::vector<std::unique_ptr<Seen>> seen_;
  engine::Prediction prediction_;  // the reference's, at one position
  double squares_[2] = {};         // sums of squares of the reference's keys and values compared
  std::vector<int32_t> text_;      // the text read last
  size_t last_row_ = 0;            // row of the last token of text_
};

struct CodecDivergence {
  std::string kv;
  Sizes sizes;
  Divergence divergence;
};

// The first result is the reference's; those of the codecs follow. Texts are cut to the model's context;
// those of at most 65 tokens are left out. Throws kInvalid if no text is long enough, or a codec does not
// exist.
std::vector<CodecDivergence> MeasureDivergence(const engine::LoadedModel& model,
                                               std::span<const std::vector<int32_t>> texts,
                                               const EvalOptions& options, ThreadPool& threads);

}  // namespace throng::eval
