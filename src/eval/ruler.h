// Runs the tasks of eval/ruler_text.h: how many of the words that a long prompt gives does a model still
// find, over compressed caches and over f32?
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "eval/ruler_text.h"
#include "eval/subject.h"

namespace throng::eval {

// What is attended to in f32 and only then encoded. The rest, as in the engine, attends to sealed pages in
// their codes.
enum class ExactPart {
  kNone,
  kText,    // the text; the question and the answer read codes
  kPrompt,  // text and question, as in the papers; only the answer reads codes, and its first token does not
};
// "none", "text" or "prompt"; throws kInvalid for another.
ExactPart ParseExactPart(std::string_view name);

struct RulerOptions {
  std::vector<std::string> codecs;  // as Subject takes them
  kv::SoftmaxKind softmax = kv::SoftmaxKind::kExact;
  ExactPart exact = ExactPart::kNone;
  std::vector<RulerTask> tasks;
  std::vector<int> lengths;  // tokens of the prompt and the longest answer
  int samples = 10;          // texts of each task and length
  uint64_t seed = 1;
  std::function<void(size_t done, size_t total)> progress = nullptr;  // after each text
};

// One codec's answer to one question.
struct RulerAnswer {
  std::string text;         // up to the end of its line
  int num_tokens = 0;       // of it
  std::vector<bool> found;  // each of the question's words is a word of the text
  double kl = 0.0;          // mean KL(f32 || codec) over the places of f32's answer, nats
};

struct RulerResult {
  RulerTask task;
  int length;
  int sample;
  int prompt_tokens;
  std::string question;
  std::vector<RulerWord> words;
  std::vector<RulerAnswer> answers;  // of the subjects in their order
};

struct RulerRun {
  struct Codec {
    std::string kv;
    Sizes sizes;
  };
  std::vector<Codec> subjects;  // the first is the reference, f32 with exact softmax
  std::vector<RulerResult> results;
};

// path: the words, as RulerWriter reads them. Throws kInvalid if a length does not fit the model's context or
// is too short for a task, or a codec does not exist.
RulerRun RunRuler(const engine::LoadedModel& model, const std::string& path, const RulerOptions& options,
                  ThreadPool& threads);

// Whether `word` stands in the text as a word of its own, whatever the case of its letters.
bool HasWord(std::string_view text, std::string_view word);

}  // namespace throng::eval
