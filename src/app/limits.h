// The layers between the agents of a run and its backend: retries with timeouts, budgets, priority for an
// interactive agent, and what answers instead of a model.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "effects/effects_llm.h"
#include "llm/decorators/budget.h"
#include "llm/decorators/interactive.h"
#include "llm/decorators/retry.h"
#include "llm/llm.h"
#include "sim/world.h"

namespace throng::app {

// After which failures of its call an agent does the usual thing, instead of ending the run.
enum class FallBack {
  kNever,
  kAnswer,  // answers that are not allowed, however often the model is asked
  kAny,     // every failure, unless no call could succeed (a wrong key, no quota, a server that is gone)
};

// The names for flags and manifests: never, answer, any. Parse throws kInvalid.
inline constexpr const char* kFallBackNames[] = {"never", "answer", "any"};
FallBack ParseFallBack(const std::string& name);

// Says of a failed call whether the rule lets its agent fall back.
std::function<bool(const llm::Completion&)> FallsBack(FallBack rule);

struct Limits {
  double call_timeout_s = 0;  // seconds per attempt, on the backend's clock; 0: no timeout
  int call_attempts = llm::RetryOptions().call_attempts;
  int answer_attempts = llm::RetryOptions().answer_attempts;
  double max_wait_s = llm::RetryOptions().max_wait;  // longest time that a server may ask to wait
  std::string fallback = "answer";                   // one of kFallBackNames
  uint64_t max_tokens = 0;                           // 0: no limit
  double max_cost = 0;                               // 0: no limit
  uint64_t max_tool_calls = 0;                       // 0: no limit
  std::string price;                                 // "IN,OUT" per million tokens
  std::string interactive;                           // name of an agent
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
  const effects::EffectsLlm* others = nullptr;       // answers instead of models
};

// The backend, asked as often as the limits say. Where any failure falls back, the first answers may be as
// bad as later ones (RetryOptions::unable_after). on_wait: told of pauses that a user would notice; not set:
// they are logged.
std::unique_ptr<llm::Llm> WithAttempts(const Limits& limits, std::unique_ptr<llm::Llm> backend,
                                       std::function<void(const std::string&)> on_wait = {});

// What earlier sessions of a run have used.
struct UsedBefore {
  llm::TokensUsed tokens;
  uint64_t tool_calls = 0;
};

// `effects` says who answers instead of models; its limits are set here.
LimitedBackend ApplyLimits(const Limits& limits, const sim::World& world, std::unique_ptr<llm::Llm> backend,
                           effects::EffectsOptions effects, const UsedBefore& used_before,
                           std::function<void(const std::string&)> on_wait = {});

}  // namespace throng::app
