#include "serve/http/error_reply.h"

#include <nlohmann/json.hpp>

namespace throng::serve {
namespace {

const char* TypeOf(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 503:
      return "overloaded_error";
    default:
      return status < 500 ? "invalid_request_error" : "server_error";
  }
}

}  // namespace

int StatusOf(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalid:
    case ErrorCode::kUnsupported:
      return 400;
    case ErrorCode::kExhausted:
    case ErrorCode::kUnavailable:
    case ErrorCode::kCancelled:
      return 503;
    case ErrorCode::kCorrupt:
    case ErrorCode::kIo:
    case ErrorCode::kBadAnswer:
      return 500;
  }
  return 500;
}

std::string ErrorBody(int status, std::string_view message) {
  const nlohmann::ordered_json json = {
      {"error", {{"message", message}, {"type", TypeOf(status)}, {"param", nullptr}, {"code", status}}}};
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

HttpReply ErrorReply(int status, std::string_view message) {
  HttpReply reply{.status = status, .body = ErrorBody(status, message)};
  if (status == 503) reply.headers.emplace_back("Retry-After", "1");
  return reply;
}

HttpReply ErrorReply(const Error& error) { return ErrorReply(StatusOf(error.Code()), error.what()); }

}  // namespace throng::serve
