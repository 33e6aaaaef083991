// Which endpoint answers a request, and whether it may: decided when the header is complete, before the body
// is read.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "serve/exchange.h"
#include "serve/http/access.h"
#include "serve/http/limits.h"
#include "serve/http/request_reader.h"

namespace throng::serve {

struct Route {
  std::string method;
  // A segment of the form {name} stands for any that is not empty; {name...}, the last one, for the rest of
  // the path.
  std::string path;
  std::function<HttpReply(const HttpRequest& request)> endpoint;
  bool open = false;  // needs no key
  bool quick =
      false;  // answers in less than a millisecond: on the server's one thread, even if it has a lot to do
};

class Router {
 public:
  Router(std::vector<Route> routes, AccessOptions access, const HttpLimits& limits);

  struct Decision {
    std::optional<HttpReply> reply{};  // the request is answered by this, and its body not wanted
    const Route* route = nullptr;      // or by this
  };
  // Fills in head.request.params.
  Decision Decide(RequestHead& head) const;

  // Calls the endpoint; what it throws becomes an error body, but for TakesLong. Any thread.
  static HttpReply Call(const Route& route, const HttpRequest& request);
  // Adds the headers that depend on the page that asks, and gives errors the form of the path's API.
  void Finish(const RequestHead& head, HttpReply& reply) const;

 private:
  // For an error: where clients meant to go whose base URL lacks "/v1" or has it twice; empty: nowhere known.
  std::vector<std::string> AllMethods() const;
  std::string Hint(const HttpRequest& request) const;

  const std::vector<Route> routes_;
  const Access access_;
  const HttpLimits& limits_;
};

}  // namespace throng::serve
