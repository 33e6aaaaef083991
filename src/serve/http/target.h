// The address that a request asks for.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace throng::serve {

struct Target {
  std::string path;                          // decoded
  std::map<std::string, std::string> query;  // decoded; of equal names the first
  std::string authority;                     // host and port; empty unless the target names them itself
};

// "/path?query", "http://host/path?query" or "*". Nothing for others, and for wrong escapes or control
// characters among what they stand for.
std::optional<Target> ParseTarget(std::string_view text);

// The host of "host", "host:port", "[::1]" or "[::1]:port", in lower case and without brackets. Nothing for
// other forms.
std::optional<std::string> HostOf(std::string_view authority);

}  // namespace throng::serve
