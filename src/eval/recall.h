// Questions about what a prompt said, answered by choice, with a compressed cache and with f32: how many
// answers does compression lose?
#pragma once

#include <span>
#include <string>
#include <vector>

#include "engine/local_llm.h"

namespace throng::eval {

struct Question {
  std::string prompt;
  std::vector<std::string> choices;
  std::string answer;
  int distance = 0;  // tokens from the answer's place in the prompt to its end
};

// The first `most` lines of a file of JSON objects (0: all). Throws kIo or kCorrupt with the line.
std::vector<Question> ReadQuestions(const std::string& path, size_t most);

inline constexpr int kBucketEnds[] = {64, 128, 192, 256, 384, 1 << 30};  // distances below these

struct Bucket {
  int questions = 0;
  int right = 0;
};

struct Recall {
  std::string kv;
  int questions = 0;
  double accuracy = 0.0;
  std::vector<Bucket> buckets;  // as kBucketEnds
  int lost = 0;                 // f32 answers right, the codec wrong
  int gained = 0;               // the reverse
  // Of accuracy - f32's accuracy, 95 %, from the questions on which the two differ.
  double difference_low = 0.0;
  double difference_high = 0.0;
  double length_mean = 0.0;   // tokens of the free answers to the same prompts
  double length_ratio = 1.0;  // to f32's
  double bytes_per_token = 0.0;
  double ratio_to_f16 = 0.0;
};

// options.kv is set to f32 and to each codec in turn.
std::vector<Recall> MeasureRecall(const engine::LocalOptions& options, std::span<const Question> questions,
                                  std::span<const std::string> codecs);

}  // namespace throng::eval
