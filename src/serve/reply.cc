#include "serve/reply.h"

#include <ctime>

#include "base/digest.h"
#include "serve/tools/chat_answer.h"

namespace throng::serve {

std::string Dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string Event(const Json& json) { return "data: " + Dump(json) + "\n\n"; }

Usage Usage::Of(const Generation& generation, size_t choices_per_prompt) {
  Usage usage;
  for (size_t i = 0; i < generation.NumChoices(); ++i) {
    const engine::EngineResult& result = generation.Result(i);
    usage.answer_tokens += static_cast<int>(result.tokens.size());
    if (i % choices_per_prompt != 0) continue;
    usage.prompt_tokens += result.prompt_tokens;
    usage.cached_tokens += result.cached_prompt_tokens;
  }
  return usage;
}

Json Usage::ToJson() const {
  return {{"prompt_tokens", prompt_tokens},
          {"completion_tokens", answer_tokens},
          {"total_tokens", prompt_tokens + answer_tokens},
          {"prompt_tokens_details", {{"cached_tokens", cached_tokens}}},
          {"completion_tokens_details", {{"reasoning_tokens", thought_tokens}}}};
}

bool IsFinished(const engine::EngineResult& result) {
  return result.finish == llm::FinishReason::kStop || result.finish == llm::FinishReason::kLength;
}

Error ErrorOf(const engine::EngineResult& result) {
  if (result.error) return *result.error;
  return MakeError(ErrorCode::kCancelled, "server: the request was cancelled because the server stops");
}

const char* FinishName(llm::FinishReason finish, bool has_calls) {
  if (finish == llm::FinishReason::kLength) return "length";
  return has_calls ? "tool_calls" : "stop";
}

ReplyHead MakeHead(Context& context, const char* kind) {
  engine::LocalModel& model = context.Model();
  const Digest digest = Hasher().Add(THRONG_VERSION).Add(model.Setup()).Finish();
  return {.id = RandomId(fmt::format("{}-", kind), 24),
          .created = std::time(nullptr),
          .model = model.Name(),
          .fingerprint = "fp_" + digest.Hex().substr(0, 10)};
}

}  // namespace throng::serve
