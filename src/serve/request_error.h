// What is wrong with a request, in the terms of OpenAI's API.
#pragma once

#include <fmt/format.h>

#include <string>
#include <utility>

#include "base/error.h"

namespace throng::serve {

// kInvalid or kUnsupported, or a thing that is not here (status 404).
class RequestError : public Error {
 public:
  // param: the field's path, "messages[0].role"; empty: none is at fault. name: OpenAI's code of the error,
  // or null where it has none.
  RequestError(int status, std::string param, const char* name, const std::string& message)
      : Error(ErrorCode::kInvalid, message), status_(status), param_(std::move(param)), name_(name) {}

  int Status() const { return status_; }
  const std::string& Param() const { return param_; }
  const char* Name() const { return name_; }

 private:
  int status_;
  std::string param_;
  const char* name_;
};

// throw BadField("prompt", "invalid_value", "found {}, allowed: a text", json): the message begins with the
// field.
template <typename... Args>
RequestError BadField(const std::string& field, const char* name, fmt::format_string<Args...> format,
                      Args&&... args) {
  return {400, field, name, field + ": " + fmt::format(format, std::forward<Args>(args)...)};
}

}  // namespace throng::serve
