// The JSON texts of numbers within bounds.
#pragma once

#include <string>
#include <string_view>

#include "llm/regular/regular.h"

namespace throng::llm {

// Keywords of JSON Schema (Validation 6.2), each as the number is written in JSON; empty if it is absent.
struct NumberBounds {
  std::string minimum = "";
  std::string exclusive_minimum = "";
  std::string maximum = "";
  std::string exclusive_maximum = "";
  std::string multiple_of = "";
};

// Integers: digits without a fraction or an exponent, zero without a sign. As many digits as a bound of up to
// 40 has; without a bound 18, or one more than the nearest number that is allowed. Reduced; empty if no
// number is allowed. Both throw kInvalid or kUnsupported with `where` for a bound that is no number, has more
// than 1000 digits, or a multipleOf that is not above 0 or needs too many states (its digits, without zeros
// at the end, can be a number of up to about 65,000).
Regular IntegerTexts(const NumberBounds& bounds, std::string_view where);

// Numbers: written out, with at most 18 digits (or one more than a bound of up to 40 has); or, without a
// multipleOf, with one digit other than 0 before the point and an exponent from -307 to 307. So every double
// from 1e-307 to below 1e308 can be reached. Beside an exclusive bound other than 0, 15 digits instead of 18:
// a reader who rounds to doubles would take a closer number for the bound itself.
Regular NumberTexts(const NumberBounds& bounds, std::string_view where);

}  // namespace throng::llm
