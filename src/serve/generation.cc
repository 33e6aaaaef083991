#include "serve/generation.h"

#include <chrono>
#include <mutex>
#include <optional>
#include <utility>

#include "base/error.h"
#include "serve/request_error.h"

namespace throng::serve {
namespace {

using Clock = std::chrono::steady_clock;

// wrong: the field that is at fault where the action throws kInvalid or kUnsupported, and its code.
template <typename Action>
auto AsFields(const char* prompt, const std::string& wrong, const char* code, const Action& action) {
  try {
    return action();
  } catch (const Error& error) {
    if (error.Code() == ErrorCode::kExhausted)
      throw RequestError(400, prompt, "context_length_exceeded", error.what());
    if (error.Code() == ErrorCode::kInvalid || error.Code() == ErrorCode::kUnsupported)
      throw RequestError(400, wrong, code, error.what());
    throw;
  }
}

}  // namespace

// Shared with the engine's callbacks, which submit the later choices of a prompt.
struct Generation::State : std::enable_shared_from_this<Generation::State> {
  struct Choice {
    std::string text;                                    // not yet taken
    std::vector<engine::TokenLogprobs> logprobs;         // likewise
    std::vector<engine::TokenLogprobs> coming_logprobs;  // of tokens whose text is told next
    std::vector<engine::TokenLogprobs> prompt_logprobs;  // of a prompt's first choice
    std::optional<uint64_t> id;                          // once it is submitted
    std::optional<engine::EngineResult> result;          // once set, constant
    bool told_end = false;
  };

  State(engine::LocalModel& model, engine::MetricsRegistry& metrics)
      : model(model),
        first_token(metrics.Durations("throng:time_to_first_token_seconds",
                                      "From a complete request to the first text of its answer")),
        whole(metrics.Durations("throng:e2e_request_latency_seconds",
                                "From a complete request to the end of its answer")),
        queue(metrics.Durations("throng:request_queue_time_seconds",
                                "In the queue, before an answer is begun")),
        prefill(metrics.Durations("throng:request_prefill_time_seconds",
                                  "From then to the first token of the answer")),
        decode(metrics.Durations("throng:request_decode_time_seconds", "From then to the answer's end")),
        per_token(metrics.Durations("throng:request_time_per_output_token_seconds",
                                    "The same, per token behind the first")) {}

  double Seconds() const { return std::chrono::duration<double>(Clock::now() - begin).count(); }

  void Wake() const {
    if (wake) wake();
  }

  // Throws what Submit throws. Called with the mutex held, as the engine may call back at once.
  void Submit(size_t choice, engine::EngineRequest request) {
    const auto self = shared_from_this();
    request.on_text = [self, choice](uint64_t, std::string_view text) {
      const std::lock_guard lock(self->mutex);
      if (!std::exchange(self->has_begun, true)) self->first_token.Observe(self->Seconds());
      State::Choice& told = self->choices[choice];
      told.text += text;
      // Not before: whoever takes them would have them without their text.
      told.logprobs.insert(told.logprobs.end(), told.coming_logprobs.begin(), told.coming_logprobs.end());
      told.coming_logprobs.clear();
      self->Wake();
    };
    if (request.logprobs) {
      request.on_logprobs = [self, choice](uint64_t, std::span<const engine::TokenLogprobs> logprobs) {
        const std::lock_guard lock(self->mutex);
        self->choices[choice].coming_logprobs.assign(logprobs.begin(), logprobs.end());
      };
    }
    if (!request.on_done) {
      request.on_done = [self, choice](engine::EngineResult result) {
        const std::lock_guard lock(self->mutex);
        self->End(choice, std::move(result));
      };
    }
    choices[choice].id = model.Submit(std::move(request));
  }

  // The first choice of a prompt. The others follow once the prompt is computed, or share its fate.
  void SubmitAll(size_t first, Choices prompt) {
    engine::EngineRequest request = prompt.request;
    const auto self = shared_from_this();
    const size_t end = first + static_cast<size_t>(prompt.count);
    if (prompt.count > 1 || request.prompt_logprobs) {
      prompt.request.prompt_logprobs = false;
      request.on_prompt = [self, first, end, later = std::move(prompt.request)](
                              uint64_t, std::span<const engine::TokenLogprobs> logprobs) {
        const std::lock_guard lock(self->mutex);
        self->choices[first].prompt_logprobs.assign(logprobs.begin(), logprobs.end());
        for (size_t choice = first + 1; choice < end && !self->cancelled; ++choice) {
          engine::EngineRequest next = later;
          next.sampling.seed += choice - first;
          self->SubmitOrEnd(choice, std::move(next));
        }
      };
    }
    if (prompt.count > 1) {
      request.on_done = [self, first, end](engine::EngineResult result) {
        const std::lock_guard lock(self->mutex);
        for (size_t choice = first + 1; choice < end; ++choice) {
          if (!self->choices[choice].id && !self->choices[choice].result) self->End(choice, result);
        }
        self->End(first, std::move(result));
      };
    }
    AsFields(prompt.field, prompt.field, "invalid_value", [&] { Submit(first, std::move(request)); });
  }

