#include "effects/effects_llm.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace throng::effects {

namespace {

// How long to wait for the backend before looking after the tools, in seconds of its clock. One in virtual
// time passes them at once, and so comes to its next answer.
constexpr double kQuantum = 0.005;
// Between two looks whether people have answered, in seconds.
constexpr double kLook = 0.1;

llm::FinishReason FinishOf(ToolResult::Outcome outcome) {
  switch (outcome) {
    case ToolResult::Outcome::kDone:
      return llm::FinishReason::kStop;
    case ToolResult::Outcome::kFailed:
      return llm::FinishReason::kFailed;
    case ToolResult::Outcome::kUnknown:
      return llm::FinishReason::kUnknown;
    case ToolResult::Outcome::kUnavailable:
      break;
  }
  return llm::FinishReason::kError;
}

llm::Completion MakeCompletion(uint64_t id, const llm::CallKey& key, std::optional<ToolResult> result) {
  if (!result.has_value()) return llm::Cancelled(id, key);
  llm::Completion completion;
  completion.id = id;
  completion.key = key;
  completion.finish = FinishOf(result->outcome);
  if (completion.finish == llm::FinishReason::kError) {
    completion.error = Error(ErrorCode::kUnavailable, result->text);
  } else {
    completion.text = std::move(result->text);
  }
  return completion;
}

}  // namespace

void EffectsLlm::Submit(llm::Request request) {
  if (request.kind == llm::Kind::kModel || Inner().AnswersEveryKind()) {
    Inner().Submit(std::move(request));
    ++inner_in_flight_;
    return;
  }
  if (request.kind == llm::Kind::kPerson) return AskPerson(std::move(request));
  const std::shared_ptr<Tool>& tool = ToolFor(request);
  if (request.kind == llm::Kind::kTool) {
    if (IsUsedUp()) {
      held_back_.emplace_back(request.id, request.key);
      return;
    }
    ++used_;
  }
  in_use_.emplace(request.id, request.key);
  pool_.Start(request.id, tool, std::move(request.prompt));
}

const std::shared_ptr<Tool>& EffectsLlm::ToolFor(const llm::Request& request) const {
  if (request.kind == llm::Kind::kTool) return options_.tools.Find(request.function);
  if (options_.embedder == nullptr) {
    throw MakeError(ErrorCode::kInvalid,
                    "nobody here makes embeddings; allowed: throng run --embed, throng.run(..., embed=...)");
  }
  return options_.embedder;
}

void EffectsLlm::AskPerson(llm::Request question) {
  if (options_.people == nullptr && question.patience_s <= 0) {
    throw MakeError(
        ErrorCode::kInvalid,
        "the question {:?} waits for ever, as nobody here can answer it; allowed: a journal (throng play), "
        "a file of answers, or a timeout",
        question.prompt);
  }
  if (options_.people != nullptr) options_.people->Put(question);
  const auto deadline =
      question.patience_s > 0
          ? Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(
                               std::min(question.patience_s, Tool::kLongestTimeout)))
          : Clock::time_point::max();
  last_look_ = {};
  const std::lock_guard lock(people_mutex_);
  asked_.push_back({std::move(question), deadline});
}

// Nothing while it is to be waited for.
std::optional<llm::Completion> EffectsLlm::CompletionOf(Asked& asked) {
  const llm::Request& question = asked.question;
  if (asked.cancelled) return llm::Cancelled(question.id, question.key);
  std::optional<std::string> answer;
  if (options_.people != nullptr) answer = options_.people->Take(question);
  if (!answer.has_value() && Clock::now() >= asked.deadline) answer = question.otherwise;
  if (!answer.has_value()) return std::nullopt;
  return MakeCompletion(question.id, question.key,
                        ToolResult{ToolResult::Outcome::kDone, std::move(*answer)});
}

void EffectsLlm::TakeFromPeople(std::vector<llm::Completion>& done) {
  const Clock::time_point now = Clock::now();
  if (now - last_look_ < std::chrono::duration<double>(kLook)) return;
  last_look_ = now;
  const std::lock_guard lock(people_mutex_);
  std::erase_if(asked_, [&](Asked& asked) {
    std::optional<llm::Completion> completion = CompletionOf(asked);
    if (completion.has_value()) done.push_back(std::move(*completion));
    return completion.has_value();
  });
}

bool EffectsLlm::WaitsForPeople() {
  const std::lock_guard lock(people_mutex_);
  return !asked_.empty();
}

// Waits for tools and people.
void EffectsLlm::WaitForOthers(std::vector<llm::Completion>& done, double seconds) {
  if (!WaitsForPeople()) return WaitForTools(done, seconds);
  const size_t before = done.size();
  const Clock::time_point begin = Clock::now();
  double left = seconds;
  do {
    TakeFromPeople(done);
    if (done.size() > before) left = 0;
    WaitForTools(done, std::min(left, kLook));
    left = std::min(left, seconds - std::chrono::duration<double>(Clock::now() - begin).count());
  } while (done.size() == before && left > 0);
}

void EffectsLlm::WaitForInner(std::vector<llm::Completion>& done, double seconds) {
  const size_t before = done.size();
  try {
    Inner().Wait(done, seconds);
  } catch (...) {
    inner_error_ = std::current_exception();
    throw;
  }
  inner_in_flight_ -= std::min(inner_in_flight_, done.size() - before);
}

void EffectsLlm::TellUsedUp(std::vector<llm::Completion>& done) {
  if (!std::exchange(told_used_up_, true)) {
    throw MakeError(ErrorCode::kExhausted, "budget: {} of {} uses of tools are used up", used_,
                    options_.max_uses);
  }
  for (const auto& [id, key] : std::exchange(held_back_, {})) done.push_back(llm::Cancelled(id, key));
}

void EffectsLlm::WaitForTools(std::vector<llm::Completion>& done, double seconds) {
  for (ToolPool::Ended& ended : pool_.Wait(seconds)) {
    const auto node = in_use_.extract(ended.id);
    done.push_back(MakeCompletion(ended.id, node.mapped(), std::move(ended.result)));
  }
}

void EffectsLlm::Wait(std::vector<llm::Completion>& done, double seconds) {
  // After an error, what the tools do still has to be known; the backend has nothing more to say.
  const bool waits_for_inner = inner_in_flight_ > 0 && !inner_error_;
  if (in_use_.empty() && !WaitsForPeople()) {
    if (inner_error_ && held_back_.empty()) std::rethrow_exception(inner_error_);
    if (!held_back_.empty() && !waits_for_inner) return TellUsedUp(done);
    return WaitForInner(done, seconds);
  }
  if (!waits_for_inner) return WaitForOthers(done, seconds);
  const size_t before = done.size();
  const double deadline = Now() + seconds;
  do {
    WaitForOthers(done, 0);
    if (done.size() > before) return;
    WaitForInner(done, std::min(kQuantum, std::max(deadline - Now(), 0.0)));
  } while (done.size() == before && Now() < deadline && inner_in_flight_ > 0);
}

void EffectsLlm::Cancel(uint64_t id) {
  pool_.Cancel(id);
  {
    const std::lock_guard lock(people_mutex_);
    for (Asked& asked : asked_) asked.cancelled |= asked.question.id == id;
  }
  Inner().Cancel(id);
}

void EffectsLlm::Confirm(const llm::Request& request, const llm::Completion& completion) {
  if (request.kind == llm::Kind::kModel || Inner().AnswersEveryKind()) Inner().Confirm(request, completion);
}

}  // namespace throng::effects
