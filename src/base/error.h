// The one exception type of the project, for bad input, I/O and missing resources. Our own bugs use check.h.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace throng {

enum class ErrorCode {
  kInvalid,      // the user's input is wrong: flag, file, request
  kCorrupt,      // a file is damaged or of another version
  kUnsupported,  // valid, but this build or model cannot do it
  kExhausted,    // a budget or limit is used up: memory, disk, context, tokens
  kUnavailable,  // a server or device does not answer
  kBadAnswer,    // a model answers, but not as it must, however often it is asked
  kIo,           // the operating system refused
  kCancelled,
};

// "invalid", "corrupt", ...: stable names for JSON and logs.
const char* ErrorCodeName(ErrorCode code);

// The message is one sentence: where, what was found, what is allowed.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode Code() const { return code_; }

 private:
  ErrorCode code_;
};

// throw MakeError(ErrorCode::kInvalid, "{}: tensor {} has {} bytes", path, name, n);
template <typename... Args>
Error MakeError(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  return Error(code, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace throng
