#include "python/module/fork.h"

#include <unistd.h>

#include <atomic>
#include <cstdio>

#include "base/error.h"

namespace py = pybind11;

namespace throng::python {

namespace {

constexpr const char* kWhy =
    "this process was forked from one whose models or runs have threads, which do not exist here; start "
    "processes with the method \"spawn\" of multiprocessing, or before the first throng.Model and outside "
    "of runs";

std::atomic<int> g_living = 0;
std::atomic<bool> g_forked = false;
PyObject* g_on_entry = nullptr;

}  // namespace

LostByFork::LostByFork() { ++g_living; }
LostByFork::~LostByFork() { --g_living; }

bool IsForked() { return g_forked; }

void CheckForked() {
  if (g_forked) throw Error(ErrorCode::kInvalid, kWhy);
}

void CheckEntry() {
  CheckForked();
  if (g_on_entry != nullptr) py::reinterpret_borrow<py::object>(g_on_entry)();
}

void OnEntry(py::object function) {
  Py_XDECREF(g_on_entry);
  g_on_entry = function.is_none() ? nullptr : function.release().ptr();
}

void LeaveIfForked() {
  if (!g_forked) return;
  std::fprintf(stderr, "throng: %s\n", kWhy);
  _exit(1);
}

void WatchForks() {
  const py::object watch = py::getattr(py::module_::import("os"), "register_at_fork", py::none());
  if (watch.is_none()) return;  // no forks here
  using namespace py::literals;
  watch("after_in_child"_a = py::cpp_function([] { g_forked = g_forked || g_living > 0; }));
}

}  // namespace throng::python
