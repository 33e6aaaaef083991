#include "serve/run/run_request.h"

#include <charconv>
#include <limits>
#include <optional>

#include "base/error.h"
#include "serve/endpoints.h"
#include "serve/reply.h"
#include "serve/request_error.h"

namespace throng::serve {
namespace {

int64_t ParseNumber(const std::string& name, const std::string& text) {
  int64_t number = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, number);
  if (error != std::errc() || end != last || number < 0 || number > std::numeric_limits<int32_t>::max()) {
    throw MakeError(ErrorCode::kInvalid, "{}={}: allowed: a whole number from 0 on", name, text);
  }
  return number;
}

}  // namespace

const ShownRun& RunOf(const Context& context, const HttpRequest& request) {
  const auto& runs = context.options.runs;
  const auto number = static_cast<size_t>(NumberOf(request, "run", 0));
  if (number < runs.size()) return runs[number];
  throw RequestError(404, "run", "not_found",
                     runs.empty() ? "server: it was started without --journal, so there is no run"
                                  : fmt::format("run={}: there are {} runs", number, runs.size()));
}

std::unique_ptr<journal::Journal> OpenRun(const Context& context, const HttpRequest& request) {
  return journal::Journal::OpenToRead(RunOf(context, request).journal);
}

int64_t NumberOf(const HttpRequest& request, const std::string& name) {
  const auto found = request.query.find(name);
  if (found == request.query.end()) {
    throw MakeError(ErrorCode::kInvalid, "{}: it is missing, allowed: a whole number from 0 on", name);
  }
  return ParseNumber(name, found->second);
}

int64_t NumberOf(const HttpRequest& request, const std::string& name, int64_t fallback) {
  return request.query.contains(name) ? NumberOf(request, name) : fallback;
}

StepRange RangeOf(const HttpRequest& request) {
  const int64_t from = NumberOf(request, "from", 0);
  const int64_t to = NumberOf(request, "to", from + kMaxStepsPerReply);
  if (to < from || to - from > kMaxStepsPerReply) {
    throw MakeError(ErrorCode::kInvalid, "from={}, to={}: allowed: 0 to {} steps at once", from, to,
                    kMaxStepsPerReply);
  }
  return {from, to};
}

HttpReply JsonReply(const Json& json) {
  HttpReply reply;
  reply.body = Dump(json);
  return reply;
}

}  // namespace throng::serve
