#include "sim/seeds.h"

#include <charconv>

#include "base/error.h"

namespace throng::sim {
namespace {

template <typename T>
bool ParseWhole(std::string_view text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

std::string FormatSeeds(const Seeds& seeds) {
  std::string text = std::to_string(seeds.first);
  for (const SeedChange& change : seeds.changes) text += fmt::format(",{}@{}", change.seed, change.from);
  return text;
}

Seeds ParseSeeds(std::string_view text) {
  const auto fail = [&] {
    return MakeError(ErrorCode::kInvalid, "the seed is {:?}; allowed: a whole number, or such as 1,7@500",
                     text);
  };
  Seeds seeds;
  std::string_view rest = text;
  size_t comma = rest.find(',');
  if (!ParseWhole(rest.substr(0, comma), seeds.first)) throw fail();
  while (comma != std::string_view::npos) {
    rest = rest.substr(comma + 1);
    comma = rest.find(',');
    const std::string_view part = rest.substr(0, comma);
    const size_t at = part.find('@');
    SeedChange change{};
    if (at == std::string_view::npos || !ParseWhole(part.substr(0, at), change.seed) ||
        !ParseWhole(part.substr(at + 1), change.from)) {
      throw fail();
    }
    if (change.from < 0 || (!seeds.changes.empty() && change.from < seeds.changes.back().from)) throw fail();
    seeds.changes.push_back(change);
  }
  return seeds;
}

}  // namespace throng::sim
