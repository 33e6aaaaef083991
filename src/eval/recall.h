// Asks multiple-choice questions about a prompt, with compressed caches and with f32: how many answers does
// compression lose?
#pragma once

#include <span>
#include <string>
#include <vector>

#include "eval/divergence.h"
#include "eval/questions.h"
#include "eval/statistics.h"

namespace throng::eval {

// How far back an answer lies, in pages: from depth 1 on, its page and depth - 1 more pages after it are
// sealed.
inline constexpr int kDepths = 8;  // the last depth means kDepths - 1 or more
int DepthOf(const Question& question);

struct Depth {
  int questions = 0;
  int right = 0;
};

struct Recall {
  int questions = 0;
  double accuracy = 0.0;
  Interval accuracy_interval;
  std::vector<Depth> depths;  // [kDepths]
  int lost = 0;               // f32 answers right, the codec wrong
  int gained = 0;             // the reverse
  double mcnemar_p = 1.0;
  double difference = 0.0;  // accuracy minus f32's
  Interval difference_interval;
  // Mean length of the free answers to the same prompts, to the end of their line.
  double answer_tokens = 0.0;
  double answer_length_ratio = 1.0;    // answer_tokens over f32's
  double answer_length_changed = 0.0;  // share of the free answers whose length is not f32's
};

struct CodecRecall {
  std::string kv;
  Sizes sizes;
  Divergence divergence;  // over the prompts
  Recall recall;
};

// The first result is the reference's; those of the codecs follow. Throws kInvalid if a prompt leaves no room
// for an answer in the model's context, or a codec does not exist.
std::vector<CodecRecall> MeasureRecall(const engine::LoadedModel& model, std::span<const Question> questions,
                                       const EvalOptions& options, ThreadPool& threads);

}  // namespace throng::eval
