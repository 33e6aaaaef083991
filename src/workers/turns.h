// The turns of one step that workers do.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "llm/llm.h"
#include "workers/step_pool.h"

namespace throng::workers {

// Drops the step in the end, so that no worker goes on with one that nobody wants.
class Turns {
 public:
  // `pool` outlives it. key: of the step's agent.
  Turns(StepPool& pool, const llm::CallKey& key) : pool_(pool), key_(key) {}
  Turns(const Turns&) = delete;
  Turns& operator=(const Turns&) = delete;
  ~Turns() {
    if (step_ != 0) pool_.Drop(step_);
  }

  // As StepPool::Say.
  void Say(uint64_t id, bool guess, std::string text) {
    if (step_ == 0) step_ = pool_.NewStep(key_, guess);
    pool_.Say(step_, id, std::move(text));
  }

 private:
  StepPool& pool_;
  llm::CallKey key_;
  uint64_t step_ = 0;  // 0: not begun
};

}  // namespace throng::workers
