// Any body is a request of the API, or is refused in one sentence: the same one each time, with a code, and
// with the path of a field unless the body as a whole is none.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/check.h"
#include "serve/completion_request.h"
#include "serve/request_error.h"
#include "serve/responses/response_request.h"

using namespace throng::serve;

namespace {

// What the body is refused with.
std::optional<std::string> Refusal(uint8_t endpoint, std::string_view body) {
  try {
    ResponseStore store;
    switch (endpoint % 3) {
      case 0:
        THRONG_CHECK(ParseChatRequest(body).prompts.size() == 1);
        break;
      case 1:
        THRONG_CHECK(!ParseTextRequest(body).prompts.empty());
        break;
      default:
        THRONG_CHECK(!ParseResponseRequest(body, store).chat.empty());
    }
  } catch (const RequestError& error) {
    THRONG_CHECK(error.Status() == 400 && error.Name() != nullptr);
    THRONG_CHECK(error.Param().empty() == (error.Name() == std::string_view("invalid_json")));
    return error.what();
  }
  return std::nullopt;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::optional<std::string> refusal = Refusal(data[0], body);
  THRONG_CHECK(refusal == Refusal(data[0], body));
  if (refusal) THRONG_CHECK(!refusal->empty() && refusal->size() < 2000);
  return 0;
}
