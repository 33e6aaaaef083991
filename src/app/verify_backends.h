// Makes backends for the runs that sim::Verify compares: all must give the same answers.
#pragma once

#include <functional>
#include <memory>

#include "effects/effects_llm.h"
#include "llm/llm.h"
#include "sim/run/recording.h"
#include "sim/run/verify.h"

namespace throng::app {

class VerifyBackends {
 public:
  using Make = std::function<std::unique_ptr<llm::Llm>()>;

  // repeatable: the backends from `make` answer a request the same each time. Otherwise, as with a server,
  // later runs get the answers that `recording`, of the first run, has. It must outlive the backends. Calls
  // are asked as often as in a run with the default limits. Tools are used, and people asked, in the first
  // run alone: what that has recorded is what they say later, too.
  VerifyBackends(Make make, bool repeatable, const sim::Recording& recording);

  // Makes the backend for the next run, with that run's delays, and those who answer its world instead of
  // models.
  std::unique_ptr<llm::Llm> For(const sim::VerifyRun& run, effects::EffectsOptions effects = {});

 private:
  Make make_;
  bool repeatable_;
  const sim::Recording& recording_;
  std::unique_ptr<llm::Llm> server_;  // only if not repeatable
  bool is_recorded_ = false;
};

}  // namespace throng::app
