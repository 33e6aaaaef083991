// Texts that leave out what has a meaning of its own.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "llm/regular/regular.h"

namespace throng::llm {

// All texts in which none of the literals is found. Literals that are empty, or have bytes that are no UTF-8,
// are found in none.
Regular TextsWithout(const std::vector<std::string>& literals);

// All texts that, after white space, do not begin with the literal.
Regular TextsNotBeginning(std::string_view literal);

}  // namespace throng::llm
