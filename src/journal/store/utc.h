// The time of day as journals write it.
#pragma once

#include <fmt/chrono.h>

#include <ctime>
#include <string>

namespace throng::journal {

// "2026-01-31T09:30:00Z"
inline std::string NowUtc() { return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr))); }

}  // namespace throng::journal
