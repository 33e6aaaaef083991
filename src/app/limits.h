// What stands between the agents of a run and its backend: retries with timeouts, a budget, and priority for
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
  double call_timeout_s = 0;  // of one attempt, on the backend's clock; 0: none
  int call_attempts = 3;
  bool fallback = false;    // a call that failed does not end the run: its agent does the usual thing
  uint64_t max_tokens = 0;  // 0: no limit
  double max_cost = 0;      // 0: no limit
  std::string price;        // "IN,OUT" of a million tokens
  std::string interactive;  // an agent's name
  double target_ms = 1000;
};

// "0.15,0.6": of a million tokens of prompts and of answers. Throws kInvalid; no text is no price.
llm::Price ParsePrice(const std::string& text);

// Throws kInvalid for limits that cannot work, before anything is made.
void CheckLimits(const Limits& limits, const sim::World& world);

struct LimitedBackend {
  std::unique_ptr<llm::Llm> top;
  const llm::BudgetLlm* budget = nullptr;            // counts also where there is no limit
  const llm::InteractiveLlm* interactive = nullptr;  // null: nobody is
};

// used_before: by earlier sessions of the run.
LimitedBackend ApplyLimits(const Limits& limits, const sim::World& world, std::unique_ptr<llm::Llm> backend,
                           const llm::TokensUsed& used_before);

}  // namespace throng::app
