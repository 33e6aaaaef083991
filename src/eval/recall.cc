#include "eval/recall.h"

#include <algorithm>
#include <cmath>
#include <future>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "base/error.h"
#include "base/mapped_file.h"

namespace throng::eval {
namespace {

constexpr int kFreeTokens = 32;  // most tokens of a free answer

struct Answers {
  std::vector<bool> right;
  double free_tokens = 0.0;  // all together
  double bytes_per_token = 0.0;
  double ratio_to_f16 = 0.0;
};

std::future<engine::EngineResult> Ask(engine::LocalLlm& llm, const Question& question, bool free) {
  engine::EngineRequest request;
  const model::ChatMessage message{"user", question.prompt};
  request.prompt = llm.EncodeChat({&message, 1});
  request.max_tokens = kFreeTokens;
  if (!free) request.constraint = llm.Compile({.choices = question.choices, .json_schema = {}});
  const auto done = std::make_shared<std::promise<engine::EngineResult>>();
  request.on_done = [done](engine::EngineResult result) { done->set_value(std::move(result)); };
  std::future<engine::EngineResult> result = done->get_future();
  llm.GetEngine().Submit(std::move(request));
  return result;
}

Answers AskAll(engine::LocalOptions options, std::span<const Question> questions, const std::string& codec) {
  options.kv = codec;
  const auto llm = engine::MakeLocalLlm(options);
  std::vector<std::future<engine::EngineResult>> chosen, written;
  for (const Question& question : questions) {
    chosen.push_back(Ask(*llm, question, false));
    written.push_back(Ask(*llm, question, true));
  }
  Answers answers;
  for (size_t i = 0; i < questions.size(); ++i) {
    const engine::EngineResult choice = chosen[i].get();
    if (choice.error) throw *choice.error;
    const engine::EngineResult text = written[i].get();
    if (text.error) throw *text.error;
    answers.right.push_back(choice.text == questions[i].answer);
    answers.free_tokens += static_cast<double>(text.tokens.size());
  }
  answers.bytes_per_token = llm->KvBytesPerToken();
  answers.ratio_to_f16 = llm->F16BytesPerToken() / llm->KvBytesPerToken();
  return answers;
}

Recall Evaluate(const std::string& codec, std::span<const Question> questions, const Answers& reference,
                const Answers& answers) {
  Recall recall;
  recall.kv = codec;
  recall.questions = static_cast<int>(questions.size());
  recall.buckets.resize(std::size(kBucketEnds));
  int right = 0;
  for (size_t i = 0; i < questions.size(); ++i) {
    const int* end =
        std::upper_bound(std::begin(kBucketEnds), std::end(kBucketEnds) - 1, questions[i].distance);
    Bucket& bucket = recall.buckets[static_cast<size_t>(end - std::begin(kBucketEnds))];
    ++bucket.questions;
    bucket.right += answers.right[i];
    right += answers.right[i];
    recall.lost += reference.right[i] && !answers.right[i];
    recall.gained += !reference.right[i] && answers.right[i];
  }
  const auto n = static_cast<double>(questions.size());
  recall.accuracy = right / n;
  const double difference = (recall.gained - recall.lost) / n;
  // Normal approximation for paired proportions.
  const double margin =
      1.96 * std::sqrt(std::max(0.0, (recall.gained + recall.lost) / n - difference * difference) / n);
  recall.difference_low = difference - margin;
  recall.difference_high = difference + margin;
  recall.length_mean = answers.free_tokens / n;
  recall.length_ratio = answers.free_tokens / std::max(1.0, reference.free_tokens);
  recall.bytes_per_token = answers.bytes_per_token;
  recall.ratio_to_f16 = answers.ratio_to_f16;
  return recall;
}

}  // namespace

std::vector<Question> ReadQuestions(const std::string& path, size_t most) {
  std::istringstream lines(ReadFile(path));
  std::vector<Question> questions;
  std::string line;
  for (int number = 1; (most == 0 || questions.size() < most) && std::getline(lines, line); ++number) {
    if (line.empty()) continue;
    try {
      const nlohmann::json object = nlohmann::json::parse(line);
      questions.push_back({.prompt = object.at("prompt").get<std::string>(),
                           .choices = object.at("choices").get<std::vector<std::string>>(),
                           .answer = object.at("answer").get<std::string>(),
                           .distance = object.at("distance").get<int>()});
    } catch (const nlohmann::json::exception& error) {
      throw MakeError(ErrorCode::kCorrupt, "{}:{}: no question: {}", path, number, error.what());
    }
  }
  if (questions.empty()) throw MakeError(ErrorCode::kCorrupt, "{}: holds no questions", path);
  return questions;
}

std::vector<Recall> MeasureRecall(const engine::LocalOptions& options, std::span<const Question> questions,
                                  std::span<const std::string> codecs) {
  const Answers reference = AskAll(options, questions, "f32");
  std::vector<Recall> results;
  for (const std::string& codec : codecs) {
    results.push_back(Evaluate(codec, questions, reference,
                               codec == "f32" ? reference : AskAll(options, questions, codec)));
  }
  return results;
}

}  // namespace throng::eval