  void SubmitOrEnd(size_t choice, engine::EngineRequest request) {
    try {
      Submit(choice, std::move(request));
    } catch (const Error& error) {
      engine::EngineResult result;
      result.finish = llm::FinishReason::kError;
      result.error = error;
      End(choice, std::move(result));
    }
  }

  // Times of the engine: none for an answer that never began.
  void Observe(const engine::EngineResult& result) {
    if (result.first_token_seconds <= 0) return;
    const double seconds = result.total_seconds - result.first_token_seconds;
    queue.Observe(result.queue_seconds);
    prefill.Observe(result.first_token_seconds - result.queue_seconds);
    decode.Observe(seconds);
    if (result.tokens.size() > 1) per_token.Observe(seconds / static_cast<double>(result.tokens.size() - 1));
  }

  void End(size_t choice, engine::EngineResult result) {
    Observe(result);
    choices[choice].result = std::move(result);
    if (++num_ended == choices.size()) whole.Observe(Seconds());
    Wake();
  }

  void Cancel() {
    cancelled = true;
    for (const Choice& choice : choices) {
      if (choice.id) model.Cancel(*choice.id);  // ignored if it has ended
    }
  }

  engine::LocalModel& model;
  engine::Histogram& first_token;
  engine::Histogram& whole;
  engine::Histogram& queue;
  engine::Histogram& prefill;
  engine::Histogram& decode;
  engine::Histogram& per_token;
  const Clock::time_point begin = Clock::now();

  std::mutex mutex;             // guards all below
  std::function<void()> wake;   // called with the mutex held
  std::vector<Choice> choices;  // their number does not change
  size_t num_ended = 0;
  bool has_begun = false;  // there was text
  bool cancelled = false;  // what is not submitted yet never is
};

Generation::Slot::Slot(Context& context) : context_(context) {
  const int in_flight = ++context_.in_flight;
  if (context_.stopping) {
    --context_.in_flight;
    throw MakeError(ErrorCode::kCancelled, "server: it is being stopped");
  }
  if (in_flight <= context_.options.max_requests) return;
  --context_.in_flight;
  throw MakeError(ErrorCode::kExhausted, "server: it has {} requests, the most that it takes; try again",
                  context_.options.max_requests);
}

Generation::Generation(Context& context, std::vector<Choices> prompts)
    : slot_(context), state_(std::make_shared<State>(context.Model(), *context.metrics)) {
  const std::lock_guard lock(state_->mutex);
  size_t num_choices = 0;
  for (const Choices& prompt : prompts) num_choices += static_cast<size_t>(prompt.count);
  state_->choices.resize(num_choices);
  size_t first = 0;
  try {
    for (Choices& prompt : prompts) {
      const auto count = static_cast<size_t>(prompt.count);
      state_->SubmitAll(first, std::move(prompt));
      first += count;
    }
  } catch (...) {
    state_->Cancel();
    throw;
  }
}

Generation::~Generation() {
  const std::lock_guard lock(state_->mutex);
  state_->wake = nullptr;
  state_->Cancel();
}

void Generation::OnChange(std::function<void()> wake) {
  const std::lock_guard lock(state_->mutex);
  state_->wake = std::move(wake);
}

bool Generation::Take(std::vector<Piece>& pieces) {
  const std::lock_guard lock(state_->mutex);
  bool all_ended = true;
  for (size_t i = 0; i < state_->choices.size(); ++i) {
    State::Choice& choice = state_->choices[i];
    const bool ends = choice.result && !std::exchange(choice.told_end, choice.result.has_value());
    if (!choice.text.empty() || ends) {
      pieces.push_back({i, std::exchange(choice.text, {}), std::exchange(choice.logprobs, {}), ends});
    }
    all_ended = all_ended && choice.result;
  }
  return all_ended;
}

void Generation::Cancel() {
  const std::lock_guard lock(state_->mutex);
  state_->Cancel();
}

const std::vector<engine::TokenLogprobs>& Generation::PromptLogprobs(size_t first_choice) const {
  return state_->choices[first_choice].prompt_logprobs;
}

size_t Generation::NumChoices() const { return state_->choices.size(); }

const engine::EngineResult& Generation::Result(size_t choice) const {
  return *state_->choices[choice].result;
}

Choices Choices::Of(engine::LocalModel& model, engine::TextRequest text, const char* field,
                    const std::string& form_field, int count) {
  const std::shared_ptr<const llm::AnswerForm> form = text.form;
  const auto make = [&] { return model.MakeRequest(std::move(text)); };
  return {AsFields(field, form_field, nullptr, make), field, count, form};
}

Choices Choices::OfEmbedding(engine::LocalModel& model, const engine::Prompt& prompt, const char* field) {
  return {AsFields(field, "", nullptr, [&] { return model.MakeEmbedding(prompt); }), field, 1};
}

}  // namespace throng::serve
