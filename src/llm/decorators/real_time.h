// Makes a backend in virtual time (fake, latency) take as long in wall time as it claims, to watch a modelled
// server at work.
#pragma once

#include <chrono>
#include <memory>
#include <utility>
#include <vector>

#include "llm/decorators/decorator.h"

namespace throng::llm {

class RealTimeLlm : public Decorator {
 public:
  explicit RealTimeLlm(std::unique_ptr<Llm> inner)
      : Decorator(std::move(inner)), start_(std::chrono::steady_clock::now()) {}

  void Wait(std::vector<Completion>& done, double seconds = kForever) override;
  double Now() const override;  // wall time

 private:
  std::chrono::steady_clock::time_point start_;
};

}  // namespace throng::llm
