#include "trace/filler_llm.h"

#include "base/digest.h"

namespace throng::trace {

void FillerLlm::Submit(llm::Request request) {
  const int tokens = request.known_prompt_tokens;
  const uint64_t beginning = Hasher().Add(options_.nonce).Add(request.function).Finish().low;
  const uint64_t seed = Hasher()
                            .Add(request.key.agent)
                            .Add(request.key.step)
                            .Add(request.key.call)
                            .Add(request.prompt)
                            .Finish()
                            .low;
  recorded_[request.id] = {tokens, request.known_output_tokens};
  request.prompt = words_.Text(tokens, static_cast<int>(options_.shared * tokens), beginning, seed);
  Inner().Submit(std::move(request));
}

void FillerLlm::Wait(std::vector<llm::Completion>& done, double seconds) {
  const size_t before = done.size();
  Inner().Wait(done, seconds);
  for (size_t i = before; i < done.size(); ++i) {
    llm::Completion& completion = done[i];
    const auto found = recorded_.find(completion.id);
    if (found == recorded_.end()) continue;
    const Sizes recorded = found->second;
    recorded_.erase(found);
    const bool only_thought =
        completion.error && completion.error->Code() == ErrorCode::kBadAnswer && completion.output_tokens > 0;
    if (only_thought) {
      completion.error.reset();
      completion.finish = llm::FinishReason::kLength;
    }
    if (completion.error || completion.finish == llm::FinishReason::kCancelled) continue;
    differences_.prompts += completion.prompt_tokens != recorded.prompt;
    differences_.answers += completion.output_tokens != recorded.output;
    differences_.cut +=
        completion.finish == llm::FinishReason::kLength && completion.output_tokens < recorded.output;
    differences_.prompt_tokens += completion.prompt_tokens - recorded.prompt;
    differences_.output_tokens += completion.output_tokens - recorded.output;
    // What a server makes of filler is chance, and no part of a replay's state.
    completion.text.clear();
    completion.finish = llm::FinishReason::kLength;
    ++answered_;
    if (options_.on_progress) options_.on_progress(answered_);
  }
}

}  // namespace throng::trace
