// Sends each call to one of several backends by its function: a model per kind of decision.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "llm/llm.h"

namespace throng::llm {

// Backends keep their own clocks, in wall or virtual time. The router's clock follows the backends that have
// calls in flight, advancing them together in steps of kQuantum seconds. So when a call follows an answer of
// another backend, times in a virtual backend are right to that precision.
class RouterLlm : public Llm {
 public:
  static constexpr double kQuantum = 0.005;

  explicit RouterLlm(std::unique_ptr<Llm> fallback);

  // Sends calls of this function to that backend. A backend may serve several functions.
  void Route(const std::string& function, std::shared_ptr<Llm> backend);

  void Submit(Request request) override;
  void Wait(std::vector<Completion>& done, double seconds = kForever) override;
  void Cancel(uint64_t id) override;
  void Raise(uint64_t id, int priority) override;
  std::optional<Standing> StandingOf(uint64_t id) const override;
  void Confirm(const Request& request, const Completion& completion) override {
    lanes_[LaneOf(request.function)].backend->Confirm(request, completion);
  }
  bool WantsExpectations() const override;
  void ExpectNext(uint32_t agent, int32_t step) override;
  double Now() const override { return now_; }
  std::string Identity() const override;
  Stats GetStats() const override;  // sums over all backends

  const Llm& Default() const { return *lanes_.front().backend; }
  std::vector<const Llm*> Backends() const;  // each once

 private:
  struct Lane {
    std::shared_ptr<Llm> backend;
    double offset = 0;     // this clock minus the backend's
    size_t in_flight = 0;  // calls
  };

  size_t LaneOf(const std::string& function) const;
  double NowOf(const Lane& lane) const { return lane.backend->Now() + lane.offset; }
  bool Advance(Lane& lane, double until, std::vector<Completion>& done);

  std::vector<Lane> lanes_;               // the first takes calls without a route
  std::map<std::string, size_t> routes_;  // function: lane
  double now_ = 0;
  mutable std::mutex mutex_;
  std::unordered_map<uint64_t, size_t> lane_of_;  // guarded by mutex_; by id, of calls in flight
};

}  // namespace throng::llm
