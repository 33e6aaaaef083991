#include "eval/recall.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "base/error.h"
#include "engine/sampling/constraint_cache.h"
#include "engine/sampling/sampler.h"
#include "model/config.h"

namespace throng::eval {
namespace {

constexpr int kFreeTokens = 32;  // most tokens of a free answer

// The answers of one subject.
struct Answers {
  std::vector<bool> right;
  std::vector<int> lengths;  // lengths of the free answers
};

class Examiner {
 public:
  Examiner(const engine::LoadedModel& model, const EvalOptions& options, ThreadPool& threads)
      : model_(model),
        comparison_(model, options, threads),
        vocabulary_(model.MakeVocabulary()),
        constraints_(vocabulary_),
        mask_(vocabulary_->MaskWords()),
        row_(vocabulary_->NumTokens()),
        answers_(comparison_.NumSubjects()) {}

  void Ask(const Question& question) {
    const std::vector<int32_t> prompt = model_.Encode(engine::ChatOf("", question.prompt));
    const int context = model_.transformer->Config().context_length;
    if (static_cast<int>(prompt.size()) + kFreeTokens > context) {
      throw MakeError(
          ErrorCode::kInvalid,
          "eval: a question of {} tokens and an answer of {} do not fit the model's context of {}; "
          "shorter ones can be given with --text",
          prompt.size(), kFreeTokens, context);
    }
    comparison_.Read(prompt);
    const auto constraint = constraints_.Get({.choices = question.choices, .json_schema = {}});
    for (size_t i = 0; i < answers_.size(); ++i) {
      answers_[i].right.push_back(Choose(i, constraint) == question.answer);
      answers_[i].lengths.push_back(WriteFreely(i));
    }
  }

  std::vector<CodecRecall> Results(std::span<const Question> questions) {
    std::vector<CodecRecall> results;
    for (size_t i = 0; i < answers_.size(); ++i) {
      const Subject& subject = comparison_.GetSubject(i);
      results.push_back({subject.Name(), subject.GetSizes(), comparison_.Result(i), Evaluate(questions, i)});
    }
    return results;
  }

 private:
  int32_t Likeliest(std::span<const float> logits, std::span<const uint64_t> mask) {
    return sampler_.Sample(logits, mask, {}, {.temperature = 0.0f}, 0);
  }

  // The text of the likeliest allowed tokens, chosen one after the other.
  std::string Choose(size_t i, const std::shared_ptr<engine::Constraint>& constraint) {
    Subject& subject = comparison_.GetSubject(i);
    std::optional<kv::SequenceCache> cache = subject.Cache().Fork();
    if (!cache) throw MakeError(ErrorCode::kExhausted, "eval: the cache of {} has no room", subject.Name());
    engine::Matcher matcher(constraint);
    std::string text;
    std::span<const float> logits = comparison_.LastLogits(i);
    while (!matcher.OnlyEndIsLeft()) {
      matcher.AllowedTokens(mask_);
      const int32_t token = Likeliest(logits, mask_);
      if (token < 0 || !matcher.Accept(token) || matcher.IsFinished()) break;
      text += vocabulary_->Bytes(token);
      if (matcher.OnlyEndIsLeft()) break;
      subject.Forward({&token, 1}, *cache, 1, row_.data());
      logits = row_;
    }
    return text;
  }

  // The number of tokens in the answer's first line.
  int WriteFreely(size_t i) {
    Subject& subject = comparison_.GetSubject(i);
    std::span<const float> logits = comparison_.LastLogits(i);
    for (int length = 0; length < kFreeTokens; ++length) {
      const int32_t token = Likeliest(logits, {});
      if (token < 0 || vocabulary_->IsEndOfGeneration(token) ||
          vocabulary_->Bytes(token).find('\n') != std::string::npos) {
        return length;
      }
      subject.Forward({&token, 1}, subject.Cache(), 1, row_.data());
      logits = row_;
    }
    return kFreeTokens;
  }

  Recall Evaluate(std::span<const Question> questions, size_t subject) const {
    const Answers& answers = answers_[subject];
    const Answers& reference = answers_[0];
    const auto n = static_cast<double>(questions.size());
    Recall recall;
    recall.questions = static_cast<int>(questions.size());
    recall.depths.resize(kDepths);
    int right = 0, changed = 0;
    double tokens = 0.0, reference_tokens = 0.0;
    for (size_t q = 0; q < questions.size(); ++q) {
      Depth& depth = recall.depths[static_cast<size_t>(DepthOf(questions[q]))];
      ++depth.questions;
      depth.right += answers.right[q];
      right += answers.right[q];
      recall.lost += reference.right[q] && !answers.right[q];
      recall.gained += !reference.right[q] && answers.right[q];
      tokens += answers.lengths[q];
      reference_tokens += reference.lengths[q];
      changed += answers.lengths[q] != reference.lengths[q];
    }
    recall.accuracy = right / n;
    recall.accuracy_interval = WilsonInterval(right, recall.questions);
    recall.mcnemar_p = McNemarP(recall.lost, recall.gained);
    recall.difference = (recall.gained - recall.lost) / n;
    recall.difference_interval = PairedInterval(recall.lost, recall.gained, recall.questions);
    recall.answer_tokens = tokens / n;
    recall.answer_length_ratio = reference_tokens == 0.0 ? 1.0 : tokens / reference_tokens;
    recall.answer_length_changed = changed / n;
    return recall;
  }

  const engine::LoadedModel& model_;
  Comparison comparison_;
  const std::shared_ptr<const engine::Vocabulary> vocabulary_;
  engine::ConstraintCache constraints_;
  engine::Sampler sampler_;
  std::vector<uint64_t> mask_;
  std::vector<float> row_;  // [vocab]
  std::vector<Answers> answers_;
};

}  // namespace

int DepthOf(const Question& question) {
  return std::clamp(question.distance / kv::kPageTokens, 0, kDepths - 1);
}

std::vector<CodecRecall> MeasureRecall(const engine::LoadedModel& model, std::span<const Question> questions,
                                       const EvalOptions& options, ThreadPool& threads) {
  Examiner examiner(model, options, threads);
  for (size_t i = 0; i < questions.size(); ++i) {
    examiner.Ask(questions[i]);
    if (options.progress) options.progress(i + 1, questions.size());
  }
  return examiner.Results(questions);
}

}  // namespace throng::eval
