// The bodies of completion requests, checked and in our own terms.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "llm/llm.h"
#include "model/chat_template.h"

namespace throng::serve {

struct CompletionRequest {
  std::vector<model::ChatMessage> messages;  // of a chat
  std::string prompt;                        // of a text completion: this, or these tokens
  std::vector<int32_t> prompt_tokens;
  int max_tokens = 0;  // 0: not said
  llm::Sampling sampling;
  std::vector<std::string> stop;
  llm::Constraint constraint;
  bool stream = false;
  bool stream_usage = false;  // a last chunk with the token counts
};

// Throw kInvalid or kUnsupported with one sentence that names the field. What changes the answer and is not
// known here is refused; other fields (user, metadata, ...) are ignored.
CompletionRequest ParseChatRequest(std::string_view body);
CompletionRequest ParseTextRequest(std::string_view body);

}  // namespace throng::serve
