#include "llm/decorators/budget.h"

#include <algorithm>

namespace throng::llm {

double CostOf(const TokensUsed& tokens, const Price& price) {
  return (static_cast<double>(tokens.prompt) * price.prompt +
          static_cast<double>(tokens.output) * price.output) *
         1e-6;
}

bool BudgetLlm::IsUsedUp() const {
  return used_.prompt + used_.output >= options_.max_tokens ||
         CostOf(used_, options_.price) >= options_.max_cost;
}

std::string BudgetLlm::Describe() const {
  const uint64_t tokens = used_.prompt + used_.output;
  if (tokens >= options_.max_tokens) return fmt::format("{} of {} tokens", tokens, options_.max_tokens);
  return fmt::format("{:.4f} of {:.4f}, the most that it may cost,", CostOf(used_, options_.price),
                     options_.max_cost);
}

void BudgetLlm::Submit(Request request) {
  if (IsUsedUp()) {
    holds_back_ = true;
    return;
  }
  ++in_flight_;
  Inner().Submit(std::move(request));
}

void BudgetLlm::Wait(std::vector<Completion>& done, double seconds) {
  if (in_flight_ == 0 && holds_back_) {
    throw MakeError(ErrorCode::kExhausted, "budget: {} are used up", Describe());
  }
  const size_t before = done.size();
  Inner().Wait(done, seconds);
  for (size_t i = before; i < done.size(); ++i) {
    used_.prompt += static_cast<uint64_t>(done[i].prompt_tokens + done[i].spent_prompt_tokens);
    used_.output += static_cast<uint64_t>(done[i].output_tokens + done[i].spent_output_tokens);
  }
  in_flight_ -= std::min<uint64_t>(in_flight_, done.size() - before);
}

}  // namespace throng::llm
