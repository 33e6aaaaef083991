// Stops a run that has used up its tokens or its money.
#pragma once

#include <limits>

#include "llm/decorators/decorator.h"

namespace throng::llm {

// Tokens found in a prefix cache count, too: servers differ in what they charge for them.
struct TokensUsed {
  uint64_t prompt = 0;
  uint64_t output = 0;
};

struct Price {  // per million tokens
  double prompt = 0;
  double output = 0;
};

double CostOf(const TokensUsed& tokens, const Price& price);

struct BudgetOptions {
  uint64_t max_tokens = std::numeric_limits<uint64_t>::max();  // prompt and answer tokens together
  double max_cost = Llm::kForever;
  Price price;
  TokensUsed used_before;  // tokens used by earlier sessions of the run
};

// Sends nothing more once the completions have used the budget up. Calls in flight still complete, so that
// everything paid for arrives; a run can exceed its budget by that. Then Wait throws kExhausted.
class BudgetLlm : public Decorator {
 public:
  BudgetLlm(std::unique_ptr<Llm> inner, const BudgetOptions& options)
      : Decorator(std::move(inner)), options_(options), used_(options.used_before) {}

  void Submit(Request request) override;
  void Wait(std::vector<Completion>& done, double seconds = kForever) override;

  const TokensUsed& Used() const { return used_; }  // including earlier sessions
  bool IsUsedUp() const;

 private:
  std::string Describe() const;

  BudgetOptions options_;
  TokensUsed used_;
  bool holds_back_ = false;  // a call was not sent: Wait will throw
  uint64_t in_flight_ = 0;
};

}  // namespace throng::llm
