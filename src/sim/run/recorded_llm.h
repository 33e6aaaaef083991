// A backend that answers as a recorded run was answered.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "llm/llm.h"
#include "sim/run/recording.h"

namespace throng::sim {

class RecordedLlm final : public llm::Llm {
 public:
  enum class Answers { kAll, kEffects };

  // Asks `below` what the recorded run did not ask, and with kEffects all that models are asked; if it is
  // null, that is refused. What would do something to the world outside fails instead. The recording must
  // outlive this.
  RecordedLlm(const Recording& recording, std::unique_ptr<llm::Llm> below, Answers answers = Answers::kAll)
      : recording_(recording), below_(std::move(below)), answers_(answers) {}

  void Submit(llm::Request request) override;  // throws kInvalid if nobody has the answer
  void Wait(std::vector<llm::Completion>& done, double seconds) override;
  void Cancel(uint64_t id) override {
    if (below_ != nullptr) below_->Cancel(id);
  }
  void Raise(uint64_t id, int priority) override {
    if (below_ != nullptr) below_->Raise(id, priority);
  }
  std::optional<llm::Standing> StandingOf(uint64_t id) const override {
    return below_ != nullptr ? below_->StandingOf(id) : std::nullopt;
  }
  bool AnswersEveryKind() const override { return true; }
  double Now() const override { return below_ != nullptr ? below_->Now() : 0; }
  std::string Identity() const override { return "recorded"; }
  llm::Stats GetStats() const override { return stats_; }

 private:
  struct AgentStep {
    Step step = -1;
    RecordedStep recorded;
  };

  const Recording& recording_;
  std::unique_ptr<llm::Llm> below_;
  Answers answers_;
  std::unordered_map<AgentId, AgentStep> last_read_;
  std::vector<llm::Completion> answered_;
  llm::Stats stats_;
};

}  // namespace throng::sim
