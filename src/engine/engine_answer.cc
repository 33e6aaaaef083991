// Answers: sampling, guesses that came true, texts, and the end.
#include <algorithm>

#include "base/check.h"
#include "base/thread_pool.h"
#include "engine/engine_impl.h"

namespace throng::engine {

void Engine::Impl::SampleRow(size_t row, int worker) {
  Sequence& sequence = *rows_[row].sequence;
  if (rows_[row].drawn != nullptr) {
    sampled_[row] = rows_[row].drawn[rows_[row].Index()];
    return;
  }
  const size_t vocab = vocabulary_->NumTokens();
  const llm::Sampling& sampling = sequence.request.sampling;
  const auto logits = [&] { return std::span(rows_[row].logits + rows_[row].Index() * vocab, vocab); };
  const auto sample = [&](std::span<const uint64_t> mask) {
    return samplers_[static_cast<size_t>(worker)].Sample(logits(), mask, sequence.tokens, sampling,
                                                         sequence.NumAnswer(), sequence.request.rules);
  };
  int32_t& token = sampled_[row];
  const std::optional<int32_t> end_of_thought =
      sequence.thought ? sequence.thought->Next(sequence.NumAnswer(), sequence.text.Text(), *sequence.matcher)
                       : std::nullopt;
  if (end_of_thought) {
    token = *end_of_thought;
  } else if (!sequence.matcher || sampling.temperature == 0)
    token = sample({});
  // The most likely of all tokens, if it is allowed, is the most likely of those, and saves making a mask.
  if (!end_of_thought && sequence.matcher &&
      !(sampling.temperature == 0 && sequence.matcher->Allows(token))) {
    std::vector<uint64_t>& mask = masks_[static_cast<size_t>(worker)];
    sequence.matcher->AllowedTokens(mask);
    token = sample(mask);
  }
  if (sequence.request.logprobs && token >= 0) {
    sequence.logprobs.push_back(
        logprob_makers_[static_cast<size_t>(worker)].Make(logits(), token, *sequence.request.logprobs));
  }
}

void Engine::Impl::SampleRows() {
  const size_t vocab = vocabulary_->NumTokens();
  for (const Row& row : rows_) {
    const Sequence& sequence = *row.sequence;
    if (sequence.request.on_logits) {
      sequence.request.on_logits(sequence.NumAnswer(), {row.logits + row.Index() * vocab, vocab});
    }
  }
  sampled_.resize(rows_.size());
  // Below this, waking the threads costs more than the work.
  constexpr size_t kParallelLogits = 1 << 15;
  if (rows_.size() * vocab >= kParallelLogits) {
    threads_.ParallelFor(rows_.size(), [this](size_t row, int worker) { SampleRow(row, worker); });
  } else {
    for (size_t row = 0; row < rows_.size(); ++row) SampleRow(row, 0);
  }
}

// Samples a token of each sequence as if the pass had made no guesses, and goes on with those whose guess was
// that token: the next row then has the logits of a pass over it.
void Engine::Impl::Decode() {
  while (!rows_.empty()) {
    SampleRows();
    size_t num_left = 0;
    for (size_t i = 0; i < rows_.size(); ++i) {
      const Row row = rows_[i];
      CountGuess(row, sampled_[i]);
      if (!Advance(*row.sequence, sampled_[i])) continue;
      const Sequence& sequence = *row.sequence;
      const std::span<const int32_t> taken = std::span(sequence.tokens).subspan(row.num_tokens);
      const std::vector<int32_t>& guesses = sequence.guesses.tokens;
      const auto wrong = std::mismatch(guesses.begin(), guesses.end(), taken.begin(), taken.end());
      if (wrong.second == taken.end()) {
        rows_[num_left++] = row;
      } else {
        row.sequence->cache.Truncate(static_cast<int>(row.num_tokens) +
                                     static_cast<int>(wrong.first - guesses.begin()));
        row.sequence->guesses.Clear();
      }
    }
    rows_.resize(num_left);
  }
}

void Engine::Impl::CountGuess(const Row& row, int32_t token) {
  Guesses& guesses = row.sequence->guesses;
  const size_t i = row.Index();
  if (i >= guesses.size() || guesses.kinds[i] == kOnlyToken) return;
  const bool hit = guesses.tokens[i] == token;
  lookup_.Count(guesses, i, hit);
  if (hit) metrics_.guesses_accepted.Add(1);
}

// Takes the token into the answer, with those that must follow. Returns false if the sequence has ended.
bool Engine::Impl::Advance(Sequence& sequence, int32_t token) {
  if (!Append(sequence, token)) return false;
  // Whoever asks for logits, log-probabilities or pages gets those of all tokens.
  const EngineRequest& request = sequence.request;
  if (!sequence.matcher || request.on_logits || request.logprobs || request.keep_pages) return true;
  // Whatever the logits, sampling would draw these; they go through the model with the next token that it can
  // choose, if there is one.
  while (const std::optional<int32_t> only = sequence.matcher->OnlyToken()) {
    if (!Append(sequence, *only)) return false;
  }
  return true;
}

bool Engine::Impl::Append(Sequence& sequence, int32_t token) {
  if (token < 0) {
    Finish(sequence, llm::FinishReason::kError,
           MakeError(ErrorCode::kUnsupported, "request: after {} tokens of the answer no token is possible",
                     sequence.NumAnswer()));
    return false;
  }
  if (sequence.matcher) THRONG_CHECK(sequence.matcher->Accept(token));
  if (sequence.NumAnswer() == 0) sequence.first_token = Clock::now();
  sequence.tokens.push_back(token);
  metrics_.output_tokens.Add(1);
  ++rate_tokens_;

  const EngineRequest& request = sequence.request;
  std::optional<llm::FinishReason> end;
  if (request.logprobs) sequence.logprobs.back().text_begin = sequence.text.Text().size();
  if (std::ranges::find(request.rules.ends, token) != request.rules.ends.end()) {
    end = llm::FinishReason::kStop;
  } else {
    const Vocabulary& spelling = request.spelling != nullptr ? *request.spelling : *vocabulary_;
    const bool may_stop = sequence.NumAnswer() > request.rules.min_tokens;
    const bool stopped = sequence.text.Append(spelling.Bytes(token), may_stop);
    if (sequence.thought) sequence.thought->Read(sequence.text.Text());
    if (request.on_text) TellText(sequence, sequence.text.TakeFinal());
    if (stopped || (sequence.matcher && sequence.matcher->OnlyEndIsLeft())) {
      end = llm::FinishReason::kStop;
    } else if (sequence.NumAnswer() >= request.max_tokens) {
      // Text that stands free may go on wherever it is complete.
      const bool is_free = request.spelling != nullptr;
      const bool complete = sequence.matcher && !is_free && sequence.matcher->IsComplete();
      end = complete ? llm::FinishReason::kStop : llm::FinishReason::kLength;
    }
  }
  if (end) Finish(sequence, *end);
  return !end;
}

// Text that was taken from the answer, with the log-probabilities of the tokens that begin in it.
void Engine::Impl::TellText(Sequence& sequence, std::string_view text) {
  if (text.empty()) return;
  const EngineRequest& request = sequence.request;
  if (request.on_logprobs) {
    const auto fresh = std::span(sequence.logprobs).subspan(sequence.logprobs_told);
    const auto begins_later = [&](const TokenLogprobs& token) {
      return token.text_begin >= sequence.text.NumTaken();
    };
    const auto told =
        fresh.first(static_cast<size_t>(std::ranges::find_if(fresh, begins_later) - fresh.begin()));
    sequence.logprobs_told += told.size();
    request.on_logprobs(sequence.id, told);
  }
  request.on_text(sequence.id, text);
}

void Engine::Impl::Finish(Sequence& sequence, llm::FinishReason reason, std::optional<Error> error) {
  std::shared_ptr<const kv::SavedPages> pages;
  if (sequence.request.keep_pages && sequence.is_running && reason != llm::FinishReason::kError) {
    // Without what was guessed to follow.
    sequence.cache.Truncate(static_cast<int>(sequence.tokens.size()) - 1);
    pages = std::make_shared<kv::SavedPages>(kv::SavedPages{sequence.tokens, std::move(sequence.cache)});
  }
  scheduler_.Remove(&sequence);
  const std::unique_ptr<Sequence> ended = std::move(sequences_.extract(sequence.id).mapped());
  EngineRequest& request = ended->request;
  if (request.on_text) TellText(*ended, ended->text.TakeRest());
  metrics_.requests.Add(1);
  if (reason == llm::FinishReason::kCancelled) {
    metrics_.cancelled.Add(1);
    metrics_.aborted.Add(1);
  }
  if (reason == llm::FinishReason::kError) metrics_.failed.Add(1);
  if (reason == llm::FinishReason::kStop) metrics_.stopped.Add(1);
  if (reason == llm::FinishReason::kLength) metrics_.cut_at_length.Add(1);
  if (ended->was_admitted) {
    metrics_.prompt_tokens.Add(ended->NumPrompt());
    metrics_.cached_tokens.Add(ended->cached_prompt_tokens);
  }
  if (!request.on_done) return;
  const Clock::time_point now = Clock::now();
  const auto until = [&](bool happened, Clock::time_point time) {
    return happened ? Seconds(time - ended->submitted) : 0;
  };
  request.on_done({.id = ended->id,
                   .key = request.key,
                   .finish = reason,
                   .text = ended->text.Text(),
                   .tokens = {ended->tokens.begin() + ended->NumPrompt(), ended->tokens.end()},
                   .logprobs = std::move(ended->logprobs),
                   .prompt_logprobs = std::move(ended->prompt_logprobs),
                   .embedding = request.pooling ? ended->states.Embedding() : std::vector<float>(),
                   .prompt_tokens = ended->NumPrompt(),
                   .cached_prompt_tokens = ended->cached_prompt_tokens,
                   .preemptions = ended->preemptions,
                   .queue_seconds = until(ended->was_admitted, ended->admitted),
                   .first_token_seconds = until(ended->NumAnswer() > 0, ended->first_token),
                   .total_seconds = until(true, now),
                   .error = std::move(error),
                   .pages = std::move(pages)});
}

}  // namespace throng::engine
