// Returns what workers have done among the answers of a run's backend, so that the run waits for both.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "llm/decorators/decorator.h"
#include "workers/step_pool.h"

namespace throng::workers {

class WorkersLlm final : public llm::Decorator {
 public:
  // `pool` outlives it. is_virtual: the backend's clock stands still while workers do what they do.
  WorkersLlm(std::unique_ptr<llm::Llm> inner, StepPool& pool, bool is_virtual)
      : Decorator(std::move(inner)), pool_(pool), is_virtual_(is_virtual) {}

  void Submit(llm::Request request) override;
  void Wait(std::vector<llm::Completion>& done, double seconds) override;
  void Cancel(uint64_t id) override;

 private:
  void WaitForInner(std::vector<llm::Completion>& done, double seconds);

  StepPool& pool_;
  bool is_virtual_;
  size_t inner_in_flight_ = 0;
};

}  // namespace throng::workers
