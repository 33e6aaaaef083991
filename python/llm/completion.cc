#include "python/llm/completion.h"

#include <string>

#include "python/convert/convert.h"

namespace py = pybind11;

namespace throng::python {

py::str MakeText(std::string_view text) {
  const auto decoded = py::reinterpret_steal<py::str>(
      PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace"));
  if (!decoded) throw py::error_already_set();
  return decoded;
}

py::object MakeCompletion(std::string_view text, llm::FinishReason finish, int prompt_tokens,
                          int cached_prompt_tokens, int output_tokens) {
  const py::object type = py::module_::import("throng.model").attr("Completion");
  return type(MakeText(text), finish == llm::FinishReason::kLength ? "length" : "stop", prompt_tokens,
              cached_prompt_tokens, output_tokens);
}

std::string SchemaText(py::handle schema) {
  if (schema.is_none()) return {};
  if (py::isinstance<py::str>(schema)) return std::string(ToText(schema, "json_schema"));
  return py::cast<std::string>(py::module_::import("json").attr("dumps")(schema));
}

}  // namespace throng::python
