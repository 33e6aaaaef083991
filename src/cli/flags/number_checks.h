// Checks numeric flags. CLI11's own checks accept nan, wrap numbers that are too large or negative, and print
// the largest double in full.
#pragma once

#include <cstdint>

#include "cli/cli11.h"

namespace throng::cli {

CLI::Validator Positive();     // a finite number above 0
CLI::Validator NotNegative();  // a finite number, 0 or more
// Digits only, from `least` to the largest 64-bit number.
CLI::Validator Whole(uint64_t least = 0);
CLI::Validator Bytes();  // as a transform: "2GB" becomes the number, with units of 1024

}  // namespace throng::cli
