// The members of an object schema one by one, for forms that write each by itself.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "llm/grammar/grammar.h"
#include "llm/grammar/json_style.h"

namespace throng::llm {

struct SchemaMember {
  std::string name;
  bool is_required;
  bool is_text;         // its values are strings and nothing else
  Grammar::Node value;  // of the grammar that is given
};

// How the values of members are written.
struct MemberStyle {
  std::optional<std::string> plain_end{};  // strings are plain text in which this is not found; absent: as
                                           // all other values
  JsonStyle json{};
};

// In the schema's order. Throws as LowerJsonSchema does, and kUnsupported for what is not a list of members:
// alternatives, counts, patterns.
std::vector<SchemaMember> LowerMembers(std::string_view schema, const MemberStyle& style, Grammar& grammar);

}  // namespace throng::llm
