// Exact decimal numbers, as JSON writes them: bounds are compared digit by digit, not as doubles.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace throng::llm {

// 0.DIGITS times 10 to the power of `point`, negated if `negative`. Zero has no digits and is not negative.
struct Decimal {
  static constexpr int64_t kMaxDigits = 1000;  // written out, on each side of the point

  bool negative = false;
  std::string digits;  // without zeros at either end
  int64_t point = 0;

  bool IsZero() const { return digits.empty(); }
  Decimal Negated() const;
  // Of the absolute value: "12" and "5" of 12.5, "0" and "05" of 0.05, "0" and "" of 0.
  std::string WholeDigits() const;
  std::string FractionDigits() const;

  std::strong_ordering operator<=>(const Decimal& other) const;
  bool operator==(const Decimal& other) const = default;
};

// Throws kInvalid with `where` if it is no JSON number, kUnsupported if it has more than kMaxDigits.
Decimal ParseDecimal(std::string_view json, std::string_view where);

}  // namespace throng::llm
