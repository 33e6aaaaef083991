// Problems of files as a list, for commands that tell all of them.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "town/content/problems.h"

namespace throng::cli {

struct ProblemListForm {
  const char* key;  // what `source` is, in JSON
  bool json;        // one object with all problems; else a line each
  size_t most;      // lines
};

// Prints the problems of a source, and throws kInvalid with their number if there are any.
void ReportProblems(const std::vector<town::Problem>& problems, const std::string& source,
                    const ProblemListForm& form);

}  // namespace throng::cli
