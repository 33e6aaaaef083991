// Any bytes as a template, and any JSON as its variables, give an Error or a text whose said ranges are in
// order, in bounded time and memory. Input: the template, a byte 0, the variables.

#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/error.h"
#include "jinja/template.h"

using namespace throng;

namespace {

constexpr jinja::Limits kLimits{.steps = 100'000, .bytes = 1 << 22, .depth = 200};

void CheckRanges(const jinja::Text& text) {
  size_t end = 0;
  bool is_first = true;
  for (const jinja::ByteRange& range : text.SaidRanges()) {
    THRONG_CHECK(is_first ? range.begin >= end : range.begin > end);
    THRONG_CHECK(range.begin < range.end && range.end <= text.Size());
    end = range.end;
    is_first = false;
  }
}

jinja::Json Variables(std::string_view text) {
  const jinja::Json parsed = jinja::Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (parsed.is_object()) return parsed;
  return {
      {"messages",
       {{{"role", "user"}, {"content", std::string(text)}}, {{"role", "assistant"}, {"content", nullptr}}}},
      {"x", 5},
      {"tools", {{{"name", "f"}, {"parameters", {{"a", 1.5}, {"b", true}}}}}}};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t source_end = std::min(input.find('\0'), size);
  try {
    const jinja::Template parsed(input.substr(0, source_end));
    const jinja::Json json = Variables(input.substr(std::min(source_end + 1, size)));
    std::vector<jinja::Variable> variables;
    for (const auto& [name, value] : json.items()) variables.push_back({name, &value, true});
    CheckRanges(parsed.Render(variables, {.now = {}, .limits = kLimits, .is_frame = {}}));
  } catch (const Error&) {
  }
  return 0;
}
