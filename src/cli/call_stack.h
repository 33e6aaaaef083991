// What a journaled run puts between its agents and the backend: routes by kind of decision, retries with
// timeouts, a budget, and priority for an interactive agent.
#pragma once

#include <memory>

#include "cli/simulate.h"
#include "llm/decorators/budget.h"
#include "llm/decorators/interactive.h"
#include "llm/llm.h"

namespace throng::cli {

// Declares --call-timeout, --call-attempts, --fallback, --max-tokens-total, --max-cost and --price.
void AddLimitFlags(CLI::App& command, Simulation& simulation);
// Declares --interactive and --target-ms.
void AddInteractiveFlags(CLI::App& command, Simulation& simulation);

// Throws kInvalid for limits that cannot work, before anything is made.
void CheckLimits(const Simulation& simulation, const Scenario& scenario);

struct CallStack {
  std::unique_ptr<llm::Llm> top;
  const llm::BudgetLlm* budget = nullptr;            // counts also where there is no limit
  const llm::InteractiveLlm* interactive = nullptr;  // null: nobody is
};

// "0.15,0.6": of a million tokens of prompts and of answers. Throws kInvalid; no text is no price.
llm::Price ParsePrice(const std::string& text);

// used_before: by earlier sessions of the run.
CallStack MakeCallStack(const Simulation& simulation, const Scenario& scenario,
                        std::unique_ptr<llm::Llm> backend, const llm::TokensUsed& used_before);

}  // namespace throng::cli
