// A backend that answers as a recorded run was answered.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "llm/llm.h"
#include "sim/run/recording.h"

namespace throng::sim {

class RecordedLlm final : public llm::Llm {
 public:
  // Asks `below` what the recorded run did not ask; if it is null, that is refused. Both must outlive this.
  RecordedLlm(const Recording& recording, llm::Llm* below) : recording_(recording), below_(below) {}

  void Submit(llm::Request request) override;  // throws kInvalid if nobody has the answer
  void Wait(std::vector<llm::Completion>& done, double seconds) override;
  void Cancel(uint64_t id) override {
    if (below_ != nullptr) below_->Cancel(id);
  }
  void Raise(uint64_t id, int priority) override {
    if (below_ != nullptr) below_->Raise(id, priority);
  }
  double Now() const override { return below_ != nullptr ? below_->Now() : 0; }
  std::string Identity() const override { return "recorded"; }
  llm::Stats GetStats() const override { return stats_; }

 private:
  struct AgentStep {
    Step step = -1;
    RecordedStep recorded;
  };

  const Recording& recording_;
  llm::Llm* below_;
  std::unordered_map<AgentId, AgentStep> last_read_;
  std::vector<llm::Completion> answered_;
  llm::Stats stats_;
};

}  // namespace throng::sim
