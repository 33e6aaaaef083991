// The OpenAI chat protocol as text: writes the bodies of requests and reads answers. No network here.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "llm/backends/dialect.h"
#include "llm/llm.h"

namespace throng::llm {

// The body of a POST to /chat/completions. After an answer that was refused it ends with that answer, and
// why.
nlohmann::ordered_json ChatBody(const Request& request, const std::string& model, const Dialect& dialect);

// Text, finish, token counts and model (served_by) of a response with status 200. A body without an answer
// becomes kError with kBadAnswer, in a sentence that begins with `where` and quotes the body.
Completion ParseChatResponse(const std::string& body, std::string_view where);

// Whether a body is a chat completion at all, with or without an answer.
bool IsChatResponse(const std::string& body);

}  // namespace throng::llm
