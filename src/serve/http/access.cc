#include "serve/http/access.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/error.h"
#include "serve/http/error_reply.h"
#include "serve/http/target.h"
#include "serve/http/text.h"

namespace throng::serve {
namespace {

constexpr std::string_view kPreflightSeconds = "600";  // for which a browser need not ask again

// Compares in a time that does not reveal how much of the key was right.
bool Equal(std::string_view a, std::string_view b) {
  unsigned char difference = a.size() != b.size();
  for (size_t i = 0; i < a.size(); ++i) difference |= a[i] ^ b[b.empty() ? 0 : i % b.size()];
  return difference == 0;
}

bool IsAddress(const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> address;
  return inet_pton(AF_INET, host.c_str(), address.data()) == 1 ||
         inet_pton(AF_INET6, host.c_str(), address.data()) == 1;
}

std::string MachineName() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return "localhost";
  return LowerCase(name.data());
}

// Of "scheme://authority", what is behind the scheme.
std::string_view AuthorityOf(std::string_view origin) {
  const size_t scheme = origin.find("://");
  return scheme == origin.npos ? std::string_view() : origin.substr(scheme + 3);
}

}  // namespace

Access::Access(AccessOptions options) : options_(std::move(options)) {
  for (std::string& host : options_.hosts) {
    const auto name = HostOf(host);
    if (!name || host.find(':') != host.npos) {
      throw MakeError(ErrorCode::kInvalid, "server: host {}: allowed is a name without port", host);
    }
    host = *name;
  }
  options_.hosts.insert(options_.hosts.end(), {"localhost", MachineName()});
  for (std::string& origin : options_.origins) {
    if (origin == "*") {
      any_origin_ = true;
    } else if (origin != "null" && !HostOf(AuthorityOf(origin))) {
      throw MakeError(ErrorCode::kInvalid,
                      "server: origin {}: allowed is scheme://host, scheme://host:port, null or *", origin);
    }
    origin = LowerCase(origin);
  }
}

bool Access::IsHostAllowed(const RequestHead& head) const {
  const std::string_view authority = head.Header("host");
  if (authority.empty()) return true;  // HTTP/1.0, which no browser speaks
  const std::string host = HostOf(authority).value_or("");
  return IsAddress(host) || host.ends_with(".localhost") ||
         std::find(options_.hosts.begin(), options_.hosts.end(), host) != options_.hosts.end();
}

bool Access::IsOriginAllowed(const RequestHead& head) const {
  const std::string origin = LowerCase(head.Header("origin"));
  if (origin.empty() || any_origin_) return true;
  if (std::find(options_.origins.begin(), options_.origins.end(), origin) != options_.origins.end()) {
    return true;
  }
  const std::string_view authority = AuthorityOf(origin);
  return !authority.empty() && authority == LowerCase(head.Header("host"));  // the server's own page
}

bool Access::HasKey(const RequestHead& head) const {
  constexpr std::string_view kScheme = "bearer";
  const std::string_view sent = Trim(head.Header("authorization"));
  const std::string_view scheme = sent.substr(0, sent.find(' '));
  return LowerCase(scheme) == kScheme && Equal(Trim(sent.substr(scheme.size())), options_.api_key);
}

std::optional<HttpReply> Access::Refuse(const RequestHead& head, bool open) const {
  if (options_.api_key.empty() && !IsHostAllowed(head)) {
    return ErrorReply(403, fmt::format("Host: {} is not a name of this server; --allow-host allows it",
                                       head.Header("host")));
  }
  if (!IsOriginAllowed(head)) {
    return ErrorReply(403, fmt::format("Origin: pages of {} may not use this server; --cors allows it",
                                       head.Header("origin")));
  }
  if (open || options_.api_key.empty() || HasKey(head)) return std::nullopt;
  HttpReply reply = ErrorReply(401, "Authorization: the API key is missing or wrong");
  reply.headers.emplace_back("WWW-Authenticate", "Bearer");
  return reply;
}

std::optional<HttpReply> Access::Preflight(const RequestHead& head, std::string_view methods) const {
  if (head.request.method != "OPTIONS" || head.Header("origin").empty() ||
      head.Header("access-control-request-method").empty()) {
    return std::nullopt;
  }
  if (auto refusal = Refuse(head, /*open=*/true)) return refusal;
  HttpReply reply{.status = 204, .type = ""};
  reply.headers.emplace_back("Access-Control-Allow-Methods", methods);
  if (const std::string_view asked = head.Header("access-control-request-headers"); !asked.empty()) {
    reply.headers.emplace_back("Access-Control-Allow-Headers", asked);
  }
  if (head.Header("access-control-request-private-network") == "true") {
    reply.headers.emplace_back("Access-Control-Allow-Private-Network", "true");
  }
  reply.headers.emplace_back("Access-Control-Max-Age", kPreflightSeconds);
  return reply;
}

void Access::AddHeaders(const RequestHead& head, HttpReply& reply) const {
  if (options_.origins.empty()) return;
  reply.headers.emplace_back("Vary", "Origin");
  const std::string_view origin = head.Header("origin");
  if (origin.empty() || !IsOriginAllowed(head)) return;
  reply.headers.emplace_back("Access-Control-Allow-Origin", any_origin_ ? "*" : origin);
  reply.headers.emplace_back("Access-Control-Expose-Headers", "X-Request-Id, Retry-After");
}

}  // namespace throng::serve
