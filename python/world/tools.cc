#include "python/world/tools.h"

#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "effects/command_tool.h"
#include "python/convert/convert.h"
#include "python/convert/with_python.h"

namespace py = pybind11;

namespace throng::python {

namespace {

// Runs on any thread, which may outlive the run, and the program.
class FunctionTool final : public effects::Tool {
 public:
  FunctionTool(std::string name, llm::Effect effect, double timeout_s, py::object function)
      : Tool(std::move(name), effect, timeout_s),
        function_(std::move(function)),
        use_(py::module_::import("throng.effects").attr("use")) {}
  ~FunctionTool() override {
    const WithPython lock;
    Drop(&function_);
    Drop(&use_);
  }

  effects::ToolResult Use(const std::string& arguments) override {
    const WithPython lock;
    const py::str text(arguments);
    const auto answer = py::reinterpret_steal<py::tuple>(RestIfEnded(
        [&] { return PyObject_CallFunctionObjArgs(use_.ptr(), function_.ptr(), text.ptr(), nullptr); }));
    if (!answer) throw py::error_already_set();
    const auto outcome = py::cast<std::string>(answer[0]);
    auto said = py::cast<std::string>(answer[1]);
    if (outcome == "unknown") return WithoutResult(std::move(said));
    using Outcome = effects::ToolResult::Outcome;
    return {outcome == "done" ? Outcome::kDone : Outcome::kFailed, std::move(said)};
  }

 private:
  py::object function_;
  py::object use_;
};

// A tool without whose results the run does not go on: what it fails to do is no answer.
class Needed final : public effects::Tool {
 public:
  explicit Needed(std::shared_ptr<effects::Tool> tool)
      : Tool(tool->Name(), tool->GetEffect(), kLongestTimeout), tool_(std::move(tool)) {}

  effects::ToolResult Use(const std::string& arguments) override {
    effects::ToolResult result = tool_->Use(arguments);
    if (result.outcome != effects::ToolResult::Outcome::kDone)
      result.outcome = effects::ToolResult::Outcome::kUnavailable;
    return result;
  }

 private:
  std::shared_ptr<effects::Tool> tool_;
};

llm::Effect ReadEffect(const std::string& name) {
  const py::object names = py::module_::import("throng.effects").attr("EFFECTS");
  return static_cast<llm::Effect>(py::cast<int>(names.attr("index")(name)));
}

std::vector<std::shared_ptr<effects::Tool>> ReadAll(py::handle tools) {
  constexpr const char* kAllowed =
      "a list of functions with @throng.tool, of throng.CommandTool and of throng.McpServer";
  const py::module_ classes = py::module_::import("throng.effects");
  if (!py::isinstance<py::iterable>(tools)) ThrowWrongType("World.tools", tools, kAllowed);
  std::vector<std::shared_ptr<effects::Tool>> read;
  for (const py::handle tool : classes.attr("all_of")(tools)) {
    const bool is_function = py::isinstance(tool, classes.attr("FunctionTool"));
    if (!is_function && !py::isinstance(tool, classes.attr("CommandTool"))) {
      ThrowWrongType("World.tools", tool, kAllowed);
    }
    const auto name = Field<std::string>(tool, "Tool", "name", "a str");
    const llm::Effect effect = ReadEffect(Field<std::string>(tool, "Tool", "effect", "a str"));
    const auto timeout_s = Field<double>(tool, "Tool", "timeout", "a number of seconds");
    if (is_function) {
      read.push_back(std::make_shared<FunctionTool>(name, effect, timeout_s, tool.attr("function")));
    } else {
      read.push_back(std::make_shared<effects::CommandTool>(name, effect, timeout_s,
                                                            ToTexts(tool.attr("argv"), "CommandTool.argv")));
    }
  }
  return read;
}

}  // namespace

effects::ToolTable ReadTools(py::handle tools) { return effects::ToolTable(ReadAll(tools)); }

std::shared_ptr<effects::Tool> ReadEmbedder(py::handle tools) {
  const std::vector<std::shared_ptr<effects::Tool>> read = ReadAll(tools);
  return read.empty() ? nullptr : std::make_shared<Needed>(read.front());
}

}  // namespace throng::python
