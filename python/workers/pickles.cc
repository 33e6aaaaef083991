#include "python/workers/pickles.h"

#include "base/error.h"
#include "python/convert/convert.h"

namespace py = pybind11;

namespace throng::python {

namespace {

py::object Function(const char* name) { return py::module_::import("throng.workers").attr(name); }

py::bytes ToBytes(std::string_view bytes) { return py::bytes(bytes.data(), bytes.size()); }

}  // namespace

std::string Pickle(py::handle value, const std::string& what) {
  try {
    return Function("dumps")(value).cast<std::string>();
  } catch (const py::error_already_set& raised) {
    throw MakeError(ErrorCode::kInvalid, "{} cannot be sent between the run and its workers: {}", what,
                    ToUtf8(py::str(raised.value())));
  }
}

py::object Unpickle(std::string_view pickled) { return Function("loads")(ToBytes(pickled)); }

std::string DumpException(py::handle exception) {
  return Function("dump_exception")(exception).cast<std::string>();
}

py::object LoadException(std::string_view dumped) { return Function("load_exception")(ToBytes(dumped)); }

}  // namespace throng::python
