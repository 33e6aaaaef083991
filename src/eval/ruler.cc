#include "eval/ruler.h"

#include <algorithm>
#include <cctype>
#include <memory>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/rng.h"
#include "engine/codecs/prediction.h"
#include "engine/sampling/constrain.h"
#include "model/config.h"

namespace throng::eval {
namespace {

// Most tokens of an answer: for each word that it should have, and to begin.
constexpr int kTokensPerWord = 6, kSpareTokens = 8;
// Single needles stand at these many depths in turn, so that few samples cover the text, too.
constexpr int kNeedleDepths = 5;

int AnswerRoom(size_t num_words) { return kTokensPerWord * static_cast<int>(num_words) + kSpareTokens; }

bool IsWordPart(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

char Lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }

kv::SequenceCache Copied(const kv::SequenceCache& cache, const std::string& name) {
  std::optional<kv::SequenceCache> copy = cache.Fork();
  if (!copy) throw MakeError(ErrorCode::kExhausted, "eval: the cache of {} has no room", name);
  return std::move(*copy);
}

class Examiner {
 public:
  Examiner(const engine::LoadedModel& model, const RulerOptions& options, ThreadPool& threads)
      : model_(model),
        options_(options),
        vocab_(static_cast<size_t>(model.transformer->Config().vocab_size)),
        vocabulary_(model.MakeVocabulary()) {
    subjects_.push_back(std::make_unique<Subject>("f32", kv::SoftmaxKind::kExact, model, threads));
    for (const std::string& codec : options.codecs) {
      subjects_.push_back(std::make_unique<Subject>(codec, options.softmax, model, threads));
    }
  }

  void Ask(const RulerItem& item, RulerTask task, int length, int sample) {
    std::vector<std::vector<int32_t>> prompts;
    for (const RulerQuestion& question : item.questions) {
      prompts.push_back(Prompt(item.text + "\n" + question.text + "\n", question.start));
    }
    // The tokens that do not depend on the question. Each prompt has more.
    const std::vector<int32_t> other = Prompt(item.text + "\n", "");
    size_t common = other.size();
    for (const std::vector<int32_t>& prompt : prompts) common = std::min(common, SharedPrefix(prompt, other));
    const std::span<const int32_t> text(prompts[0].data(), common);
    for (const auto& subject : subjects_) {
      subject->Cache().Release();
      if (subject == subjects_[0] || options_.exact == ExactPart::kNone) {
        subject->Read(text, subject->Cache(), {});
      } else if (options_.exact == ExactPart::kText) {
        subject->Encode(subjects_[0]->Cache(), subject->Cache());
      }
    }
    for (size_t q = 0; q < prompts.size(); ++q) {
      RulerResult result{task,
                         length,
                         sample,
                         static_cast<int>(prompts[q].size()),
                         item.questions[q].text,
                         item.questions[q].words,
                         {}};
      Answer(std::span(prompts[q]).subspan(common), result);
      run_.results.push_back(std::move(result));
    }
  }

  // All tokens of a prompt: of the user's message in the model's frame, and the start of the answer.
  std::vector<int32_t> Prompt(const std::string& message, const std::string& start) const {
    std::vector<int32_t> tokens = model_.Encode(engine::ChatOf("", message));
    const std::vector<int32_t> begun = model_.tokenizer->Encode(start);
    tokens.insert(tokens.end(), begun.begin(), begun.end());
    return tokens;
  }

  RulerRun Take() {
    for (const auto& subject : subjects_) run_.subjects.push_back({subject->Name(), subject->GetSizes()});
    return std::move(run_);
  }

 private:
  static size_t SharedPrefix(std::span<const int32_t> a, std::span<const int32_t> b) {
    const auto differs = std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first;
    return static_cast<size_t>(differs - a.begin());
  }

  // rest: the prompt after what the caches hold.
  void Answer(std::span<const int32_t> rest, RulerResult& result) {
    const int most = AnswerRoom(result.words.size());
    std::vector<int32_t> expected;          // f32's answer
    std::vector<float> expected_logits;     // [expected.size() + 1, vocab]: of each place, and the end
    std::optional<kv::SequenceCache> read;  // f32's, with the whole prompt
    for (const auto& subject : subjects_) {
      const bool is_reference = subject == subjects_[0];
      std::vector<float> logits(vocab_);
      kv::SequenceCache cache = Copied(subject->Cache(), subject->Name());
      if (is_reference || options_.exact != ExactPart::kPrompt) {
        subject->Read(rest, cache, logits);
        if (is_reference) read.emplace(Copied(cache, subject->Name()));
      } else {
        subject->Encode(*read, cache);
        logits.assign(expected_logits.begin(), expected_logits.begin() + static_cast<ptrdiff_t>(vocab_));
      }
      RulerAnswer answer;
      if (!is_reference) answer.kl = Divergence(*subject, cache, logits, expected, expected_logits);
      std::vector<int32_t> tokens;
      for (int i = 0;; ++i) {
        if (is_reference) expected_logits.insert(expected_logits.end(), logits.begin(), logits.end());
        const auto best =
            static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
        const bool ends =
            vocabulary_->IsEndOfGeneration(best) || vocabulary_->Bytes(best).find('\n') != std::string::npos;
        if (ends || i == most) break;
        tokens.push_back(best);
        subject->Forward({&best, 1}, cache, 1, logits.data());
      }
      if (is_reference) expected = tokens;
      for (const int32_t token : tokens) answer.text += vocabulary_->Bytes(token);
      answer.num_tokens = static_cast<int>(tokens.size());
      for (const RulerWord& word : result.words) answer.found.push_back(HasWord(answer.text, word.word));
      result.answers.push_back(std::move(answer));
    }
  }

