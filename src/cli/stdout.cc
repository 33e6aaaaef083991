#include "cli/stdout.h"

#include <cstdio>

#include "base/error.h"

namespace throng::cli {

void WriteStdout(std::string_view text) {
  const bool written =
      std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
  if (!written) throw MakeError(ErrorCode::kIo, "standard output cannot be written");
}

}  // namespace throng::cli
