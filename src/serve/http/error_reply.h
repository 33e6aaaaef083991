// Errors as replies, in OpenAI's format: {"error": {"message", "type", "param", "code"}}; those of Ollama's
// and of the viewer's paths, which begin with /api/, get {"error": "message"} when they are sent.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "serve/exchange.h"

namespace throng::serve {

// The status of a reply, which a RequestError says itself.
int StatusOf(const Error& error);

// As JSON. param and code are null, unless the error is a RequestError, or the key is wrong (401).
std::string ErrorBody(int status, std::string_view message);
std::string ErrorBody(const Error& error);

// {"error": "message"}
std::string ShortErrorBody(std::string_view message);

HttpReply ErrorReply(int status, std::string_view message);
HttpReply ErrorReply(const Error& error);

}  // namespace throng::serve
