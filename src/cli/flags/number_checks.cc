#include "cli/flags/number_checks.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <limits>
#include <string>
#include <system_error>

namespace throng::cli {

namespace {

// The whole text must be the number.
template <typename Number>
bool Parse(const std::string& text, Number& number) {
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, number);
  return error == std::errc() && end == last;
}

CLI::Validator Real(bool zero_too, const char* name) {
  return CLI::Validator(
      [zero_too](const std::string& text) {
        double number = 0;
        const bool ok =
            Parse(text, number) && std::isfinite(number) && (number > 0 || (zero_too && number == 0));
        return ok ? std::string()
                  : fmt::format("{} is no number {}", text, zero_too ? "from 0 on" : "above 0");
      },
      name);
}

}  // namespace

CLI::Validator Positive() { return Real(/*zero_too=*/false, "POSITIVE"); }

CLI::Validator NotNegative() { return Real(/*zero_too=*/true, "NONNEGATIVE"); }

CLI::Validator Whole(uint64_t least) {
  return CLI::Validator(
      [least](const std::string& text) {
        uint64_t number = 0;
        if (Parse(text, number) && number >= least) return std::string();
        return fmt::format("{} is no whole number from {} to {}", text, least,
                           std::numeric_limits<uint64_t>::max());
      },
      "");
}

CLI::Validator Bytes() {
  return CLI::Validator(
      [](std::string& text) {
        const std::string given = text;
        try {
          const bool starts_well = !text.empty() && text[0] >= '0' && text[0] <= '9';
          if (starts_well && CLI::AsSizeValue(/*kb_is_1000=*/false)(text).empty()) return std::string();
        } catch (const CLI::ValidationError&) {  // its message lists every unit
        }
        return fmt::format("{} is no size in bytes, such as 500MB or 2GB", given);
      },
      "SIZE");
}

}  // namespace throng::cli
