// Ctrl-C and SIGTERM.
#pragma once

#include <atomic>

namespace throng::app {

// True from the first Ctrl-C or SIGTERM on; a second one kills.
const std::atomic<bool>& StopOnSignal();

}  // namespace throng::app
