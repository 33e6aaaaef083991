#include "llm/backends/replay.h"

#include <fstream>
#include <iterator>

namespace throng::llm {

ReplayLlm::ReplayLlm(const std::string& path) : path_(path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw MakeError(ErrorCode::kIo, "{}: cannot read the recording", path);
  std::string line;
  int64_t number = 1;
  std::getline(in, line);
  identity_ = ParseRecordingHeader(line, path + ":1");
  while (std::getline(in, line)) {
    ++number;
    if (in.eof()) break;  // no newline: the writer was killed in the middle of this line
    RecordedAnswer answer = ParseRecordingLine(line, fmt::format("{}:{}", path, number));
    const CallKey key = answer.completion.key;
    answers_.insert_or_assign(key,
                              std::move(answer));  // of a call that was made again, the last answer counts
  }
}

Completion ReplayLlm::Answer(const Request& request) const {
  const CallKey& key = request.key;
  Completion completion;
  const auto found = answers_.find(key);
  if (found == answers_.end()) {
    completion.error =
        MakeError(ErrorCode::kInvalid, "replay: {} has no answer for call {} ({}) of agent {} in step {}",
                  path_, key.call, request.function, key.agent, key.step);
  } else if (found->second.digest != RequestDigest(request)) {
    completion.error = MakeError(
        ErrorCode::kInvalid,
        "replay: in {}, call {} of agent {} in step {} was another request (of the function {:?}, now {:?}): "
        "scenario, seed or program have changed",
        path_, key.call, key.agent, key.step, found->second.function, request.function);
  } else {
    return found->second.completion;
  }
  completion.key = key;
  completion.finish = FinishReason::kError;
  return completion;
}

void ReplayLlm::Submit(Request request) {
  Completion completion = Answer(request);
  completion.id = request.id;
  const std::lock_guard lock(mutex_);
  ready_.push_back(std::move(completion));
}

void ReplayLlm::Wait(std::vector<Completion>& done, double) {
  const std::lock_guard lock(mutex_);
  for (const Completion& completion : ready_) {
    if (completion.finish == FinishReason::kCancelled || completion.finish == FinishReason::kError) continue;
    stats_.Count(completion);
  }
  done.insert(done.end(), std::make_move_iterator(ready_.begin()), std::make_move_iterator(ready_.end()));
  ready_.clear();
}

void ReplayLlm::Cancel(uint64_t id) {
  const std::lock_guard lock(mutex_);
  for (Completion& completion : ready_) {
    if (completion.id != id) continue;
    completion = Cancelled(id, completion.key);
  }
}

double ReplayLlm::Now() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

}  // namespace throng::llm
