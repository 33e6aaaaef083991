// Checks of flags that are numbers. CLI11's own let through what is no number (nan), wrap what is too large
// or negative, and print the largest double in full.
#pragma once

#include <cstdint>

#include "cli/cli11.h"

namespace throng::cli {

CLI::Validator Positive();     // a finite number above 0
CLI::Validator NotNegative();  // a finite number, 0 or more
// Digits alone, from `least` to what 64 bits hold.
CLI::Validator Whole(uint64_t least = 0);
CLI::Validator Bytes();  // as a transform: "2GB" becomes the number, with units of 1024

}  // namespace throng::cli
