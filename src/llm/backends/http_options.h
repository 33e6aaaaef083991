// How a server is reached that is asked over HTTP, as users write it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace throng::llm {

// Which requests a server takes first, if it is told their priorities.
// kOwn: low first, and only `throng serve` is told, which is known to take them so.
enum class PriorityOrder { kOwn, kNotSent, kLowFirst, kHighFirst };

struct HttpOptions {
  static constexpr int kMostInFlight = 512;
  static constexpr size_t kMostServers = 64;

  std::string origin;        // "http://localhost:8000"
  std::string path = "/v1";  // before /chat/completions
  std::string model;         // empty: the first that the server lists
  int in_flight =
      kMostInFlight;            // most requests at once; how many there are follows from how the server copes
  bool adapts = true;           // false: always up to in_flight
  double connect_timeout = 10;  // seconds
  double timeout = 300;         // seconds from a request to the last byte of its answer
  PriorityOrder priority = PriorityOrder::kOwn;  // a call's is its simulated step
  std::string priority_name = "priority";        // the field of the request
  std::string api_key;                           // never shown

  std::string Address() const { return origin + path; }

  // "http://host:8000/v1?model=name&in_flight=8": options after ?, separated by &. The key comes from
  // $THRONG_API_KEY, else $OPENAI_API_KEY. Throws kInvalid.
  static HttpOptions Parse(std::string_view url);
  // One or more of them, separated by commas.
  static std::vector<HttpOptions> ParseList(std::string_view urls);
};

}  // namespace throng::llm
