#include "python/convert/convert.h"

#include <algorithm>

namespace py = pybind11;

namespace throng::python {

namespace {

constexpr Py_ssize_t kMaxShown = 60;  // longest value shown in an error message, in characters

// Throws what is wrong with a str that cannot be UTF-8.
[[noreturn]] void ThrowNoUnicode(py::handle text, std::string_view what) {
  const Py_ssize_t length = PyUnicode_GetLength(text.ptr());
  Py_ssize_t at = 0;
  while (at + 1 < length && !Py_UNICODE_IS_SURROGATE(PyUnicode_ReadChar(text.ptr(), at))) ++at;
  throw MakeError(
      ErrorCode::kInvalid,
      "{} is {}, whose character {} is U+{:04X}, half of a surrogate pair; allowed is Unicode text", what,
      Show(text), at, PyUnicode_ReadChar(text.ptr(), at));
}

}  // namespace

std::string Show(py::handle value) {
  const py::object shown = py::repr(value);
  const Py_ssize_t length = PyUnicode_GetLength(shown.ptr());
  const auto cut =
      py::reinterpret_steal<py::object>(PyUnicode_Substring(shown.ptr(), 0, std::min(length, kMaxShown)));
  if (!cut) throw py::error_already_set();
  return ToUtf8(cut) + (length > kMaxShown ? "..." : "");
}

void ThrowWrongType(std::string_view what, py::handle found, std::string_view allowed) {
  throw MakeError(ErrorCode::kInvalid, "{} is {}, allowed is {}", what, Show(found), allowed);
}

std::string_view ToText(py::handle value, std::string_view what) {
  if (!PyUnicode_Check(value.ptr())) ThrowWrongType(what, value, "a str");
  Py_ssize_t size = 0;
  const char* const bytes = PyUnicode_AsUTF8AndSize(value.ptr(), &size);
  if (bytes == nullptr) {
    PyErr_Clear();
    ThrowNoUnicode(value, what);
  }
  return {bytes, static_cast<size_t>(size)};
}

std::string ToUtf8(py::handle text) {
  const auto bytes =
      py::reinterpret_steal<py::bytes>(PyUnicode_AsEncodedString(text.ptr(), "utf-8", "backslashreplace"));
  if (!bytes) throw py::error_already_set();
  return py::cast<std::string>(bytes);
}

void CheckText(py::handle value, std::string_view what) { ToText(value, what); }

std::vector<std::string> ToTexts(py::handle value, std::string_view what) {
  if (PyUnicode_Check(value.ptr()) || !py::isinstance<py::sequence>(value)) {
    ThrowWrongType(what, value, "a list of str");
  }
  std::vector<std::string> texts;
  for (const py::handle text : value) texts.emplace_back(ToText(text, what));
  return texts;
}

sim::AgentId ToAgentId(py::handle value) {
  const py::object id = PyLong_Check(value.ptr()) ? py::reinterpret_borrow<py::object>(value)
                                                  : py::getattr(value, "id", py::none());
  if (!PyLong_Check(id.ptr())) ThrowWrongType("agent", value, "an agent, or its id");
  return CastTo<sim::AgentId>(id, "agent", "an agent, or its id");
}

}  // namespace throng::python
