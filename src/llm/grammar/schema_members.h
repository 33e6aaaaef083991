// The members of an object schema one by one, for forms that write each by itself.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "llm/grammar/grammar.h"

namespace throng::llm {

struct SchemaMember {
  std::string name;
  bool is_required;
  bool is_text;         // its values are strings and nothing else: written as plain text, others as JSON
  Grammar::Node value;  // of the grammar that is given
};

// In the schema's order. end: what follows a value, which is not found in plain texts. Throws as
// LowerJsonSchema does, and kUnsupported for what is not a list of members: alternatives, counts, patterns.
std::vector<SchemaMember> LowerMembers(std::string_view schema, std::string_view end, Grammar& grammar);

}  // namespace throng::llm
