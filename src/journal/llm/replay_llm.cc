#include "journal/llm/replay_llm.h"

#include <iterator>
#include <optional>
#include <utility>

#include "base/error.h"
#include "llm/request_digest.h"

namespace throng::journal {

std::optional<Error> ReplayLlm::WhyNot(const llm::Request& request,
                                       const std::optional<JournaledAnswer>& answer) const {
  const llm::CallKey& key = request.key;
  if (!answer.has_value()) {
    return MakeError(ErrorCode::kInvalid, "replay: {} has no answer for call {} ({}) of agent {} in step {}",
                     journal_.Path(), key.call, request.function, key.agent, key.step);
  }
  if (answer->digest == llm::DigestOfRequest(request)) return std::nullopt;
  return MakeError(ErrorCode::kInvalid,
                   "replay: {} answers another question than call {} ({}) of agent {} in step {} asks now: "
                   "scenario, seed or program have changed",
                   journal_.Path(), key.call, request.function, key.agent, key.step);
}

void ReplayLlm::Submit(llm::Request request) {
  std::optional<JournaledAnswer> answer = journal_.FindAnswer(request.key);
  const std::optional<Error> why_not = WhyNot(request, answer);
  if (why_not.has_value() && !request.guess) throw *why_not;
  llm::Completion completion;
  if (why_not.has_value()) {
    completion.key = request.key;
    completion.finish = llm::FinishReason::kError;
    completion.error = why_not;
  } else {
    completion = std::move(answer->completion);
  }
  completion.id = request.id;
  if (completion.finish != llm::FinishReason::kError) stats_.Count(completion);
  ready_.push_back(std::move(completion));
}

void ReplayLlm::Wait(std::vector<llm::Completion>& done, double) {
  done.insert(done.end(), std::make_move_iterator(ready_.begin()), std::make_move_iterator(ready_.end()));
  ready_.clear();
}

double ReplayLlm::Now() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

std::string ReplayLlm::Identity() const {
  return "replay of " + journal_.ManifestValue(JournalKeys::kBackend);
}

}  // namespace throng::journal
