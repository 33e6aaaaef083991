// Runs uses of tools on threads, so that the run's own thread goes on meanwhile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "effects/tool.h"

namespace throng::effects {

class ToolPool {
 public:
  struct Ended {
    uint64_t id;
    std::optional<ToolResult> result;  // nothing: it was cancelled, and has done nothing that matters
  };

  // Runs at most so many uses at once; the others wait for their turn, in the order of Start.
  explicit ToolPool(size_t most_at_once);
  // Forgets what is in progress: its threads end when the tools return.
  ~ToolPool();
  ToolPool(const ToolPool&) = delete;
  ToolPool& operator=(const ToolPool&) = delete;

  // The tool's timeout counts from the moment when its thread starts.
  void Start(uint64_t id, std::shared_ptr<Tool> tool, std::string arguments);
  // Ends a use that has not begun, or of a tool without effects; others run on. From any thread.
  void Cancel(uint64_t id);
  // Blocks until a use has ended or `seconds` have passed, which may be infinite; returns those that have
  // ended. One whose time is over ends with Tool::TimedOut, and its thread is left to itself.
  std::vector<Ended> Wait(double seconds);

 private:
  struct State;
  std::shared_ptr<State> state_;  // shared with the threads
};

}  // namespace throng::effects
