// Describes a trace by the numbers AI Metropolis gives for its workload (section 4.1).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "trace/trace.h"

namespace throng::trace {

struct FunctionStats {
  std::string function;
  uint64_t calls = 0;
  double mean_prompt = 0;  // mean tokens per call
  double mean_output = 0;
};

struct TraceStats {
  uint64_t agents = 0;
  uint64_t steps = 0;
  uint64_t calls = 0;
  uint64_t prompt_tokens = 0;
  uint64_t output_tokens = 0;
  double sd_prompt = 0;  // standard deviation over calls, in tokens
  double sd_output = 0;
  std::array<uint64_t, 24> calls_by_hour{};  // by hour of the day
  std::vector<FunctionStats> functions;      // sorted by calls, most first
  uint64_t active_steps = 0;                 // agent-steps with a chain of calls
  size_t longest_chain = 0;                  // most calls in a row
  uint64_t conversations = 0;
  double mean_turns = 0;     // calls per conversation
  double mean_coupled = 0;   // agents within radius + 1 of an agent at a step, counting itself
  double mean_near = 0;      // agents within 15 tiles, counting itself
  double moving_share = 0;   // share of agent-steps that end on another tile
  int32_t longest_move = 0;  // in tiles (Chebyshev)
  double busiest_agent = 0;  // its calls over the mean agent's; a conversation counts for its speakers

  double MeanPrompt() const {
    return calls == 0 ? 0 : static_cast<double>(prompt_tokens) / static_cast<double>(calls);
  }
  double MeanOutput() const {
    return calls == 0 ? 0 : static_cast<double>(output_tokens) / static_cast<double>(calls);
  }
};

TraceStats StatsOf(const Trace& trace);

}  // namespace throng::trace
