// The bytes of a reply before and around its body.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "serve/exchange.h"

namespace throng::serve {

struct ReplyFrame {
  bool keep_alive = true;
  bool chunked = false;
  std::optional<size_t> content_length{};  // neither: the body ends with the connection
  std::string_view request_id{};
  std::string_view traceparent{};
};

std::string ReplyHeadBytes(const HttpReply& reply, const ReplyFrame& frame);
std::string ChunkBytes(std::string_view body);  // body is not empty
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";
inline constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

}  // namespace throng::serve
