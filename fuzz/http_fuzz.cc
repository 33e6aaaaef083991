// Any bytes of a client are requests, or refused, and always the same ones: however they are cut into pieces.

#include <algorithm>
#include <string>
#include <string_view>

#include "base/check.h"
#include "serve/http/reply_head.h"
#include "serve/http/request_reader.h"
#include "serve/http/router.h"

using namespace throng;
using namespace throng::serve;

namespace {

constexpr HttpLimits kLimits = {.header_bytes = 2000, .header_fields = 20, .body_bytes = 3000};

HttpReply Echo(const HttpRequest& request) {
  HttpReply reply;
  for (const auto& [name, value] : request.params) reply.body += name + "=" + value + "\n";
  for (const auto& [name, value] : request.query) reply.body += name + "=" + value + "\n";
  reply.body += request.body;
  return reply;
}

const Router& TheRouter() {
  static const Router router({{.method = "GET", .path = "/", .endpoint = Echo, .open = true},
                              {.method = "POST", .path = "/v1/completions", .endpoint = Echo},
                              {.method = "GET", .path = "/v1/models/{id...}", .endpoint = Echo}},
                             {.api_key = "k", .origins = {"http://localhost:3000"}}, kLimits);
  return router;
}

// All replies to these bytes, which arrive `step` at a time.
std::string Replies(std::string_view bytes, size_t step) {
  RequestReader reader(kLimits);
  std::string replies;
  const auto answer = [&](HttpReply reply) {
    TheRouter().Finish(reader.Head(), reply);
    const std::string head = ReplyHeadBytes(reply, {.keep_alive = reader.Head().keep_alive});
    THRONG_CHECK(head.find("\r\n\r\n") == head.size() - 4);  // nothing of the request ends the header
    const size_t date = head.find("\r\nDate: ");             // may change between two calls
    replies += head.substr(0, date) + head.substr(head.find("\r\n", date + 2)) + reply.body;
  };
  const Route* route = nullptr;
  while (true) {
    switch (reader.Advance()) {
      case RequestReader::State::kHead:
      case RequestReader::State::kBody: {
        const size_t size = std::min({step, bytes.size(), reader.Room()});
        if (bytes.empty()) return replies;
        THRONG_CHECK(size > 0);
        THRONG_CHECK(reader.BodyBytes() <= kLimits.body_bytes);
        reader.Append(bytes.substr(0, size));
        bytes.remove_prefix(size);
        break;
      }
      case RequestReader::State::kDecide: {
        Router::Decision decision = TheRouter().Decide(reader.Head());
        route = decision.route;
        if (decision.reply) {
          answer(*std::move(decision.reply));
          if (reader.Head().has_body) return replies;
        }
        reader.Accept();
        break;
      }
      case RequestReader::State::kComplete: {
        const HttpRequest request = reader.Take();
        if (route != nullptr) answer(Router::Call(*route, request));
        break;
      }
      case RequestReader::State::kWrong:
        return replies + reader.Problem().body;
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  THRONG_CHECK(Replies(bytes, 1 << 20) == Replies(bytes, 1 + data[0]));
  return 0;
}
