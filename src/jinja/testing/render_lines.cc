// Renders what standard input asks for, one JSON object per line: {"template": "...", "variables": {...}}.
// Writes a line for each: {"text": "..."} or {"error": "..."}, and in "said" which bytes of the text come
// from variables.

#include <iostream>

#include "base/error.h"
#include "jinja/template.h"

using namespace throng;

namespace {

jinja::Json Render(const jinja::Json& asked) {
  try {
    const jinja::Template parsed(asked.at("template").get_ref<const std::string&>());
    std::vector<jinja::Variable> variables;
    for (const auto& [name, value] : asked.at("variables").items()) variables.push_back({name, &value, true});
    // 2024-07-26 13:05:09
    const jinja::RenderOptions options{
        .now = std::chrono::local_seconds(std::chrono::seconds(1721999109)), .limits = {}, .is_frame = {}};
    const jinja::Text text = parsed.Render(variables, options);
    jinja::Json said = jinja::Json::array();
    for (const jinja::ByteRange& range : text.SaidRanges()) said.push_back({range.begin, range.end});
    return {{"text", text.View()}, {"said", said}};
  } catch (const Error& error) {
    return {{"error", error.what()}};
  }
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << Render(jinja::Json::parse(line)).dump(-1, ' ', false, jinja::Json::error_handler_t::replace)
              << "\n";
  }
  return 0;
}
