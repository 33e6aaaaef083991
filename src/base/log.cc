#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>

#include "base/error.h"

namespace throng {

void InitLog(const std::string& level) {
  const auto parsed = spdlog::level::from_str(level);
  if (parsed == spdlog::level::off && level != "off") {
    throw MakeError(ErrorCode::kInvalid,
                    "log level '{}' is unknown; allowed: trace debug info warn error off", level);
  }
  if (!spdlog::get("throng")) spdlog::set_default_logger(spdlog::stderr_color_mt("throng"));
  spdlog::set_pattern("%^%l%$: %v");
  spdlog::set_level(parsed);
}

}  // namespace throng
