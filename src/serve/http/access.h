// Who may talk to the server: holders of the key; without a key, programs on hosts that are meant, and pages
// of origins that are allowed.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serve/exchange.h"
#include "serve/http/request_reader.h"

namespace throng::serve {

struct AccessOptions {
  std::string api_key{};  // if not empty, whatever is not open requires it as a bearer token
  // Names that clients may use for this server besides addresses, localhost and the machine's own name.
  // Checked without a key only: a web page can give its own name this machine's address.
  std::vector<std::string> hosts{};
  // Origins whose pages may use the server, such as https://app.example:8443, or "*".
  std::vector<std::string> origins{};
};

class Access {
 public:
  // Throws kInvalid for origins and hosts that are none.
  explicit Access(AccessOptions options);

  // The reply if the client may not ask this. An open address needs no key.
  std::optional<HttpReply> Refuse(const RequestHead& head, bool open) const;
  // The reply to a browser that asks, without a key, whether a page may send a request; nothing if this is no
  // such question. `methods` are those of the address, as in "GET, HEAD".
  std::optional<HttpReply> Preflight(const RequestHead& head, std::string_view methods) const;
  // Adds what lets a browser show the reply to its page.
  void AddHeaders(const RequestHead& head, HttpReply& reply) const;

 private:
  bool IsHostAllowed(const RequestHead& head) const;
  bool IsOriginAllowed(const RequestHead& head) const;
  bool HasKey(const RequestHead& head) const;

  AccessOptions options_;
  bool any_origin_ = false;
};

}  // namespace throng::serve
