// Forward passes: guesses, the batch, and what prompts get from them.
#include <algorithm>

#include "engine/engine_impl.h"

namespace throng::engine {

void Engine::Impl::Guess() {
  if (options_.lookup == Lookup::kOff) return;
  // Where guesses cost more than they yield, a few are made nonetheless at long intervals: that may change.
  constexpr int kProbeInterval = 256;
  constexpr int kProbeGuesses = 3;
  size_t num_rows = 0;
  int left = options_.step_tokens;
  for (const PlannedItem& item : items_) {
    num_rows += item.num_tokens == item.sequence->NumPending() ? 1 : 0;
    left -= item.num_tokens;
  }
  const bool always = options_.lookup == Lookup::kAlways;
  if (!always && num_rows > PassCost::kMostSequences) return;
  const bool probe = !always && ++passes_without_guesses_ >= kProbeInterval;
  PassPlan plan(pass_cost_, num_rows, always || probe);
  for (PlannedItem& item : items_) {
    Sequence& sequence = *item.sequence;
    if (item.num_tokens != sequence.NumPending() || sequence.WantsPromptLogprobs()) continue;
    // After the last token of an answer, none is needed.
    const int wanted = std::min({probe ? kProbeGuesses : static_cast<int>(PassCost::kMostGuesses), left,
                                 sequence.request.max_tokens - sequence.NumAnswer() - 1});
    if (wanted <= 0) continue;
    lookup_.Guess(sequence.tokens, sequence.matcher ? &*sequence.matcher : nullptr,
                  static_cast<size_t>(sequence.cache.ReserveGuesses(wanted)), plan, sequence.guesses);
    item.num_guesses = static_cast<int>(sequence.guesses.size());
    left -= item.num_guesses;
    if (item.num_guesses == 0) continue;
    passes_without_guesses_ = 0;
    metrics_.guesses.Add(
        static_cast<double>(item.num_guesses - std::ranges::count(sequence.guesses.kinds, kOnlyToken)));
    if (probe) return;
  }
}

// Writes batch_, inputs_ and rows_, and makes room for what the pass computes.
void Engine::Impl::MakeBatch() {
  batch_.clear();
  inputs_.clear();
  rows_.clear();
  size_t num_logits = 0;
  size_t num_states = 0;
  for (const PlannedItem& item : items_) {
    Sequence& sequence = *item.sequence;
    const EngineRequest& request = sequence.request;
    const bool ends = item.num_tokens == sequence.NumPending();
    const auto begin = sequence.tokens.begin() + sequence.cache.NumTokens();
    inputs_.insert(inputs_.end(), begin, begin + item.num_tokens);
    if (ends) inputs_.insert(inputs_.end(), sequence.guesses.tokens.begin(), sequence.guesses.tokens.end());
    model::BatchItem computed{.tokens = {}, .cache = &sequence.cache, .num_logits = 0};
    if (sequence.WantsPromptLogprobs()) {
      computed.num_logits = item.num_tokens;
    } else if (ends && request.max_tokens > 0) {
      computed.num_logits = item.num_guesses + 1;
    }
    if (request.pooling)
      computed.num_states = PooledStates::RowsNeeded(*request.pooling, item.num_tokens, ends);
    num_logits += static_cast<size_t>(computed.num_logits);
    num_states += static_cast<size_t>(computed.num_states);
    batch_.push_back(computed);
  }
  const size_t vocab = vocabulary_->NumTokens();
  const auto dim = static_cast<size_t>(transformer_.Config().dim);
  if (logits_.size() < num_logits * vocab) logits_.resize(num_logits * vocab);
  if (states_.size() < num_states * dim) states_.resize(num_states * dim);
  std::span<const int32_t> inputs = inputs_;
  const float* logits = logits_.data();
  float* states = states_.data();
  for (size_t i = 0; i < items_.size(); ++i) {
    const PlannedItem& item = items_[i];
    Sequence& sequence = *item.sequence;
    model::BatchItem& computed = batch_[i];
    computed.tokens = inputs.first(static_cast<size_t>(item.num_tokens + item.num_guesses));
    inputs = inputs.subspan(computed.tokens.size());
    computed.states = states;
    states += static_cast<size_t>(computed.num_states) * dim;
    logits += static_cast<size_t>(computed.num_logits) * vocab;
    if (item.num_tokens == sequence.NumPending() && sequence.request.max_tokens > 0) {
      const auto num_rows = static_cast<size_t>(item.num_guesses + 1);
      rows_.push_back({&sequence, logits - num_rows * vocab, sequence.tokens.size(), nullptr});
    }
  }
  if (transformer_.Draws()) MakeDraws();
}

// Whether the sequence's next tokens, after each of its guesses, can be drawn before it is known which come
// true, and nobody needs the logits.
bool Engine::Impl::MayDraw(const Sequence& sequence) const {
  const EngineRequest& request = sequence.request;
  return !request.on_logits && !request.logprobs && !sequence.thought &&
         request.sampling.repetition_penalty == 1.0f && !request.rules.ChangesLogits(sequence.NumAnswer()) &&
         (!sequence.matcher || sequence.guesses.size() == 0);
}

// Has the transformer draw the tokens of rows_ that it can.
void Engine::Impl::MakeDraws() {
  draws_.clear();
  draw_masks_.clear();
  const auto for_each = [&](const auto& visit) {  // of the items of rows_ that may
    size_t row = 0;
    for (size_t i = 0; i < items_.size() && row < rows_.size(); ++i) {
      if (items_[i].sequence != rows_[row].sequence) continue;
      if (MayDraw(*rows_[row].sequence)) visit(batch_[i], rows_[row]);
      ++row;
    }
  };
  for_each([&](const model::BatchItem& item, const Row& row) {
    Sequence& sequence = *row.sequence;
    std::span<const uint64_t> mask;
    if (sequence.matcher) {
      sequence.matcher->AllowedTokens(draw_masks_.emplace_back((vocabulary_->NumTokens() + 63) / 64));
      mask = draw_masks_.back();
    }
    for (int i = 0; i < item.num_logits; ++i)
      draws_.push_back(DrawOf(sequence.request.sampling, sequence.NumAnswer() + i, mask));
  });
  drawn_.resize(draws_.size());
  size_t begin = 0;
  for_each([&](model::BatchItem& item, Row& row) {
    const auto count = static_cast<size_t>(item.num_logits);
    item.draws = std::span(draws_).subspan(begin, count);
    item.drawn = drawn_.data() + begin;
    row.drawn = item.drawn;
    begin += count;
  });
}

void Engine::Impl::Forward() {
  MakeBatch();
  const Clock::time_point begin = Clock::now();
  transformer_.Forward(batch_, threads_, logits_.data());
  const double seconds = Seconds(Clock::now() - begin);
  const float* logits = logits_.data();
  size_t num_decoded = 0;  // rows of inputs that sample tokens
  for (size_t i = 0; i < items_.size(); ++i) {
    Sequence& sequence = *items_[i].sequence;
    if (sequence.WantsPromptLogprobs()) {
      TakePromptRows(sequence, batch_[i], logits);
    } else {
      num_decoded += static_cast<size_t>(batch_[i].num_logits);
    }
    if (sequence.request.pooling) {
      const auto dim = static_cast<size_t>(transformer_.Config().dim);
      const auto num_states = static_cast<size_t>(batch_[i].num_states);
      sequence.states.Add(*sequence.request.pooling, {batch_[i].states, num_states * dim}, dim,
                          sequence.cache.NumTokens() - batch_[i].num_states);
    }
    logits += static_cast<size_t>(batch_[i].num_logits) * vocabulary_->NumTokens();
  }
  // A pass with a prompt in it says little of what a row costs while decoding.
  if (num_decoded == inputs_.size()) pass_cost_.Observe(rows_.size(), num_decoded - rows_.size(), seconds);
  scheduler_.Computed(items_);
  metrics_.steps.Add(1);
  metrics_.computed_tokens.Add(static_cast<double>(inputs_.size()));
}

// Keeps the log-probabilities of the tokens after those computed; after a preemption, of those not known yet.
void Engine::Impl::TakePromptRows(Sequence& sequence, const model::BatchItem& computed, const float* logits) {
  const size_t vocab = vocabulary_->NumTokens();
  const auto end = static_cast<size_t>(sequence.cache.NumTokens());
  for (size_t at = end - computed.tokens.size(); at < end; ++at, logits += vocab) {
    const size_t next = at + 1;
    if (next != sequence.prompt_logprobs.size() + 1 || next >= sequence.request.prompt.size()) continue;
    sequence.prompt_logprobs.push_back(
        logprob_makers_[0].Make({logits, vocab}, sequence.request.prompt[next], *sequence.request.logprobs));
  }
}

// Ends those that want no answer, once their prompts are computed, and tells whoever waits for a prompt.
void Engine::Impl::EndPrompts() {
  for (const PlannedItem& item : items_) {
    Sequence& sequence = *item.sequence;
    if (sequence.NumAnswer() > 0 || sequence.NumPending() > 0) continue;
    if (sequence.request.on_prompt) sequence.request.on_prompt(sequence.id, sequence.prompt_logprobs);
    if (sequence.request.max_tokens > 0) continue;
    Finish(sequence, sequence.request.pooling ? llm::FinishReason::kStop : llm::FinishReason::kLength);
  }
}

}  // namespace throng::engine
