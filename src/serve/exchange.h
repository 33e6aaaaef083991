// HTTP as the endpoints see it: requests and replies. Sockets belong to server.cc.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace throng::serve {

struct HttpRequest {
  std::map<std::string, std::string> query;  // query of the address, decoded
  std::string body;
};

// The client's end of a streamed reply.
class ReplyWriter {
 public:
  virtual ~ReplyWriter() = default;
  virtual bool Write(std::string_view bytes) = 0;  // may block while the client reads; false: it is gone
  virtual bool IsAlive() = 0;
};

struct HttpReply {
  int status = 200;
  std::string type = "application/json";
  std::string body;
  // If set, writes the body instead, on the connection's thread, after the status has been sent. Returning
  // false breaks the connection off, so that the client knows that something is missing.
  std::function<bool(ReplyWriter& writer)> stream;
};

}  // namespace throng::serve
