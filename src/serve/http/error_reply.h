// Errors as replies, in OpenAI's format: {"error": {"message", "type", "param", "code"}}.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "serve/exchange.h"

namespace throng::serve {

int StatusOf(ErrorCode code);
std::string ErrorBody(int status, std::string_view message);

HttpReply ErrorReply(int status, std::string_view message);
HttpReply ErrorReply(const Error& error);

}  // namespace throng::serve
