// What the endpoints of Ollama's API have in common.
#pragma once

#include <string>

#include "serve/exchange.h"
#include "serve/fields/json_fields.h"
#include "serve/http/error_reply.h"
#include "serve/reply.h"

namespace throng::serve {

// Errors in Ollama's form: {"error": "a sentence"}.
inline std::string OllamaErrorBody(const Error& error) { return Dump({{"error", error.what()}}); }

inline HttpReply OllamaErrorReply(const Error& error) {
  HttpReply reply = ErrorReply(error);
  reply.body = OllamaErrorBody(error);
  return reply;
}

// What action() returns, or its error in Ollama's form.
template <typename Action>
HttpReply AsOllama(const Action& action) {
  try {
    return action();
  } catch (const Error& error) {
    return OllamaErrorReply(error);
  }
}

// "2026-11-30T16:00:00Z"
std::string OllamaTime(int64_t seconds_since_1970);

}  // namespace throng::serve
