#include "serve/http/request_log.h"

#include <fmt/chrono.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace throng::serve {

void RequestLog::Closer::operator()(std::FILE* file) const {
  if (file != stdout) std::fclose(file);
}

RequestLog::RequestLog(const std::string& path, bool prompts) : prompts_(prompts) {
  file_.reset(path == "-" ? stdout : std::fopen(path.c_str(), "ae"));
  if (!file_) {
    throw MakeError(ErrorCode::kIo, "request log {}: it cannot be written: {}", path, std::strerror(errno));
  }
}

void RequestLog::Write(const RequestRecord& record) {
  using std::chrono::duration_cast;
  using std::chrono::milliseconds;
  const auto now = std::chrono::time_point_cast<milliseconds>(std::chrono::system_clock::now());
  const auto seconds = std::chrono::time_point_cast<std::chrono::seconds>(now);
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - record.begin;
  nlohmann::ordered_json json = {
      {"time", fmt::format("{:%FT%T}.{:03}Z", fmt::gmtime(std::chrono::system_clock::to_time_t(seconds)),
                           (now - seconds).count())},
      {"id", record.id},
      {"address", record.address},
      {"method", record.method},
      {"path", record.path},
      {"status", record.status},
      {"bytes", record.bytes},
      {"seconds", static_cast<double>(duration_cast<std::chrono::microseconds>(taken).count()) / 1e6}};
  if (!record.traceparent.empty()) json["traceparent"] = record.traceparent;
  if (record.tokens) {
    json["prompt_tokens"] = record.tokens->prompt;
    json["answer_tokens"] = record.tokens->answer;
  }
  if (prompts_ && !record.body.empty()) json["body"] = record.body;
  const std::string line = json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  // A full disk costs lines of the log, not answers.
  std::fwrite(line.data(), 1, line.size(), file_.get());
  std::fflush(file_.get());
}

}  // namespace throng::serve
