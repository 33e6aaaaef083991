// One line of JSON for each request that was answered, or whose client went away.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "serve/exchange.h"

namespace throng::serve {

struct RequestRecord {
  std::string id{};           // X-Request-Id, the client's or ours
  std::string traceparent{};  // the client's; empty without one
  std::string address{};
  std::string method{};
  std::string path{};                             // without the query
  std::string body{};                             // only if prompts are logged
  int status = 0;                                 // 499: the client went away before the end
  uint64_t bytes = 0;                             // sent
  std::chrono::steady_clock::time_point begin{};  // when the first byte of the request came
  std::optional<TokenCounts> tokens{};
};

class RequestLog {
 public:
  // path: "-" is standard output; a file is appended to. Throws kIo.
  RequestLog(const std::string& path, bool prompts);

  bool WantsPrompts() const { return prompts_; }
  void Write(const RequestRecord& record);

 private:
  struct Closer {
    void operator()(std::FILE* file) const;
  };
  std::unique_ptr<std::FILE, Closer> file_;
  bool prompts_;
};

}  // namespace throng::serve
