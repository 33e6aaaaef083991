// Patterns of JSON schemas, and texts that they are asked about: the first line of the input is the pattern.
#include <algorithm>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/error.h"
#include "llm/regular/pattern.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace throng;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t end = std::min(input.find('\n'), size);
  const std::string_view pattern = input.substr(0, end);
  const std::string_view text = input.substr(std::min(end + 1, size));
  try {
    const llm::Regular found = llm::PatternTexts(pattern, "fuzz");
    const llm::Regular whole = llm::RegexTexts(pattern, "fuzz");
    THRONG_CHECK(!whole.Matches(text) || found.Matches(text));
    THRONG_CHECK(llm::Complement(found, "fuzz").Matches(text) != found.Matches(text));
  } catch (const Error&) {
  }
  return 0;
}
