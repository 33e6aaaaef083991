// Stops a run that has used up its tokens.
#pragma once

#include "llm/decorator.h"

namespace throng::llm {

class BudgetLlm : public Decorator {
 public:
  // max_tokens: prompt and output tokens of all calls together; those answered from a prefix cache count too.
  BudgetLlm(std::unique_ptr<Llm> inner, uint64_t max_tokens)
      : Decorator(std::move(inner)), max_tokens_(max_tokens) {}

  // Throws kExhausted once the completions have used the budget up. Calls in flight at that moment still
  // complete, so a run can exceed its budget by what they need.
  uint64_t Submit(Request request) override;
  void Wait(std::vector<Completion>& done, double seconds = kForever) override;

  uint64_t UsedTokens() const { return used_; }

 private:
  uint64_t max_tokens_;
  uint64_t used_ = 0;
};

}  // namespace throng::llm
