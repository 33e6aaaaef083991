// Recorded days of agent societies: reads them, and derives their LLM calls. trace_world.h runs them.
//
// A trace is a file of JSON lines, plain or gzipped. Line 1:
// {"agents":[names],"steps":n,"sec_per_step":s,"grid":[width,height],...}, and optionally "start" (local
// time, "2023-02-13T00:00:00", or "08:20:00" of an unknown day), "source", "license", and "radius"
// (perception radius in tiles). After it, with steps not decreasing,
// {"s":step,"m":[[agent,x,y],...]} for agents whose position changed, and
// {"s":step,"a":agent,"action":"...","chat":[[speaker,text],...]} where an action or a conversation began
// (chat null: it ended). Calls are derived from actions and conversations.
//
// If the header has "functions":[names], the file carries its calls instead, and none are derived:
// {"s":step,"a":agent,"calls":[[function,prompt,output],...]} lists the calls an agent makes in that step,
// one after the other; {"s":step,"members":[agents],"turns":[[agent,function,prompt,output],...]} is a
// conversation. A function is an index into "functions", sizes are in tokens.
// {"s":step,"a":agent,"until":step} says that the agent is known from step s on to carry on as it does, up to
// step `until`. trace/write.h writes such files.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sim/space/space.h"
#include "sim/world.h"
#include "trace/local_time.h"

namespace throng::trace {

// One LLM call of which only the size is known, not the text.
struct TraceCall {
  const char* function;  // lives as long as the program
  int prompt_tokens;
  int output_tokens;

  bool operator==(const TraceCall& other) const {
    return std::string_view(function) == other.function && prompt_tokens == other.prompt_tokens &&
           output_tokens == other.output_tokens;
  }
};

// Calls that one agent makes in one step, one after the other.
struct TraceChain {
  sim::Step step;
  std::vector<TraceCall> calls;

  bool operator==(const TraceChain&) const = default;
};

// A conversation, held within one step; turns follow each other.
struct TraceConversation {
  sim::Step step;
  std::vector<sim::AgentId> members;                      // ascending, at least two
  std::vector<std::pair<sim::AgentId, TraceCall>> turns;  // the agent that speaks or remembers, and its call

  bool operator==(const TraceConversation&) const = default;
};

struct TraceAgent {
  std::string name;
  std::vector<std::pair<sim::Step, sim::Pos>> path;        // position from that step on; the first at step 0
  std::vector<std::pair<sim::Step, std::string>> actions;  // its action from that step on
  // (step, end): from `step` on it is known that the agent will carry on with its action, and its way to it,
  // until `end` (exclusive). Empty in traces that do not say.
  std::vector<std::pair<sim::Step, sim::Step>> plans;
  std::vector<TraceChain> chains;  // steps strictly ascending

  sim::Pos PosAt(sim::Step step) const;
  std::string_view ActionAt(sim::Step step) const;  // empty before the first
  // The end of the plan known at `step`; if it has none, a step not after `step`.
  sim::Step PlannedUntil(sim::Step step) const;

  bool operator==(const TraceAgent&) const = default;
};

// Perception radius of traces that name none: those recorded with the original engine, whose conversations
// start up to 8 tiles apart although its agents perceive 4.
inline constexpr int kRecordedRadius = 8;

inline constexpr int64_t kMaxTraceSteps = 100'000'000;
inline constexpr int64_t kMaxTraceSide = 1'000'000;        // of a grid, in tiles
inline constexpr size_t kMaxTraceBytes = size_t{1} << 30;  // of text: a guard against decompression bombs

struct Trace {
  std::string name;  // name of the file
  sim::Step num_steps = 0;
  int sec_per_step = 10;
  int32_t width = 0;
  int32_t height = 0;
  LocalTime start;      // of step 0; midnight of an unknown day where the trace does not say
  std::string source;   // may be empty
  std::string license;  // may be empty
  int radius_p = kRecordedRadius;
  std::vector<TraceAgent> agents;
  std::vector<TraceConversation> conversations;  // sorted by step

  uint64_t NumCalls() const;
  int SecondOfDay(sim::Step step) const;  // [0, 86400)

  bool operator==(const Trace&) const = default;
};

// Throw kIo if the file cannot be read, and kInvalid, naming file and line, if a line is wrong.
Trace LoadTrace(const std::string& path);
Trace ParseTrace(std::string_view text, const std::string& name);

// Returns the same text, valid for as long as TraceCall needs it.
const char* InternFunction(std::string_view name);

}  // namespace throng::trace
