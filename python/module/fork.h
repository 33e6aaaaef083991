// What a process forked from this one may do: its threads, those of models and runs, do not exist there.
#pragma once

#include <pybind11/pybind11.h>

namespace throng::python {

// Lives as long as threads that a fork would lose, or a run that it would double.
class LostByFork {
 public:
  LostByFork();
  ~LostByFork();
  LostByFork(const LostByFork&) = delete;
  LostByFork& operator=(const LostByFork&) = delete;
};

// Whether this process was forked while one of these lived. It must not wait for threads, nor end them.
bool IsForked();

// Throws kInvalid if IsForked().
void CheckForked();

// Call wherever Python begins to use a model or a run: CheckForked, and what OnEntry wants.
void CheckEntry();
// Has CheckEntry call this Python function, until it is None: it may raise.
void OnEntry(pybind11::object function);

// Ends the process if a fork within a world's code came back to the run, which goes on in the parent.
void LeaveIfForked();

// Has Python tell this module of forks.
void WatchForks();

}  // namespace throng::python
