// Texts by which of several languages have them.
#pragma once

#include <string_view>
#include <vector>

#include "llm/regular/regular.h"

namespace throng::llm {

struct KindOfText {
  std::vector<bool> in;  // [language]
  Regular texts;         // of `all`, and in these languages alone; deterministic, with the fewest states
};

// The kinds of the texts of `all` that there are, ordered by `in`. Throws as Deterministic does, and kInvalid
// for more than max_kinds: "{what} has more than ...".
std::vector<KindOfText> KindsOf(const Regular& all, const std::vector<Regular>& languages, size_t max_kinds,
                                std::string_view what);

}  // namespace throng::llm
