#include "app/verify_backends.h"

#include <utility>

#include "app/limits.h"
#include "llm/decorators/decorator.h"
#include "llm/decorators/shuffle.h"
#include "sim/run/recorded_llm.h"

namespace throng::app {

VerifyBackends::VerifyBackends(Make make, bool repeatable, const sim::Recording& recording)
    : make_([make = std::move(make)] { return WithAttempts(Limits(), make()); }),
      repeatable_(repeatable),
      recording_(recording) {
  if (!repeatable) server_ = make_();
}

std::unique_ptr<llm::Llm> VerifyBackends::For(const sim::VerifyRun& run) {
  std::unique_ptr<llm::Llm> llm;
  if (repeatable_) {
    llm = make_();
  } else if (std::exchange(is_recorded_, true)) {
    llm = std::make_unique<sim::RecordedLlm>(recording_, server_.get());
  } else {
    llm = std::make_unique<llm::Decorator>(*server_);
  }
  if (run.shuffle.has_value()) llm = std::make_unique<llm::ShuffleLlm>(std::move(llm), *run.shuffle);
  return llm;
}

}  // namespace throng::app
