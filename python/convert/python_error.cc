#include "python/convert/python_error.h"

#include <string_view>
#include <utility>

#include "app/run.h"
#include "base/error.h"
#include "python/convert/convert.h"
#include "python/llm/completion.h"

namespace py = pybind11;

namespace throng::python {

namespace {

constexpr const char* kErrorDoc =
    "What was asked cannot be done; the message is one sentence: where, what was found, what is allowed.\n\n"
    "`code` says of which kind it is: invalid, corrupt, unsupported, exhausted, unavailable, bad answer, "
    "io or cancelled.\n\n"
    "    >>> import throng\n"
    "    >>> try:\n"
    "    ...     throng.Model(kv='flashq5')\n"
    "    ... except throng.Error as error:\n"
    "    ...     print(error.code)\n"
    "    invalid";

constexpr const char* kStoppedDoc =
    "A limit that was given to throng.run has stopped it: `max_tokens_total` or `max_cost`. Its journal can "
    "be "
    "resumed with a higher one.";

// Both live as long as the interpreter.
PyObject* g_error_class = nullptr;
PyObject* g_stopped_class = nullptr;  // derived from it

void Translate(std::exception_ptr thrown) {
  try {
    if (thrown) std::rethrow_exception(thrown);
  } catch (const Error& error) {
    const bool stopped = dynamic_cast<const app::Stopped*>(&error) != nullptr;
    const auto error_class = py::reinterpret_borrow<py::object>(stopped ? g_stopped_class : g_error_class);
    const py::object raised = error_class(MakeText(error.what()));
    raised.attr("code") = ErrorCodeName(error.Code());
    PyErr_SetObject(error_class.ptr(), raised.ptr());
  }
}

bool IsOurs(const py::object& value) { return PyErr_GivenExceptionMatches(value.ptr(), g_error_class) != 0; }

std::string CodeOf(const py::object& ours) { return py::cast<std::string>(py::str(ours.attr("code"))); }

// "RuntimeError: stop"; for our own errors, the message alone.
std::string DescribeException(const py::object& value) {
  const auto name = py::cast<std::string>(py::type::of(value).attr("__name__"));
  try {
    const std::string message = ToUtf8(py::str(value));
    return IsOurs(value) ? message : name + ": " + message;
  } catch (const py::error_already_set&) {  // raised by its __str__
    return name;
  }
}

}  // namespace

void AddErrors(py::module_& module) {
  py::dict attributes;
  attributes["code"] = ErrorCodeName(ErrorCode::kInvalid);
  g_error_class = PyErr_NewExceptionWithDoc("throng.Error", kErrorDoc, PyExc_ValueError, attributes.ptr());
  if (g_error_class == nullptr) throw py::error_already_set();
  module.attr("Error") = py::reinterpret_borrow<py::object>(g_error_class);
  g_stopped_class = PyErr_NewExceptionWithDoc("throng.Stopped", kStoppedDoc, g_error_class, nullptr);
  if (g_stopped_class == nullptr) throw py::error_already_set();
  module.attr("Stopped") = py::reinterpret_borrow<py::object>(g_stopped_class);
  py::register_exception_translator(Translate);
}

std::optional<Error> AsFailedAttempt(const py::object& exception) {
  if (PyErr_GivenExceptionMatches(exception.ptr(), PyExc_OSError) != 0) {
    return Error(ErrorCode::kUnavailable, DescribeException(exception));
  }
  if (PyErr_GivenExceptionMatches(exception.ptr(), g_error_class) == 0) return std::nullopt;
  const std::string code = CodeOf(exception);
  for (const ErrorCode failed : {ErrorCode::kUnavailable, ErrorCode::kBadAnswer}) {
    if (code == ErrorCodeName(failed)) return Error(failed, DescribeException(exception));
  }
  return std::nullopt;
}

void Failure::Keep(const std::string& where) {
  try {
    throw;
  } catch (const py::error_already_set& error) {
    const py::object& value = error.value();
    const std::string message = DescribeException(value);
    // What interrupted code that a view had called comes by here again.
    const bool is_kept = kept_ && IsOurs(value) && CodeOf(value) == ErrorCodeName(ErrorCode::kCancelled) &&
                         message.ends_with(message_);
    if (is_kept) throw Error(ErrorCode::kCancelled, message);
    message_ = message;
    kept_ = std::current_exception();
    if (IsOurs(value)) {
      value.attr("args") = py::make_tuple(MakeText(where + ": " + message_));
    } else if (py::hasattr(value, "add_note")) {  // Python 3.11
      value.attr("add_note")(MakeText("in the run: " + where));
    }
    // Ctrl-C comes only once, perhaps in the middle of a guess.
    const bool is_interrupt = error.matches(PyExc_KeyboardInterrupt);
    throw Error(is_interrupt ? ErrorCode::kCancelled : ErrorCode::kInvalid, message_);  // the run adds where
  }
}

void Failure::Keep(const py::object& exception) {
  message_ = DescribeException(exception);
  PyErr_SetObject(py::type::handle_of(exception).ptr(), exception.ptr());
  kept_ = std::make_exception_ptr(py::error_already_set());
  throw Error(ErrorCode::kInvalid, message_);
}

py::object Failure::Take() {
  try {
    if (kept_) std::rethrow_exception(std::exchange(kept_, nullptr));
  } catch (const py::error_already_set& error) {
    const py::object& exception = error.value();
    if (error.trace()) exception.attr("__traceback__") = error.trace();
    return exception;
  }
  return {};
}

void Failure::Raise(const Error& error) const {
  if (kept_ && std::string_view(error.what()).ends_with(message_)) std::rethrow_exception(kept_);
}

}  // namespace throng::python
