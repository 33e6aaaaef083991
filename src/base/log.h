// Logging goes to stderr through spdlog (format strings are checked at compile time); results go to stdout.
// The core floors log rarely and never print: they throw or return.
#pragma once

#include <spdlog/spdlog.h>

#include <string>

namespace throng {

// Each program calls this once. level: trace, debug, info, warn, error or off; throws kInvalid for any other.
void InitLog(const std::string& level);

}  // namespace throng
