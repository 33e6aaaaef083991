#include "serve/tools/tool_request.h"

#include <algorithm>
#include <limits>

namespace throng::serve {
namespace {

constexpr size_t kMaxName = 64;

// Names as OpenAI's API has them, and dots.
bool IsName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxName && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  });
}

// A tool's definition: adds it in the form that templates read.
void AddTool(const JsonFields& function, ToolRequest& request) {
  const std::string name = function.Text("name");
  if (!IsName(name)) {
    FailField(function.Path("name"), name,
              fmt::format("a name of 1 to {} letters, digits, dashes, dots and underscores", kMaxName));
  }
  if (std::ranges::find(request.callable, name, &llm::Tool::name) != request.callable.end())
    throw BadField(function.Path("name"), "invalid_value", "found {} twice", name);
  Json definition = {{"name", name}};
  if (function.Find("description") != nullptr) definition["description"] = function.Text("description");
  function.Bool("strict");
  const Json* given = function.Find("parameters");
  const Json none = {{"type", "object"}, {"properties", Json::object()}};
  const Json& parameters = given != nullptr && !given->empty() ? *given : none;
  if (!parameters.is_object())
    FailField(function.Path("parameters"), parameters, "a JSON schema of an object");
  definition["parameters"] = parameters;
  request.definitions.push_back({{"type", "function"}, {"function", std::move(definition)}});
  request.paths.push_back(function.Path("parameters"));
  request.callable.push_back({name, parameters.dump(-1, ' ', false, Json::error_handler_t::replace)});
}

// Keeps the tools that the functions name. Definitions stay: the model sees them all.
void KeepOnly(const std::vector<JsonFields>& functions, ToolRequest& request) {
  std::vector<llm::Tool> kept;
  for (const JsonFields& function : functions) {
    const std::string name = function.Text("name");
    const auto tool = std::ranges::find(request.callable, name, &llm::Tool::name);
    if (tool == request.callable.end())
      FailField(function.Path("name"), name, "the name of one of the tools");
    if (std::ranges::find(kept, name, &llm::Tool::name) == kept.end()) kept.push_back(*tool);
  }
  request.callable = std::move(kept);
}

// {"type": "function"} with the function's name in it, or in its member "function".
JsonFields NamedFunction(const JsonFields& choice, bool nested) {
  if (choice.Text("type") != "function") FailField(choice.Path("type"), choice.Get("type"), "function");
  return nested ? choice.Object("function", choice.Get("function")) : choice;
}

// {"mode": "auto" or "required", "tools": [...]}
void ParseAllowed(const JsonFields& allowed, bool nested, ToolRequest& request) {
  using Calls = llm::AnswerForm::Calls;
  const std::string mode = allowed.Text("mode");
  if (mode != "auto" && mode != "required") FailField(allowed.Path("mode"), mode, "auto or required");
  request.calls = mode == "auto" ? Calls::kMay : Calls::kMust;
  const Json& tools = allowed.Get("tools");
  if (!tools.is_array() || tools.empty() || tools.size() > kMaxTools)
    FailField(allowed.Path("tools"), tools, fmt::format("a list of 1 to {} functions", kMaxTools));
  std::vector<JsonFields> functions;
  for (size_t i = 0; i < tools.size(); ++i)
    functions.push_back(NamedFunction(allowed.Entry("tools", i, tools[i]), nested));
  KeepOnly(functions, request);
}

void ParseChoice(const JsonFields& fields, bool nested, ToolRequest& request) {
  using Calls = llm::AnswerForm::Calls;
  const Json* choice = fields.Find("tool_choice");
  request.calls = request.callable.empty() ? Calls::kNever : Calls::kMay;
  if (choice == nullptr || *choice == "auto") return;
  if (*choice == "none") {
    request.calls = Calls::kNever;
    return;
  }
  if (!choice->is_object() && *choice != "required")
    FailField("tool_choice", *choice, "auto, none, required, a function of the tools, or allowed_tools");
  if (request.callable.empty()) FailField("tool_choice", *choice, "auto or none without tools");
  request.calls = Calls::kMust;
  if (!choice->is_object()) return;
  const JsonFields named = fields.Object("tool_choice", *choice);
  const std::string type = named.Text("type");
  if (type == "allowed_tools") {
    ParseAllowed(nested ? named.Object("allowed_tools", named.Get("allowed_tools")) : named, nested, request);
    return;
  }
  if (type != "function") FailField("tool_choice.type", type, "function or allowed_tools");
  KeepOnly({NamedFunction(named, nested)}, request);
}

}  // namespace

ToolRequest ParseTools(const JsonFields& fields, bool nested) {
  ToolRequest request;
  if (const Json* tools = fields.Find("tools")) {
    if (!tools->is_array() || tools->size() > kMaxTools)
      FailField("tools", *tools, fmt::format("a list of up to {} tools", kMaxTools));
    for (size_t i = 0; i < tools->size(); ++i) {
      const JsonFields tool = fields.Entry("tools", i, (*tools)[i]);
      if (const std::string type = tool.Text("type", "function"); type != "function")
        FailField(tool.Path("type"), type, "function: this server has no tools of its own");
      AddTool(nested ? tool.Object("function", tool.Get("function")) : tool, request);
    }
  }
  ParseChoice(fields, nested, request);
  request.parallel = fields.Bool("parallel_tool_calls", true);
  return request;
}

ThoughtRequest ParseThoughts(const JsonFields& fields) {
  ThoughtRequest request;
  if (fields.Find("reasoning_effort") != nullptr) {
    request.effort_field = fields.Path("reasoning_effort");
    request.effort = fields.Text("reasoning_effort");
  }
  for (const char* name : {"thinking_token_budget", "thinking_budget_tokens"}) {
    if (fields.Find(name) == nullptr) continue;
    if (request.limit)
      throw BadField(fields.Path(name), "invalid_value", "{} says it already", request.limit_field);
    request.limit_field = fields.Path(name);
    const int limit = fields.Integer(name, 0, -1, std::numeric_limits<int>::max());
    if (limit >= 0) request.limit = limit;
  }
  return request;
}

}  // namespace throng::serve
