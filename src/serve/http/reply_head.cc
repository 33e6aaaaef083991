#include "serve/http/reply_head.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <boost/beast/http/status.hpp>
#include <ctime>
#include <iterator>

namespace throng::serve {

std::string ReplyHeadBytes(const HttpReply& reply, const ReplyFrame& frame) {
  std::string head;
  const auto out = std::back_inserter(head);
  const auto reason = boost::beast::http::obsolete_reason(boost::beast::http::int_to_status(reply.status));
  fmt::format_to(out, "HTTP/1.1 {} {}\r\nDate: {:%a, %d %b %Y %T} GMT\r\n", reply.status,
                 std::string_view(reason.data(), reason.size()), fmt::gmtime(std::time(nullptr)));
  if (!reply.type.empty()) {
    fmt::format_to(out, "Content-Type: {}\r\nX-Content-Type-Options: nosniff\r\n", reply.type);
  }
  if (frame.content_length) fmt::format_to(out, "Content-Length: {}\r\n", *frame.content_length);
  if (frame.chunked) head += "Transfer-Encoding: chunked\r\n";
  // Proxies such as nginx pass the pieces on as they come.
  if (reply.stream) head += "Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n";
  for (const auto& [name, value] : reply.headers) fmt::format_to(out, "{}: {}\r\n", name, value);
  if (!frame.request_id.empty()) fmt::format_to(out, "X-Request-Id: {}\r\n", frame.request_id);
  if (!frame.traceparent.empty()) fmt::format_to(out, "traceparent: {}\r\n", frame.traceparent);
  fmt::format_to(out, "Connection: {}\r\n\r\n", frame.keep_alive ? "keep-alive" : "close");
  return head;
}

std::string ChunkBytes(std::string_view body) { return fmt::format("{:x}\r\n{}\r\n", body.size(), body); }

}  // namespace throng::serve
