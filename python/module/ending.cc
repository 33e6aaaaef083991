#include "python/module/ending.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include "python/convert/with_python.h"
#include "python/module/fork.h"

namespace py = pybind11;

namespace throng::python {

namespace {

// For what the world's code does meanwhile, which nothing can end.
constexpr std::chrono::seconds kPatience{5};

struct Calls {
  std::mutex mutex;
  std::condition_variable changed;
  int living = 0;
  std::optional<std::thread::id> ending;  // the thread that ends the program

  bool EndsElsewhere() {
    const std::lock_guard lock(mutex);
    return ending.has_value() && *ending != std::this_thread::get_id();
  }
};

// Never destroyed: threads may outlive the program's objects.
Calls& TheCalls() {
  static auto* const calls = new Calls;
  return *calls;
}

void EndCalls() {
  if (IsForked()) return;  // the calls go on in the parent
  Calls& calls = TheCalls();
  const WithoutPython unlocked;
  std::unique_lock lock(calls.mutex);
  calls.ending = std::this_thread::get_id();
  calls.changed.wait_for(lock, kPatience, [&] { return calls.living == 0; });
}

}  // namespace

LongCall::LongCall() {
  CheckEnding();
  const std::lock_guard lock(TheCalls().mutex);
  ++TheCalls().living;
}

LongCall::~LongCall() {
  Calls& calls = TheCalls();
  const std::lock_guard lock(calls.mutex);
  --calls.living;
  calls.changed.notify_all();
}

void CheckEnding() {
  if (TheCalls().EndsElsewhere()) {
    PyErr_SetNone(PyExc_SystemExit);
    throw py::error_already_set();
  }
  if (PyErr_CheckSignals() != 0) throw py::error_already_set();
}

void WatchEnding() { py::module_::import("atexit").attr("register")(py::cpp_function(&EndCalls)); }

}  // namespace throng::python
