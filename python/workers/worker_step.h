// One step of one agent at a worker, while it runs: its view and its caller.
#pragma once

#include <coroutine>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "llm/llm.h"
#include "python/workers/step_messages.h"
#include "python/world/world.h"
#include "sim/task.h"
#include "sim/world.h"

namespace throng::python {

class WorkerStep final : private sim::View, private sim::Caller {
 public:
  // Asks the run for what kReads says, while the step's code waits for it.
  using AskRun = std::function<StepReply(const StepSays& read)>;

  WorkerStep(const PythonWorld& world, StepTask task, AskRun ask_run);

  void Start();
  // The answers to what it says now, which is what Says returned.
  void GoOn(StepReply reply);
  // Once it has started, or gone on: what it asks for, or what it came to. Throws what ended it.
  StepSays Says();

  uint32_t turn = 0;        // of the worker, in work
  bool is_dropped = false;  // nobody wants it any more

 private:
  // A call, in the frame of the coroutine that awaits its answer.
  struct Asked {
    llm::Request request;
    llm::Completion answer{};
    std::coroutine_handle<> waiter{};
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) noexcept { waiter = handle; }
    void await_resume() const noexcept {}
  };

  sim::AgentId Self() const override { return task_.agent; }
  sim::Step Now() const override { return task_.step; }
  const sim::Body& SelfBody() const override { return task_.body; }
  const sim::MindPtr& SelfMind() const override { return mind_; }
  std::vector<sim::Neighbour> Neighbours() const override;
  std::string Cell(sim::Pos pos) const override;
  std::vector<sim::Announcement> Announced(size_t known) const override;
  std::vector<sim::Post> Posts(sim::AgentId author) const override;
  std::vector<sim::Post> Feed(size_t most,
                              const std::function<int64_t(const sim::Post&)>& score) const override;
  int64_t Likes(const sim::PostId& post) const override;
  std::vector<sim::Message> Messages() const override;

  sim::Task<llm::Completion> Ask(llm::Request request) override;
  sim::Task<std::string> Await(std::function<void(uint64_t id, bool guess)> begin) override;
  int LastCall() const override { return -1; }

  // Makes sure that sight_ has one of Reads.
  void See(uint8_t reads) const;
  void Read(StepSays read) const;
  void Add(Sight sight) const;

  const PythonWorld& world_;
  StepTask task_;
  AskRun ask_run_;
  sim::MindPtr mind_;
  // What has been seen so far: grows as the step reads.
  mutable Sight sight_;
  mutable std::map<sim::Pos, std::string> cells_;
  mutable std::map<sim::PostId, int64_t> likes_;
  mutable uint8_t read_ = 0;
  std::vector<Asked*> asked_;
  sim::Task<sim::IntentPtr> intent_;  // last: its frame refers to the fields above
};

}  // namespace throng::python
