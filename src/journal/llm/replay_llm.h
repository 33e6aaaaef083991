// A backend that answers from a journal alone: it repeats a run without the backend that answered the first
// time.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "journal/journal.h"
#include "llm/llm.h"

namespace throng::journal {

class ReplayLlm final : public llm::Llm {
 public:
  explicit ReplayLlm(Journal& journal) : journal_(journal) {}  // journal must outlive this
  explicit ReplayLlm(std::unique_ptr<Journal> journal) : owned_(std::move(journal)), journal_(*owned_) {}

  // Throws kInvalid for a call that the journal does not have, or has for a different request: no agent falls
  // back then. For a guess, such a call completes with kError.
  void Submit(llm::Request request) override;
  void Wait(std::vector<llm::Completion>& done, double seconds) override;
  void Cancel(uint64_t) override {}  // all answers have already arrived
  bool AnswersEveryKind() const override { return true; }
  double Now() const override;
  std::string Identity() const override;
  llm::Stats GetStats() const override { return stats_; }

 private:
  std::optional<Error> WhyNot(const llm::Request& request,
                              const std::optional<JournaledAnswer>& answer) const;

  std::unique_ptr<Journal> owned_;  // owns journal_, or null
  Journal& journal_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  llm::Stats stats_;
  std::vector<llm::Completion> ready_;
};

}  // namespace throng::journal
