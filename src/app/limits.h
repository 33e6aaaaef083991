// The layers between the agents of a run and its backend: retries with timeouts, a budget, and priority for
// an interactive agent.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "llm/decorators/budget.h"
#include "llm/decorators/interactive.h"
#include "llm/llm.h"
#include "sim/world.h"

namespace throng::app {

struct Limits {
  double call_timeout_s = 0;  // seconds per attempt, on the backend's clock; 0: no timeout
  int call_attempts = 3;
  bool fallback = false;    // a failed call does not end the run: its agent does the usual thing
  uint64_t max_tokens = 0;  // 0: no limit
  double max_cost = 0;      // 0: no limit
  std::string price;        // "IN,OUT" per million tokens
  std::string interactive;  // name of an agent
  double target_ms = 1000;
};

// "0.15,0.6": price per million tokens of prompts and of answers. Throws kInvalid; empty text is no price.
llm::Price ParsePrice(const std::string& text);

// Throws kInvalid for limits that cannot work, before anything is made.
void CheckLimits(const Limits& limits, const sim::World& world);

struct LimitedBackend {
  std::unique_ptr<llm::Llm> top;
  const llm::BudgetLlm* budget = nullptr;            // counts tokens even without a limit
  const llm::InteractiveLlm* interactive = nullptr;  // null: no interactive agent
};

// used_before: tokens used by earlier sessions of the run.
LimitedBackend ApplyLimits(const Limits& limits, const sim::World& world, std::unique_ptr<llm::Llm> backend,
                           const llm::TokensUsed& used_before);

}  // namespace throng::app
