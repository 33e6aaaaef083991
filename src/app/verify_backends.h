// Makes backends for the runs that sim::Verify compares: all must give the same answers.
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

  // repeatable: the backends from `make` answer a request the same each time. Otherwise, as with a server,
  // one is made here and asked each request once: later runs get the recorded answer.
  VerifyBackends(Make make, bool repeatable);

  // Makes the backend for one run, with that run's delays; this must outlive it.
  std::unique_ptr<llm::Llm> For(const sim::VerifyRun& run);

 private:
  Make make_;
  std::unique_ptr<llm::Llm> recorded_;                  // null: repeatable
  std::unique_ptr<journal::ScratchJournal> recording_;  // journal of recorded_
};

}  // namespace throng::app
