// Has workers do agents' steps, turn by turn, and returns what they say as completions of the run's requests.
// Keeps what was said in each step until it ends, so that another worker can do it again from its beginning:
// it then says the same, which is known already, and is told again what it was told before.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "llm/llm.h"
#include "workers/link.h"

namespace throng::workers {

class StepPool {
 public:
  // A step that so many workers were lost with is not tried again.
  static constexpr int kMostLosses = 5;

  explicit StepPool(std::unique_ptr<Link> link) : link_(std::move(link)) {}

  // A step of the agent at key.agent and key.step, which are for completions and messages.
  uint64_t NewStep(const llm::CallKey& key, bool guess);
  // Sends the next turn of the step. Wait returns what the worker says under this id.
  void Say(uint64_t step, uint64_t id, std::string text);
  // Nobody wants the step any more, or it has ended.
  void Drop(uint64_t step);
  // Wait returns the turn in work under this id as cancelled. Unknown ids are ignored.
  void Cancel(uint64_t id);

  bool IsBusy() const { return !in_work_.empty() || !cancelled_.empty(); }
  // Waits until a turn is done, or `seconds` have passed; appends all that are. Throws kInvalid for workers
  // that cannot work and steps that they do not survive, and kUnavailable as Link.
  void Wait(std::vector<llm::Completion>& done, double seconds);

  uint64_t NumRepeated() const { return repeated_; }  // steps begun again, as their worker was lost

 private:
  struct Step {
    llm::CallKey key;
    bool guess = false;
    std::vector<std::string> said;  // by the run, by turn
    uint64_t id = 0;                // of the turn in work; 0: none is
    bool posted = false;            // the turn in work is with the workers
    std::string worker;             // who does it, if known
    std::set<std::string> begun;    // workers that have begun it
    int losses = 0;
  };
  using Place = std::tuple<bool, int32_t, uint64_t>;  // in the queue: guesses last, then by step and age

  static Place PlaceOf(uint64_t number, const Step& step) { return {step.guess, step.key.step, number}; }
  void Post();
  void Put(uint64_t number, Step& step);
  void Take(const Arrival& arrival, std::vector<llm::Completion>& done);
  void TakeTurn(const std::string& worker, const FromWorker& message, std::vector<llm::Completion>& done);
  void CountLoss(Step& step);
  void BeginAgain(const std::string& worker, uint64_t in_work);

  std::unique_ptr<Link> link_;
  std::unordered_map<uint64_t, Step> steps_;
  std::unordered_map<uint64_t, uint64_t> in_work_;  // id of a turn to its step
  std::set<Place> waiting_;                         // steps whose turn is not posted
  size_t num_posted_ = 0;                           // turns
  std::vector<llm::Completion> cancelled_;
  std::vector<Arrival> arrived_;
  uint64_t last_step_ = 0;
  uint64_t repeated_ = 0;
};

}  // namespace throng::workers
