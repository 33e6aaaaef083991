// Writes traces, with their calls, in the format of trace.h.
#pragma once

#include <string>

#include "trace/trace.h"

namespace throng::trace {

// Returns JSON lines that ParseTrace turns into an equal trace.
std::string FormatTrace(const Trace& trace);

// Gzips if the path ends in .gz. The file appears only once it is complete. Throws kIo.
void SaveTrace(const Trace& trace, const std::string& path);

}  // namespace throng::trace
