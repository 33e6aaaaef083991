#include "serve/http/router.h"

#include <fmt/format.h>

#include <algorithm>
#include <new>
#include <set>

#include "base/error.h"
#include "serve/http/error_reply.h"
#include "serve/http/gzip.h"

namespace throng::serve {
namespace {

using Params = std::map<std::string, std::string>;

// Takes the segment that begins at `text`, which starts with '/'.
std::string_view TakeSegment(std::string_view& text) {
  const size_t end = std::min(text.find('/', 1), text.size());
  const std::string_view segment = text.substr(1, end - 1);
  text.remove_prefix(end);
  return segment;
}

bool Matches(std::string_view pattern, std::string_view path, Params& params) {
  params.clear();
  while (pattern.starts_with('/') && path.starts_with('/')) {
    const std::string_view expected = TakeSegment(pattern);
    if (!expected.starts_with('{')) {
      if (TakeSegment(path) != expected) return false;
      continue;
    }
    std::string_view name = expected.substr(1, expected.size() - 2);
    std::string_view value = path.substr(1);
    if (name.ends_with("...")) {
      name.remove_suffix(3);
      path = {};
    } else {
      value = TakeSegment(path);
    }
    if (value.empty()) return false;
    params.emplace(name, value);
  }
  return pattern.empty() && path.empty();
}

}  // namespace

Router::Router(std::vector<Route> routes, AccessOptions access, const HttpLimits& limits)
    : routes_(std::move(routes)), access_(std::move(access)), limits_(limits) {}

std::vector<std::string> Router::AllMethods() const {
  std::set<std::string> methods = {"HEAD"};
  for (const Route& route : routes_) methods.insert(route.method);
  return {methods.begin(), methods.end()};
}

std::string Router::Hint(const HttpRequest& request) const {
  const std::string path =
      request.path.starts_with("/v1/v1/") ? request.path.substr(3) : "/v1" + request.path;
  Params params;
  for (const Route& route : routes_) {
    if (route.method != request.method || !Matches(route.path, path, params)) continue;
    return fmt::format("; did you mean {}? A client's base URL ends with /v1, once", path);
  }
  return "";
}

Router::Decision Router::Decide(RequestHead& head) const {
  HttpRequest& request = head.request;
  const Route* route = nullptr;
  std::vector<std::string> methods;
  for (const Route& candidate : routes_) {
    Params params;
    if (!Matches(candidate.path, request.path, params)) continue;
    methods.push_back(candidate.method);
    if (candidate.method == "GET") methods.push_back("HEAD");
    if (candidate.method != request.method && !(candidate.method == "GET" && request.method == "HEAD"))
      continue;
    route = &candidate;
    request.params = std::move(params);
  }
  if (request.method == "OPTIONS" && request.path == "*") methods = AllMethods();
  const std::string allowed = fmt::format("{}", fmt::join(methods, ", "));
  if (auto preflight = access_.Preflight(head, allowed)) return {.reply = std::move(preflight)};
  // That there is no such endpoint is no secret.
  const bool open = methods.empty() || (route != nullptr && route->open);
  if (auto refusal = access_.Refuse(head, open)) return {.reply = std::move(refusal)};
  if (methods.empty()) {
    return {.reply = ErrorReply(404, fmt::format("{} {}: there is no such endpoint{}", request.method,
                                                 request.path, Hint(request)))};
  }
  if (route == nullptr) {
    HttpReply reply{.status = 204, .type = ""};
    if (request.method != "OPTIONS") {
      reply = ErrorReply(
          405, fmt::format("{} {}: allowed: {}{}", request.method, request.path, allowed, Hint(request)));
    }
    reply.headers.emplace_back("Allow", allowed);
    return {.reply = std::move(reply)};
  }
  if (head.content_length > limits_.body_bytes) {
    return {.reply = ErrorReply(413, fmt::format("body: it is larger than {} bytes, the most that is allowed",
                                                 limits_.body_bytes))};
  }
  if (const std::string_view coding = head.Header("content-encoding");
      head.has_body && !coding.empty() && coding != "identity") {
    return {.reply = ErrorReply(415, fmt::format("content-encoding: found {}, allowed: identity", coding))};
  }
  return {.route = route};
}

HttpReply Router::Call(const Route& route, const HttpRequest& request) {
  try {
    HttpReply reply = route.endpoint(request);
    if (!route.quick && !reply.source) GzipIfWorth(request, reply);
    return reply;
  } catch (const Error& error) {
    return ErrorReply(error);
  } catch (const std::bad_alloc&) {
    return ErrorReply(503, "server: out of memory");
  } catch (const std::exception& error) {
    return ErrorReply(500, fmt::format("server: unexpected: {}", error.what()));
  }
}

void Router::Finish(const RequestHead& head, HttpReply& reply) const {
  if (!reply.error.empty() && head.request.path.starts_with("/api/"))
    reply.body = ShortErrorBody(reply.error);
  access_.AddHeaders(head, reply);
}

}  // namespace throng::serve
