// Reads the requests of a connection from its bytes, by Boost.Beast's parser and stricter than it where two
// readers could differ. No sockets.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "serve/exchange.h"
#include "serve/http/limits.h"

namespace throng::serve {

struct RequestHead {
  HttpRequest request;  // without body and params
  std::string target;   // as sent
  bool http11 = true;
  bool keep_alive = true;
  bool has_body = false;
  uint64_t content_length = 0;    // 0: unknown, or none
  bool expects_continue = false;  // the client waits for status 100 before it sends the body

  // Empty if it was not sent. The name is in lower case.
  std::string_view Header(const std::string& name) const;
};

class RequestReader {
 public:
  enum class State {
    kHead,      // the header is not complete
    kDecide,    // it is: somebody has to decide whether the request is wanted
    kBody,      // the body is not complete
    kComplete,  // Take gives the request
    kWrong      // it is no HTTP, or beyond a limit; nothing more is read
  };

  explicit RequestReader(const HttpLimits& limits);
  ~RequestReader();

  // Bytes that Append takes now: none while a complete request waits with others behind it.
  size_t Room() const;
  void Append(std::string_view bytes);
  State Advance();  // reads on; cheap if there is nothing new

  // True while nothing of the next request is here.
  bool IsIdle() const;
  RequestHead& Head() { return head_; }                  // from kDecide until the next request is complete
  void Accept();                                         // in kDecide
  size_t BodyBytes() const;                              // received so far
  HttpRequest Take();                                    // in kComplete; the next request may begin
  void Forget();                                         // frees what is left of it
  const HttpReply& Problem() const { return problem_; }  // in kWrong

 private:
  class Parser;

  State Fail(int status, std::string_view message);
  State ReadHead();
  State ReadBody();
  State Check();

  const HttpLimits& limits_;
  State state_ = State::kHead;
  std::string bytes_;               // received, not yet parsed
  size_t searched_ = 0;             // no end of a header begins before this position in bytes_
  std::unique_ptr<Parser> parser_;  // from kDecide until Take
  RequestHead head_;
  HttpReply problem_;
};

}  // namespace throng::serve
