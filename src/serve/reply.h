// The JSON of replies, in OpenAI's format.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/request.h"
#include "serve/http/error_reply.h"

namespace throng::serve {

// The fields that begin every chunk of a reply.
struct ReplyHead {
  bool chat = false;
  std::string id;
  int64_t created = 0;  // seconds since 1970
  std::string model;
};

std::string CompletionBody(const ReplyHead& head, const engine::EngineResult& result);

// Events of a stream, complete with "data: " and the empty line.
std::string FirstEvent(const ReplyHead& head);  // the role in chats, otherwise empty
std::string TextEvent(const ReplyHead& head, std::string_view text);
std::string FinishEvent(const ReplyHead& head, const engine::EngineResult& result);
std::string UsageEvent(const ReplyHead& head, const engine::EngineResult& result);
std::string ErrorEvent(const Error& error);
inline constexpr std::string_view kDoneEvent = "data: [DONE]\n\n";

std::string ModelsBody(std::string_view model, int64_t created, int max_context);

}  // namespace throng::serve
