// Writing traces, with their calls, in the format of trace.h.
#pragma once

#include <string>

#include "trace/trace.h"

namespace throng::trace {

// JSON lines; ParseTrace makes an equal trace of them.
std::string FormatTrace(const Trace& trace);

// Gzipped if the path ends in .gz. The file appears when it is complete. Throws kIo.
void SaveTrace(const Trace& trace, const std::string& path);

}  // namespace throng::trace
