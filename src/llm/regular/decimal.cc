#include "llm/regular/decimal.h"

#include <algorithm>

#include "base/error.h"

namespace throng::llm {
namespace {

constexpr int64_t kFarExponent = 1'000'000'000;  // beyond every limit, and far from overflow

// Takes digits from the beginning of `text`.
std::string_view TakeDigits(std::string_view& text) {
  const size_t count = std::min(text.find_first_not_of("0123456789"), text.size());
  const std::string_view digits = text.substr(0, count);
  text.remove_prefix(count);
  return digits;
}

bool Take(std::string_view& text, std::string_view any_of) {
  if (text.empty() || any_of.find(text[0]) == any_of.npos) return false;
  text.remove_prefix(1);
  return true;
}

}  // namespace

Decimal Decimal::Negated() const {
  Decimal other = *this;
  other.negative = !negative && !IsZero();
  return other;
}

std::string Decimal::WholeDigits() const {
  if (point <= 0) return "0";
  std::string whole = digits.substr(0, static_cast<size_t>(point));
  whole.resize(static_cast<size_t>(point), '0');
  return whole;
}

std::string Decimal::FractionDigits() const {
  if (point <= 0) return std::string(static_cast<size_t>(-point), '0') + digits;
  return static_cast<size_t>(point) < digits.size() ? digits.substr(static_cast<size_t>(point)) : "";
}

std::strong_ordering Decimal::operator<=>(const Decimal& other) const {
  if (negative != other.negative)
    return negative ? std::strong_ordering::less : std::strong_ordering::greater;
  const Decimal& a = negative ? other : *this;
  const Decimal& b = negative ? *this : other;
  if (a.IsZero() || b.IsZero()) return a.digits.size() <=> b.digits.size();
  if (a.point != b.point) return a.point <=> b.point;
  return a.digits <=> b.digits;  // fractions: text order is that of the numbers
}

Decimal ParseDecimal(std::string_view json, std::string_view where) {
  const auto wrong = [&] {
    return MakeError(ErrorCode::kInvalid, "{} must be a number, not {:?}", where, json);
  };
  std::string_view rest = json;
  Decimal decimal;
  decimal.negative = Take(rest, "-");
  const std::string_view whole = TakeDigits(rest);
  if (whole.empty() || (whole.size() > 1 && whole[0] == '0')) throw wrong();
  std::string_view fraction;
  if (Take(rest, ".")) {
    fraction = TakeDigits(rest);
    if (fraction.empty()) throw wrong();
  }
  int64_t exponent = 0;
  if (Take(rest, "eE")) {
    const bool negative = rest.starts_with('-');
    Take(rest, "+-");
    const std::string_view digits = TakeDigits(rest);
    if (digits.empty()) throw wrong();
    for (const char digit : digits) exponent = std::min(exponent * 10 + (digit - '0'), kFarExponent);
    if (negative) exponent = -exponent;
  }
  if (!rest.empty()) throw wrong();

  decimal.digits = std::string(whole) + std::string(fraction);
  const size_t zeros = std::min(decimal.digits.find_first_not_of('0'), decimal.digits.size());
  decimal.digits.erase(0, zeros);
  decimal.digits.erase(decimal.digits.find_last_not_of('0') + 1);
  if (decimal.IsZero()) return {};
  decimal.point = static_cast<int64_t>(whole.size()) - static_cast<int64_t>(zeros) + exponent;
  const int64_t num_fraction = static_cast<int64_t>(decimal.digits.size()) - decimal.point;
  if (decimal.point > Decimal::kMaxDigits || num_fraction > Decimal::kMaxDigits) {
    throw MakeError(ErrorCode::kUnsupported, "{} has more than {} digits before or after the point", where,
                    Decimal::kMaxDigits);
  }
  return decimal;
}

}  // namespace throng::llm
