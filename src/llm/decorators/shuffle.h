// Returns completions late and in random order, to provoke what a scheduler must tolerate.
#pragma once

#include "base/rng.h"
#include "llm/decorators/decorator.h"

namespace throng::llm {

class ShuffleLlm : public Decorator {
 public:
  ShuffleLlm(std::unique_ptr<Llm> inner, uint64_t seed, size_t max_held = 64)
      : Decorator(std::move(inner)), rng_(seed), max_held_(max_held) {}

  void Submit(Request request) override;
  // Returns at least one completion whenever one is in flight and time is left: held completions never wait
  // for a submission.
  void Wait(std::vector<Completion>& done, double seconds = kForever) override;

 private:
  CounterRng rng_;
  size_t max_held_;
  size_t in_flight_ = 0;  // inside the inner backend
  std::vector<Completion> held_;
};

}  // namespace throng::llm
