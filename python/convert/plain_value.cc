#include "python/convert/plain_value.h"

#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "python/convert/convert.h"

namespace py = pybind11;

namespace throng::python {

namespace {

// Deeper data is refused, as it may contain itself.
constexpr int kMaxDepth = 64;

// Python classes and functions that freezing needs.
struct Classes {
  py::object enumeration = py::module_::import("enum").attr("Enum");
  py::object proxy = py::module_::import("types").attr("MappingProxyType");
  py::object frozen_dict = py::module_::import("throng.plain").attr("FrozenDict");
  py::object replace = py::module_::import("dataclasses").attr("replace");
  py::object write = py::module_::import("throng.plain").attr("write");
  py::object read = py::module_::import("throng.plain").attr("read");
};

// Never released: the interpreter may end before this module. Not created on first use: an import may hand
// Python's lock to another thread, which would wait forever for the guard of a local static.
const Classes* g_classes = nullptr;

const Classes& GetClasses() { return *g_classes; }

std::string TypeName(py::handle value) {
  return py::cast<std::string>(py::type::handle_of(value).attr("__qualname__"));
}

bool IsDataclass(py::handle value) { return py::hasattr(py::type::handle_of(value), "__dataclass_params__"); }

py::object FreezeAt(py::handle value, const std::string& what, int depth);

py::object FreezeTuple(py::handle value, const std::string& what, int depth) {
  const auto items = py::reinterpret_steal<py::tuple>(PySequence_Tuple(value.ptr()));
  if (!items) throw py::error_already_set();
  py::tuple frozen(items.size());
  for (size_t i = 0; i < items.size(); ++i) frozen[i] = FreezeAt(items[i], what, depth);
  if (PyTuple_CheckExact(value.ptr()) || PyList_Check(value.ptr())) return frozen;
  if (!py::hasattr(value, "_make")) return frozen;
  return value.attr("_make")(frozen);  // a named tuple
}

py::object FreezeDict(py::handle value, const std::string& what, int depth) {
  py::dict frozen;
  const py::object items = value.attr("items")();
  for (const py::handle item : items) {
    const auto pair = py::reinterpret_borrow<py::tuple>(item);
    frozen[FreezeAt(pair[0], what, depth)] = FreezeAt(pair[1], what, depth);
  }
  return GetClasses().frozen_dict(frozen);
}

py::object FreezeDataclass(py::handle value, const std::string& what, int depth) {
  const py::object type = py::type::of(value);
  if (!py::cast<bool>(type.attr("__dataclass_params__").attr("frozen"))) {
    throw MakeError(ErrorCode::kInvalid, "{}: {} is a dataclass that can change; declare it frozen=True",
                    what, TypeName(value));
  }
  py::dict changes;
  for (const py::handle name : type.attr("__dataclass_fields__")) {
    const py::object field = value.attr(name);
    const py::object frozen = FreezeAt(field, what, depth);
    if (!frozen.is(field)) changes[name] = frozen;
  }
  if (changes.empty()) return py::reinterpret_borrow<py::object>(value);
  return GetClasses().replace(value, **changes);
}

py::object FreezeAt(py::handle value, const std::string& what, int depth) {
  PyObject* const object = value.ptr();
  if (depth > kMaxDepth) {
    throw MakeError(ErrorCode::kInvalid, "{}: data may be nested {} deep at most", what, kMaxDepth);
  }
  if (PyUnicode_Check(object)) CheckText(value, what);
  const bool simple = value.is_none() || PyBool_Check(object) || PyLong_CheckExact(object) ||
                      PyFloat_CheckExact(object) || PyUnicode_CheckExact(object) ||
                      PyBytes_CheckExact(object);
  if (simple || PyObject_IsInstance(object, GetClasses().enumeration.ptr()) == 1) {
    return py::reinterpret_borrow<py::object>(value);
  }
  // Subclasses, such as completions, become their base class.
  if (PyUnicode_Check(object)) return py::reinterpret_steal<py::object>(PyUnicode_FromObject(object));
  if (PyFloat_Check(object)) return py::float_(PyFloat_AS_DOUBLE(object));
  if (PyTuple_Check(object) || PyList_Check(object)) return FreezeTuple(value, what, depth + 1);
  if (PyDict_Check(object) || py::type::handle_of(value).is(GetClasses().proxy)) {
    return FreezeDict(value, what, depth + 1);
  }
  if (IsDataclass(value)) return FreezeDataclass(value, what, depth + 1);
  if (PyAnySet_Check(object)) {
    throw MakeError(ErrorCode::kInvalid,
                    "{}: a set has no order that all runs share; use a sorted tuple, or a dict", what);
  }
  throw MakeError(
      ErrorCode::kInvalid,
      "{}: {} is not plain data (None, bool, int, float, str, bytes, list, tuple, dict, enum, frozen "
      "dataclass)",
      what, TypeName(value));
}

// Of text that has been checked.
void HashText(py::handle text, Hasher& hasher) { hasher.Add(ToText(text, "text")); }

void HashInteger(PyObject* object, Hasher& hasher) {
  int overflow = 0;
  const int64_t value = PyLong_AsLongLongAndOverflow(object, &overflow);
  if (overflow == 0) {
    hasher.Add('i').Add(value);
  } else {
    const auto digits = py::reinterpret_steal<py::str>(PyNumber_ToBase(object, 16));
    if (!digits) throw py::error_already_set();
    hasher.Add('I');
    HashText(digits, hasher);
  }
}

void HashItems(char tag, py::handle items, Hasher& hasher) {
  hasher.Add(tag).Add(uint64_t{py::len(items)});
  for (const py::handle item : items) HashPlain(item, hasher);
}

}  // namespace

void InitPlainValues() {
  if (g_classes == nullptr) g_classes = new Classes;
}

py::object Freeze(py::handle value, const std::string& what) { return FreezeAt(value, what, 0); }

std::string WritePlain(py::handle value) {
  try {
    return py::cast<std::string>(GetClasses().write(value));
  } catch (py::error_already_set& error) {
    if (!error.matches(PyExc_ValueError)) throw;
    throw MakeError(ErrorCode::kUnsupported, "{}", ToUtf8(py::str(error.value())));
  }
}

py::object ReadPlain(std::string_view text) {
  try {
    return GetClasses().read(py::str(text.data(), text.size()));
  } catch (py::error_already_set& error) {
    if (!error.matches(PyExc_ValueError)) throw;
    throw MakeError(ErrorCode::kCorrupt, "{}", ToUtf8(py::str(error.value())));
  }
}

void HashPlain(py::handle value, Hasher& hasher) {
  PyObject* const object = value.ptr();
  if (value.is_none()) {
    hasher.Add('n');
  } else if (PyBool_Check(object)) {
    hasher.Add(object == Py_True ? 't' : 'f');
  } else if (PyObject_IsInstance(object, GetClasses().enumeration.ptr()) == 1) {
    hasher.Add('e').Add(TypeName(value));
    HashText(value.attr("name"), hasher);
  } else if (PyLong_Check(object)) {
    HashInteger(object, hasher);
  } else if (PyFloat_Check(object)) {
    hasher.Add('d').Add(PyFloat_AS_DOUBLE(object));
  } else if (PyUnicode_Check(object)) {
    hasher.Add('s');
    HashText(value, hasher);
  } else if (PyBytes_Check(object)) {
    hasher.Add('b').Add(py::cast<std::string_view>(py::reinterpret_borrow<py::bytes>(value)));
  } else if (PyTuple_Check(object)) {
    HashItems('(', value, hasher);
  } else if (IsDataclass(value)) {
    hasher.Add('c').Add(TypeName(value));
    for (const py::handle name : py::type::of(value).attr("__dataclass_fields__")) {
      HashPlain(value.attr(py::reinterpret_borrow<py::object>(name)), hasher);
    }
  } else {
    hasher.Add('{').Add(uint64_t{py::len(value)});
    for (const auto& [key, item] : py::reinterpret_borrow<py::dict>(value)) {
      hasher.Add('(').Add(uint64_t{2});
      HashPlain(key, hasher);
      HashPlain(item, hasher);
    }
  }
}

}  // namespace throng::python
