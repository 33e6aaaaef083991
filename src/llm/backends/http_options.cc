#include "llm/backends/http_options.h"

#include <algorithm>
#include <cstdlib>

#include "base/error.h"
#include "base/text/key_values.h"

namespace throng::llm {
namespace {

std::string ApiKeyFromEnvironment() {
  for (const char* name : {"THRONG_API_KEY", "OPENAI_API_KEY"}) {
    const char* value = std::getenv(name);
    if (value != nullptr && *value != '\0') return value;
  }
  return "";
}

}  // namespace

HttpOptions HttpOptions::Parse(std::string_view url) {
  HttpOptions options;
  const size_t question = std::min(url.find('?'), url.size());
  const std::string_view address = url.substr(0, question);
  const size_t host = address.find("://") == address.npos ? address.size() : address.find("://") + 3;
  const size_t path = std::min(address.find('/', host), address.size());
  const std::string_view scheme = address.substr(0, host);
  if ((scheme != "http://" && scheme != "https://") || path == host || address.find('@') != address.npos) {
    throw MakeError(ErrorCode::kInvalid,
                    "llm: {:?} is not a server's address; one looks like http://host:8000/v1?model=name",
                    address);
  }
  options.origin = address.substr(0, path);
  std::string_view rest = address.substr(path);
  while (rest.ends_with('/')) rest.remove_suffix(1);
  if (!rest.empty()) options.path = rest;
  if (options.path.ends_with("/chat/completions")) options.path.resize(options.path.size() - 17);
  options.api_key = ApiKeyFromEnvironment();
  KeyValues values("http", url.substr(std::min(question + 1, url.size())), '&');
  options.model = values.Text("model", options.model);
  options.in_flight = values.Int("in_flight", options.in_flight, 1, kMostInFlight);
  options.adapts = values.Flag("adapt", options.adapts);
  options.connect_timeout = values.Number("connect_timeout", options.connect_timeout, 0.01, 3600.0);
  options.timeout = values.Number("timeout", options.timeout, 0.01, 86400.0);
  options.priority =
      static_cast<PriorityOrder>(values.Choice("priority", {"own", "off", "low-first", "high-first"}));
  options.priority_name = values.Text("priority_name", options.priority_name);
  values.CheckAllUsed();
  return options;
}

std::vector<HttpOptions> HttpOptions::ParseList(std::string_view urls) {
  std::vector<HttpOptions> servers;
  for (size_t begin = 0; begin <= urls.size();) {
    const size_t end = std::min(urls.find(',', begin), urls.size());
    servers.push_back(Parse(urls.substr(begin, end - begin)));
    begin = end + 1;
  }
  if (servers.size() > kMostServers) {
    throw MakeError(ErrorCode::kInvalid, "llm: {} servers, allowed are at most {}", servers.size(),
                    kMostServers);
  }
  return servers;
}

}  // namespace throng::llm
