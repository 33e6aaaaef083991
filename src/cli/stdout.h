// Writes to standard output, and notices when it cannot.
#pragma once

#include <string_view>

namespace throng::cli {

// Writes the text at once. Throws kIo if it cannot be written.
void WriteStdout(std::string_view text);

}  // namespace throng::cli
