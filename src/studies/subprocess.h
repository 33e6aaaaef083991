// Another process of this program.
#pragma once

#include <string>
#include <vector>

namespace throng::studies {

struct ProcessResult {
  int exit_code = 0;   // 128 + the signal, if one ended it
  std::string output;  // what it wrote on stdout
};

// Runs this program with these arguments, its stderr going to the file `log`, and waits for its end. May be
// called by several threads. Throws kIo.
ProcessResult RunSelf(const std::vector<std::string>& arguments, const std::string& log);

}  // namespace throng::studies
