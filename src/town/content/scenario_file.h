// A file of a town's folder as it was read.
#pragma once

#include <string>

namespace throng::town {

struct ScenarioFile {
  std::string name;  // within the folder
  std::string text;
};

}  // namespace throng::town
