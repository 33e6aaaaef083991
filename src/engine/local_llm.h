// Makes a model in this process a backend of the simulator.
#pragma once

#include <chrono>
#include <memory>
#include <optional>

#include "engine/local_model.h"
#include "llm/llm.h"

namespace throng::engine {

class LocalLlm final : public llm::Llm {
 public:
  explicit LocalLlm(std::shared_ptr<LocalModel> model);
  ~LocalLlm() override;  // cancels what is in flight

  void Submit(llm::Request request) override;
  void Wait(std::vector<llm::Completion>& done, double seconds) override;
  void Cancel(uint64_t id) override;
  void Raise(uint64_t id, int priority) override;
  std::optional<llm::Standing> StandingOf(uint64_t id) const override;
  bool WantsExpectations() const override { return model_->WantsExpectations(); }
  void ExpectNext(uint32_t agent, int32_t step) override {
    if (WantsExpectations()) model_->ExpectNext(agent, step);
  }
  double Now() const override;
  std::string Identity() const override { return model_->Identity(); }
  llm::Stats GetStats() const override;

  LocalModel& Model() { return *model_; }
  const LocalModel& Model() const { return *model_; }
  const std::shared_ptr<LocalModel>& SharedModel() const { return model_; }

 private:
  struct Inbox;

  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  const std::shared_ptr<LocalModel> model_;
  const std::shared_ptr<Inbox> inbox_;  // the engine's callbacks may outlive this object
};

}  // namespace throng::engine
