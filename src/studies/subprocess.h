// Runs this program in another process.
#pragma once

#include <string>
#include <vector>

namespace throng::studies {

struct ProcessResult {
  int exit_code = 0;   // 128 + the signal, if a signal ended it
  std::string output;  // the process's stdout
};

// Runs this program with these arguments, its stderr going to the file `log`, and waits for it to end.
// Several threads may call it. Throws kIo.
ProcessResult RunSelf(const std::vector<std::string>& arguments, const std::string& log);

}  // namespace throng::studies
