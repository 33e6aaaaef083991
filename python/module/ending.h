// What ends a call that takes long before it is done: a signal, or the end of the program.
//
// While a program ends, Python goes on to run daemon threads, until each of them comes for Python's lock:
// there it ends the thread, in the middle of the frames of a run, which own objects of Python. So a run on
// such a thread is ended before, as by Ctrl-C: its journal can be resumed.
#pragma once

#include <pybind11/pybind11.h>

namespace throng::python {

// Lives as long as a call that looks for its end by CheckEnding; first of its owner's variables, so that all
// others are gone before. The program's end waits for it, for 5 seconds at most.
class LongCall {
 public:
  LongCall();  // as CheckEnding
  ~LongCall();
  LongCall(const LongCall&) = delete;
  LongCall& operator=(const LongCall&) = delete;
};

// Needs Python's lock. Throws what the handler of a signal raises, and SystemExit on any thread but the one
// that ends the program.
void CheckEnding();

// Has Python tell this module of the program's end.
void WatchEnding();

}  // namespace throng::python
