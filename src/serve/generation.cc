#include "serve/generation.h"

#include <chrono>
#include <mutex>
#include <optional>
#include <utility>

#include "base/error.h"

namespace throng::serve {
namespace {

// What is too long for the model is the client's mistake; exhausted is a server that has no room for now.
template <typename Action>
auto Mistaken(const Action& action) {
  try {
    return action();
  } catch (const Error& error) {
    if (error.Code() != ErrorCode::kExhausted) throw;
    throw Error(ErrorCode::kInvalid, error.what());
  }
}

}  // namespace

using Clock = std::chrono::steady_clock;

struct Generation::State {
  explicit State(engine::MetricsRegistry& metrics)
      : first_token(metrics.Durations("throng:time_to_first_token_seconds",
                                      "From a complete request to the first text of its answer")),
        whole(metrics.Durations("throng:e2e_request_latency_seconds",
                                "From a complete request to the end of its answer")) {}

  engine::Histogram& first_token;
  engine::Histogram& whole;
  const Clock::time_point begin = Clock::now();
  bool has_begun = false;  // of the engine's thread

  std::mutex mutex;
  std::function<void()> wake;                  // guarded by mutex, also while it is called
  std::string text;                            // guarded by mutex; not yet taken
  std::optional<engine::EngineResult> result;  // guarded by mutex until set, then constant

  double Seconds() const { return std::chrono::duration<double>(Clock::now() - begin).count(); }
  void Wake() const {
    if (wake) wake();
  }
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

Generation::Generation(Context& context, engine::TextRequest text)
    : model_(context.Model()), slot_(context), state_(std::make_shared<State>(*context.metrics)) {
  engine::EngineRequest request = Mistaken([&] { return model_.MakeRequest(std::move(text)); });
  request.on_text = [state = state_](uint64_t, std::string_view text) {
    if (!std::exchange(state->has_begun, true)) state->first_token.Observe(state->Seconds());
    const std::lock_guard lock(state->mutex);
    state->text += text;
    state->Wake();
  };
  request.on_done = [state = state_](engine::EngineResult result) {
    state->whole.Observe(state->Seconds());
    const std::lock_guard lock(state->mutex);
    state->result = std::move(result);
    state->Wake();
  };
  id_ = Mistaken([&] { return model_.Submit(std::move(request)); });
}

Generation::~Generation() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->wake = nullptr;
  }
  model_.Cancel(id_);  // ignored if it has ended
}

void Generation::OnChange(std::function<void()> wake) {
  const std::lock_guard lock(state_->mutex);
  state_->wake = std::move(wake);
}

bool Generation::Take(std::string& text) {
  const std::lock_guard lock(state_->mutex);
  text += state_->text;
  state_->text.clear();
  return state_->result.has_value();
}

void Generation::Cancel() { model_.Cancel(id_); }

const engine::EngineResult& Generation::Result() const { return *state_->result; }

}  // namespace throng::serve
