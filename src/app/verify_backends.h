// Backends for the runs that sim::Verify compares: all must give the same answers.
#pragma once

#include <functional>
#include <memory>

#include "journal/scratch_journal.h"
#include "llm/llm.h"
#include "sim/run/verify.h"

namespace throng::app {

class VerifyBackends {
 public:
  using Make = std::function<std::unique_ptr<llm::Llm>()>;

  // repeatable: what `make` makes answers a request the same each time. Else, as with a server, one is made
  // here, and each request is asked of it once: later runs get the recorded answer.
  VerifyBackends(Make make, bool repeatable);

  // For one run, with its delays; this must outlive it.
  std::unique_ptr<llm::Llm> For(const sim::VerifyRun& run);

 private:
  Make make_;
  std::unique_ptr<llm::Llm> recorded_;                  // null: repeatable
  std::unique_ptr<journal::ScratchJournal> recording_;  // of recorded_
};

}  // namespace throng::app
