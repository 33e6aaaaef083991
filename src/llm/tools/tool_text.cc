#include "llm/tools/tool_text.h"

#include <fmt/format.h>

#include <string>

namespace throng::llm {
namespace {

using Json = nlohmann::ordered_json;

std::string Dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string TextOf(const Json& message) {
  const auto content = message.find("content");
  return content != message.end() && content->is_string() ? content->get<std::string>() : "";
}

std::string Explanation(const Json& tools) {
  std::string text = "You can call tools. These are there, each with the JSON schema of its arguments:\n";
  for (const Json& tool : tools) text += Dump(tool.value("function", tool)) + "\n";
  return text +
         "\nTo call one, write this and nothing after it, with the tool's name and arguments:\n"
         "<tool_call>\n{\"name\": \"NAME\", \"arguments\": {}}\n</tool_call>\n"
         "Several calls follow one another. The results then come in <tool_response> and </tool_response>.";
}

std::string CallsAsText(const Json& calls) {
  std::string text;
  for (const Json& call : calls) {
    const Json& function = call.at("function");
    const Json& arguments = function.at("arguments");
    text += fmt::format("{}<tool_call>\n{{\"name\": {}, \"arguments\": {}}}\n</tool_call>",
                        text.empty() ? "" : "\n", Dump(function.at("name")),
                        arguments.is_string() ? arguments.get<std::string>() : Dump(arguments));
  }
  return text;
}

void AddLine(Json& message, const std::string& line, const char* between) {
  const std::string text = TextOf(message);
  message["content"] = text.empty() ? line : text + between + line;
}

}  // namespace

Json WithToolText(const Json& messages, const Json& tools) {
  Json chat = Json::array();
  bool in_results = false;
  for (const Json& message : messages) {
    const bool is_result = message.at("role") == "tool";
    if (is_result) {
      if (!in_results) chat.push_back({{"role", "user"}, {"content", ""}});
      AddLine(chat.back(), fmt::format("<tool_response>\n{}\n</tool_response>", TextOf(message)), "\n");
    } else {
      chat.push_back(message);
      const auto calls = message.find("tool_calls");
      if (calls != message.end() && !calls->empty()) {
        AddLine(chat.back(), CallsAsText(*calls), "\n");
        chat.back().erase("tool_calls");
      }
    }
    in_results = is_result;
  }
  if (tools.empty()) return chat;
  const Json system = {{"role", "system"}, {"content", ""}};
  if (chat.empty() || chat[0].at("role") != "system") chat.insert(chat.begin(), system);
  AddLine(chat[0], Explanation(tools), "\n\n");
  return chat;
}

}  // namespace throng::llm
