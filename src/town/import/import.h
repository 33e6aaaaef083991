// Makes a town's folder of what other programs wrote.
#pragma once

#include <string>

#include "town/import/report.h"

namespace throng::town {

struct ImportOptions {
  std::string source;  // a file or a folder; its form is told from what is in it
  std::string out;     // the new folder
  std::string people;  // for a map: a table of people; empty: the built-in town's
  std::string maze;    // for Generative Agents: the map's folder; empty: found beside the simulation
};

// Writes a folder that LoadTown takes. `base` is the built-in town's folder, which fills what the source does
// not have. Throws kInvalid with the file, the place in it, what was found and what is allowed, a
// ProblemsError if that may be more than one; then `out` is not there, or as it was.
ImportReport Import(const ImportOptions& options, const std::string& base);

}  // namespace throng::town
