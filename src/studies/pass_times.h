// Fits the latency model (llm/backends/latency.h) to a server by the times of whole requests.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "llm/backends/latency.h"

namespace throng::studies {

// Milliseconds until requests, asked at once, have their answers: prompts of so many tokens that share
// nothing, one token of each answer, and `more` after it.
using TimeRequests = std::function<double(std::span<const int> prompts, int more)>;

struct PassPlan {
  std::vector<int> batches;  // sequences that decode at once, ascending
  std::vector<int> prompts;  // lengths of prompts, ascending; those of a pass at most
  int near = 16;             // tokens of context, for `batches`
  int far = 512;             // tokens of context, to see what they cost
  int longest = 512;         // of a prompt, to see what it costs to attend to itself; 0: is not asked for
  int chunk = 0;             // most tokens of a pass, to fill it with many prompts; 0: is not asked for
};

struct PassFit {
  std::vector<llm::PassTime> times;  // of passes without attention, rising
  double kv_us = 0;                  // per token of context
  double attend_us = 0;              // per prompt token and token that it sees
  double request_ms = 0;             // of a request, besides its passes
};

// Answers of 20 tokens (up to 320 on a fast server) and of 4 give the passes of so many rows, prompts those
// of more; a long prompt, beside four of a quarter of its length, tells what attention takes of that. A full
// pass is timed with many prompts of unlike lengths at once, which some servers make slower than one alone.
// With `has_request_ms`, what the smallest prompt takes beyond a pass of as many rows is each request's.
PassFit FitPasses(const TimeRequests& time, const PassPlan& plan, bool has_request_ms,
                  const std::function<void(const char* what, int n)>& on_progress);

}  // namespace throng::studies
