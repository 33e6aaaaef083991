// Stops runs on Ctrl-C and SIGTERM.
#pragma once

#include <atomic>

namespace throng::app {

// True from the first Ctrl-C or SIGTERM on; a second one kills the program.
const std::atomic<bool>& StopOnSignal();

}  // namespace throng::app
