#include "journal/replay_llm.h"

#include <iterator>
#include <optional>
#include <utility>

#include "base/error.h"
#include "llm/request_digest.h"

namespace throng::journal {

llm::Completion ReplayLlm::Answer(const llm::Request& request) {
  const llm::CallKey& key = request.key;
  std::optional<JournaledAnswer> answer = journal_.FindAnswer(key);
  if (answer.has_value() && answer->prompt_digest == llm::DigestOfRequest(request)) {
    return std::move(answer->completion);
  }
  llm::Completion completion;
  completion.key = key;
  completion.finish = llm::FinishReason::kError;
  completion.error =
      answer.has_value()
          ? MakeError(
                ErrorCode::kInvalid,
                "replay: {} answers another question than call {} ({}) of agent {} in step {} asks now: "
                "scenario, seed or program have changed",
                journal_.Path(), key.call, request.function, key.agent, key.step)
          : MakeError(ErrorCode::kInvalid, "replay: {} has no answer for call {} ({}) of agent {} in step {}",
                      journal_.Path(), key.call, request.function, key.agent, key.step);
  return completion;
}

void ReplayLlm::Submit(llm::Request request) {
  llm::Completion completion = Answer(request);
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
