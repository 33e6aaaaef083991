// Recorded days of agent societies: reading them, and what they tell about LLM calls. Running them is
// trace_world.h.
//
// A trace is a file of JSON lines, plain or gzipped. Line 1:
// {"agents":[names],"steps":n,"sec_per_step":s,"grid":[width,height],...}. Then, with steps not decreasing,
// {"s":step,"m":[[agent,x,y],...]} for agents whose position changed, and
// {"s":step,"a":agent,"action":"...","chat":[[speaker,text],...]} where an action or a conversation began
// (chat null: it ended).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sim/space.h"
#include "sim/world.h"

namespace throng::sim {

// One LLM call whose text is not known, only its size.
struct TraceCall {
  const char* function;
  int prompt_tokens;
  int output_tokens;
};

// Calls that one agent makes in one step, one after the other.
struct TraceChain {
  Step step;
  std::vector<TraceCall> calls;
};

// A conversation, held within one step; turns follow each other.
struct TraceConversation {
  Step step;
  std::vector<AgentId> members;                      // ascending, at least two
  std::vector<std::pair<AgentId, TraceCall>> turns;  // speaker (or who remembers), call
};

struct TraceAgent {
  std::string name;
  std::vector<std::pair<Step, Pos>> path;             // position from that step on; the first at step 0
  std::vector<std::pair<Step, std::string>> actions;  // what it does from that step on
  std::vector<TraceChain> chains;                     // steps strictly ascending

  Pos PosAt(Step step) const;
  std::string_view ActionAt(Step step) const;  // empty before the first
};

struct Trace {
  std::string name;  // of the file
  Step num_steps = 0;
  int sec_per_step = 10;
  int32_t width = 0;
  int32_t height = 0;
  std::vector<TraceAgent> agents;
  std::vector<TraceConversation> conversations;  // by step

  uint64_t NumCalls() const;
};

// Throw kIo if the file cannot be read and kInvalid, naming file and line, if a line is wrong.
Trace LoadTrace(const std::string& path);
Trace ParseTrace(std::string_view text, const std::string& name);

}  // namespace throng::sim
