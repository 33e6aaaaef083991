// Reads traces from the files that Generative Agents writes: a simulation's storage folder, or its compressed
// form.
#pragma once

#include <string>

#include "trace/trace.h"

namespace throng::trace {

// The path may be
//   a trace in the format of trace.h;
//   a storage folder (reverie/meta.json and movement/STEP.json);
//   a compressed folder, or the master_movement.json in it (meta.json beside it is read if it exists).
// Calls are derived as for any recorded trace. A recording without a head has 10 s per step, and one without
// any date begins at midnight of an unknown day. Throws kIo, and kInvalid for what no trace can hold, naming
// file, step and person.
Trace ImportTrace(const std::string& path);

}  // namespace throng::trace
