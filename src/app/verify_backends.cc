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

std::unique_ptr<llm::Llm> VerifyBackends::For(const sim::VerifyRun& run, effects::EffectsOptions effects) {
  std::unique_ptr<llm::Llm> llm = repeatable_ ? make_() : std::make_unique<llm::Decorator>(*server_);
  llm = std::make_unique<effects::EffectsLlm>(std::move(llm), std::move(effects));
  if (std::exchange(is_recorded_, true)) {
    using Answers = sim::RecordedLlm::Answers;
    llm = std::make_unique<sim::RecordedLlm>(recording_, std::move(llm),
                                             repeatable_ ? Answers::kEffects : Answers::kAll);
  }
  if (run.shuffle.has_value()) llm = std::make_unique<llm::ShuffleLlm>(std::move(llm), *run.shuffle);
  return llm;
}

}  // namespace throng::app
