#include "serve/http/error_reply.h"

#include <nlohmann/json.hpp>

#include "serve/request_error.h"

namespace throng::serve {
namespace {

using Json = nlohmann::ordered_json;

// As OpenAI has it, whose clients go by the status and the code.
const char* TypeOf(int status) { return status < 500 ? "invalid_request_error" : "server_error"; }

int StatusOfCode(ErrorCode code) {
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

std::string Text(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string Body(int status, std::string_view message, const Json& param, const Json& code) {
  const Json json = {
      {"error", {{"message", message}, {"type", TypeOf(status)}, {"param", param}, {"code", code}}}};
  return Text(json);
}

HttpReply Reply(int status, std::string body, std::string_view message) {
  HttpReply reply{.status = status, .body = std::move(body), .error = std::string(message)};
  if (status == 503) reply.headers.emplace_back("Retry-After", "1");
  return reply;
}

}  // namespace

int StatusOf(const Error& error) {
  const auto* of_request = dynamic_cast<const RequestError*>(&error);
  return of_request != nullptr ? of_request->Status() : StatusOfCode(error.Code());
}

std::string ErrorBody(int status, std::string_view message) {
  return Body(status, message, nullptr, status == 401 ? Json("invalid_api_key") : Json());
}

std::string ErrorBody(const Error& error) {
  const auto* of_request = dynamic_cast<const RequestError*>(&error);
  if (of_request == nullptr) return ErrorBody(StatusOf(error), error.what());
  const Json param = of_request->Param().empty() ? Json() : Json(of_request->Param());
  const Json code = of_request->Name() == nullptr ? Json() : Json(of_request->Name());
  return Body(of_request->Status(), error.what(), param, code);
}

std::string ShortErrorBody(std::string_view message) { return Text({{"error", message}}); }

HttpReply ErrorReply(int status, std::string_view message) {
  return Reply(status, ErrorBody(status, message), message);
}

HttpReply ErrorReply(const Error& error) { return Reply(StatusOf(error), ErrorBody(error), error.what()); }

}  // namespace throng::serve
