// How the values of a JSON schema are written: as JSON, or as a family of models writes them.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace throng::llm {

struct JsonStyle {
  // What begins and ends strings, which then are plain text without it, while the keys of objects have no
  // quotes; empty: JSON.
  std::string quote{};
  bool python_words = false;  // True, False and None for true, false and null

  bool IsJson() const { return quote.empty(); }
  std::string Write(const nlohmann::ordered_json& value) const;
  std::string Key(const std::string& name) const;  // without the colon
};

}  // namespace throng::llm