  // Mean KL over the places of f32's answer, which a copy of the cache reads. first: logits of the first
  // place.
  double Divergence(Subject& subject, const kv::SequenceCache& cache, std::span<const float> first,
                    std::span<const int32_t> expected, std::span<const float> expected_logits) {
    std::vector<float> logits(first.begin(), first.end());
    logits.resize((expected.size() + 1) * vocab_);
    kv::SequenceCache copy = Copied(cache, subject.Name());
    for (size_t begin = 0; begin < expected.size(); begin += kChunk) {
      const auto chunk = expected.subspan(begin, std::min<size_t>(kChunk, expected.size() - begin));
      subject.Forward(chunk, copy, static_cast<int>(chunk.size()), logits.data() + (begin + 1) * vocab_);
    }
    double sum = 0.0;
    for (size_t i = 0; i <= expected.size(); ++i) {
      const std::span<const float> exact = expected_logits.subspan(i * vocab_, vocab_);
      const std::span<const float> actual(logits.data() + i * vocab_, vocab_);
      prediction_.Set(exact, engine::LogSum(exact));
      sum += prediction_.Divergence(actual, engine::LogSum(actual));
    }
    return sum / static_cast<double>(expected.size() + 1);
  }

  const engine::LoadedModel& model_;
  const RulerOptions& options_;
  const size_t vocab_;
  const std::shared_ptr<const engine::Vocabulary> vocabulary_;
  std::vector<std::unique_ptr<Subject>> subjects_;
  engine::Prediction prediction_;
  RulerRun run_;
};

}  // namespace

ExactPart ParseExactPart(std::string_view name) {
  if (name == "none") return ExactPart::kNone;
  if (name == "text") return ExactPart::kText;
  if (name == "prompt") return ExactPart::kPrompt;
  throw MakeError(ErrorCode::kInvalid, "eval: --exact is \"{}\", allowed is none, text or prompt", name);
}

bool HasWord(std::string_view text, std::string_view word) {
  const auto same = [](char a, char b) { return Lower(a) == Lower(b); };
  for (auto at = text.begin(); !word.empty();) {
    at = std::search(at, text.end(), word.begin(), word.end(), same);
    if (at == text.end()) return false;
    const auto end = at + static_cast<ptrdiff_t>(word.size());
    if ((at == text.begin() || !IsWordPart(at[-1])) && (end == text.end() || !IsWordPart(*end))) return true;
    ++at;
  }
  return false;
}

RulerRun RunRuler(const engine::LoadedModel& model, const std::string& path, const RulerOptions& options,
                  ThreadPool& threads) {
  const RulerWriter writer(path);
  const int context = model.transformer->Config().context_length;
  for (const int length : options.lengths) {
    if (length < 1 || length > context) {
      throw MakeError(ErrorCode::kInvalid,
                      "eval: a prompt of {} tokens, allowed is 1 to {}, the model's context", length,
                      context);
    }
  }
  Examiner examiner(model, options, threads);
  const RulerWriter::Measure measure = [&](const std::string& message, const std::string& start) {
    return examiner.Prompt(message, start).size();
  };
  const size_t total =
      options.lengths.size() * options.tasks.size() * static_cast<size_t>(std::max(0, options.samples));
  size_t done = 0;
  for (const int length : options.lengths) {
    for (const RulerTask task : options.tasks) {
      for (int sample = 0; sample < options.samples; ++sample) {
        const double depth = (sample % kNeedleDepths + 0.5) / kNeedleDepths;
        const uint64_t seed = CounterRng(options.seed, sample).At(0);
        const int room = std::max(0, length - AnswerRoom(RulerWriter::WordsOfAnswer(task)));
        examiner.Ask(writer.Make(task, static_cast<size_t>(room), depth, seed, measure), task, length,
                     sample);
        if (options.progress) options.progress(++done, total);
      }
    }
  }
  return examiner.Take();
}

}  // namespace throng::eval
