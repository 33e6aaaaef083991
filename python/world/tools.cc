#include "python/world/tools.h"

#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "effects/command_tool.h"
#include "python/convert/convert.h"
#include "python/convert/python_error.h"
#include "python/convert/with_python.h"

namespace py = pybind11;

namespace throng::python {

namespace {

// Runs on any thread, and holds Python's lock while the function does.
class FunctionTool final : public effects::Tool {
 public:
  FunctionTool(std::string name, llm::Effect effect, double timeout_s, py::object function)
      : Tool(std::move(name), effect, timeout_s),
        function_(std::move(function)),
        use_(py::module_::import("throng.effects").attr("use")) {}
  ~FunctionTool() override {
    WithPython([&] {
      function_ = {};
      use_ = {};
    });
  }

  effects::ToolResult Use(const std::string& arguments) override {
    return WithPython([&] { return UseWithLock(arguments); });
  }

 private:
  effects::ToolResult UseWithLock(const std::string& arguments) {
    using Outcome = effects::ToolResult::Outcome;
    try {
      const py::object result = use_(function_, py::str(arguments));
      return {Outcome::kDone, std::string(ToText(result, "what the tool returned"))};
    } catch (const py::error_already_set& raised) {
      const py::object& error = raised.value();
      const bool is_own = raised.matches(py::module_::import("throng.effects").attr("ToolError"));
      if (!is_own) return {Outcome::kFailed, DescribeException(error)};
      std::string why = ToUtf8(py::str(error));
      if (ToUtf8(error.attr("code")) == "unknown") return WithoutResult(std::move(why));
      return {Outcome::kFailed, std::move(why)};
    } catch (const Error& error) {  // of what it returned
      return WithoutResult(error.what());
    }
  }

  // "ValueError: what it says"; of our own errors what they say.
  static std::string DescribeException(const py::object& exception) {
    const bool is_ours = py::isinstance(exception, py::module_::import("throng._native").attr("Error"));
    const std::string type = is_ours ? "" : ToUtf8(py::type::of(exception).attr("__name__")) + ": ";
    return type + ToUtf8(py::str(exception));
  }

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
