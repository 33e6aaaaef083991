// Parses and checks the bodies of completion requests.
#pragma once

#include <string_view>

#include "engine/local_model.h"

namespace throng::serve {

struct CompletionRequest {
  engine::TextRequest text;
  bool stream = false;
  bool stream_usage = false;  // a last chunk with the token counts
};

// Throw kInvalid or kUnsupported with one sentence that names the field. Unsupported features that would
// change the answer are refused; other fields (user, metadata, ...) are ignored.
CompletionRequest ParseChatRequest(std::string_view body);
CompletionRequest ParseTextRequest(std::string_view body);

}  // namespace throng::serve
