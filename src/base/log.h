// Logging goes to stderr through spdlog (format strings are checked at compile time); results go to stdout.
// The core floors log rarely and never print: they throw or return.
#pragma once

#include <spdlog/spdlog.h>

#include <string>

namespace throng {

// Called once by each program. level: trace, debug, info, warn, error or off; throws kInvalid for another.
void InitLog(const std::string& level);

}  // namespace throng
