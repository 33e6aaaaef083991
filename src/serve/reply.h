// The JSON of replies, in OpenAI's format.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "serve/context.h"
#include "serve/fields/json_fields.h"
#include "serve/generation.h"
#include "serve/http/error_reply.h"

namespace throng::serve {

std::string Dump(const Json& json);   // tokens are bytes: those that are no UTF-8 are replaced
std::string Event(const Json& json);  // of a stream, complete with "data: " and the empty line
inline constexpr std::string_view kDoneEvent = "data: [DONE]\n\n";

// The counts of some prompts and all that was computed for them.
struct Usage {
  int prompt_tokens = 0;
  int cached_tokens = 0;  // of these, taken from the prefix cache
  int answer_tokens = 0;
  int thought_tokens = 0;  // of these

  // Choices of one prompt follow one another. Once all have ended.
  static Usage Of(const Generation& generation, size_t choices_per_prompt);
  Json ToJson() const;
  TokenCounts ForLog() const { return {.prompt = prompt_tokens, .answer = answer_tokens}; }
};

bool IsFinished(const engine::EngineResult& result);  // as it should: by its end or its limit
Error ErrorOf(const engine::EngineResult& result);    // for others
// "stop" or "length"; "tool_calls" for an answer that has calls and is complete.
const char* FinishName(llm::FinishReason finish, bool has_calls = false);

// What all replies begin with.
struct ReplyHead {
  std::string id;
  int64_t created = 0;  // seconds since 1970
  std::string model;
  std::string fingerprint;  // the same as long as the server's program, model file and KV codec are
};
// kind: what ids begin with, "chatcmpl". The rest is by chance: clients keep answers by their ids, and the
// server may be started again.
ReplyHead MakeHead(Context& context, const char* kind);

}  // namespace throng::serve
