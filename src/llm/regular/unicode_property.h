// The properties of code points that \p{...} names.
#pragma once

#include <optional>
#include <string_view>

#include "llm/grammar/grammar.h"

namespace throng::llm {

// `name` as ECMA-262 writes it: a general category ("Lu", "Uppercase_Letter", "gc=Lu"), a script
// ("Script=Greek", "sc=Grek", "scx=Greek"), or a binary property ("Alphabetic"). Nothing if it is none, or
// not known to the library. By the Unicode version of PCRE2. Thread-safe.
std::optional<CodePoints> UnicodeProperty(std::string_view name);

}  // namespace throng::llm
