// Commands as tools: the arguments go to the standard input as JSON, and the standard output is the result.
#pragma once

#include <string>
#include <vector>

#include "effects/tool.h"

namespace throng::effects {

// The longest output that is read, in bytes.
inline constexpr size_t kMaxOutputBytes = 4 << 20;

// Starts the command anew for each use, without a shell. A result that is JSON is taken as it is, other text
// as a JSON string. An exit code other than 0 means that it failed: why, the last line of its standard error
// says. When the time is over, it is killed with the processes that it started.
class CommandTool final : public Tool {
 public:
  // argv[0] is looked up in PATH. Throws kInvalid if argv is empty.
  CommandTool(std::string name, llm::Effect effect, double timeout_s, std::vector<std::string> argv);
  ToolResult Use(const std::string& arguments) override;

 private:
  std::vector<std::string> argv_;
};

// The text as the JSON of a result: itself, or a string.
std::string AsJson(std::string text);

}  // namespace throng::effects
