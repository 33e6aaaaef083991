#include "sim/run/recorded_llm.h"

#include <utility>

#include "base/error.h"
#include "llm/request_digest.h"

namespace throng::sim {

void RecordedLlm::Submit(llm::Request request) {
  if (answers_ == Answers::kEffects && request.kind == llm::Kind::kModel) {
    return below_->Submit(std::move(request));
  }
  AgentStep& last = last_read_[request.key.agent];
  if (last.step != request.key.step)
    last = {request.key.step, recording_.Read(request.key.step, request.key.agent)};
  for (const RecordedCall& call : last.recorded.calls) {
    if (call.number != request.key.call || call.digest != llm::DigestOfRequest(request)) continue;
    llm::Completion answer = call.answer;
    answer.id = request.id;
    answer.key = request.key;
    stats_.Count(answer);
    answered_.push_back(std::move(answer));
    return;
  }
  if (below_ == nullptr) {
    throw MakeError(ErrorCode::kInvalid, "agent {}, step {}, call {}: the recorded run did not ask this",
                    request.key.agent, request.key.step, request.key.call);
  }
  if (request.effect == llm::Effect::kPure) return below_->Submit(std::move(request));
  llm::Completion refused;
  refused.id = request.id;
  refused.key = request.key;
  refused.finish = llm::FinishReason::kFailed;
  refused.text = "the recorded run did not ask this";
  answered_.push_back(std::move(refused));
}

void RecordedLlm::Wait(std::vector<llm::Completion>& done, double seconds) {
  if (answered_.empty() && below_ != nullptr) below_->Wait(done, seconds);
  for (llm::Completion& answer : answered_) done.push_back(std::move(answer));
  answered_.clear();
}

}  // namespace throng::sim
