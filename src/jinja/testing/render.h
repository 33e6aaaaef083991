// Renders templates in tests.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "base/error.h"
#include "jinja/template.h"

namespace throng::jinja {

// What a template makes of variables, all of which are said; their roles are the template's own.
inline Text RenderText(std::string_view source, const Json& variables = Json::object(),
                       const Limits& limits = {}) {
  std::vector<Variable> all;
  for (const auto& [name, value] : variables.items()) all.push_back({name, &value, true});
  const RenderOptions options{
      .now = std::chrono::local_seconds(std::chrono::seconds(1721999109)),
      .limits = limits,
      .is_frame = [](std::string_view key, std::string_view) { return key == "role"; }};
  return Template(source).Render(all, options);
}

inline std::string Render(std::string_view source, const Json& variables = Json::object()) {
  return std::string(RenderText(source, variables).View());
}

// The message of the error that a template ends with; fails if it renders.
inline std::string ErrorOf(std::string_view source, const Json& variables = Json::object(),
                           const Limits& limits = {}) {
  try {
    const Text text = RenderText(source, variables, limits);
    ADD_FAILURE() << source << " gave " << text.View().substr(0, 200);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

struct Case {
  const char* source;
  const char* text;
};

template <size_t kSize>
void ExpectAll(const Case (&cases)[kSize], const Json& variables = Json::object()) {
  for (const Case& c : cases) {
    SCOPED_TRACE(c.source);
    try {
      EXPECT_EQ(Render(c.source, variables), c.text);
    } catch (const Error& error) {
      ADD_FAILURE() << error.what();
    }
  }
}

}  // namespace throng::jinja
