#include "app/verify_backends.h"

#include <utility>

#include "journal/journaled_llm.h"
#include "llm/decorators/shuffle.h"

namespace throng::app {

VerifyBackends::VerifyBackends(Make make, bool repeatable) : make_(std::move(make)) {
  if (repeatable) return;
  recorded_ = make_();
  recording_ = std::make_unique<journal::ScratchJournal>();
}

std::unique_ptr<llm::Llm> VerifyBackends::For(const sim::VerifyRun& run) {
  std::unique_ptr<llm::Llm> llm;
  if (recorded_ != nullptr) {
    llm = std::make_unique<journal::JournaledLlm>(*recorded_, recording_->Get());
  } else {
    llm = make_();
  }
  if (run.shuffle.has_value()) llm = std::make_unique<llm::ShuffleLlm>(std::move(llm), *run.shuffle);
  return llm;
}

}  // namespace throng::app
