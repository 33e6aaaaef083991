#include "llm/budget.h"

#include <algorithm>

namespace throng::llm {

uint64_t BudgetLlm::Submit(Request request) {
  if (used_ >= max_tokens_) {
    throw MakeError(ErrorCode::kExhausted, "budget: {} of {} tokens are used up", used_, max_tokens_);
  }
  return Inner().Submit(std::move(request));
}

void BudgetLlm::Wait(std::vector<Completion>& done, double seconds) {
  const size_t before = done.size();
  Inner().Wait(done, seconds);
  for (size_t i = before; i < done.size(); ++i) {
    used_ += static_cast<uint64_t>(std::max(done[i].prompt_tokens, 0)) +
             static_cast<uint64_t>(std::max(done[i].output_tokens, 0));
  }
}

}  // namespace throng::llm
