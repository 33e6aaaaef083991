// Serves the calls of one agent, with which a user interacts, before those of all others, the background.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "llm/decorators/decorator.h"

namespace throng::llm {

struct InteractiveOptions {
  uint32_t agent = 0;   // CallKey::agent
  double target_s = 0;  // target latency of its calls, on the backend's clock; 0: only measure it
};

// The agent's calls get the smallest priority value, so that a backend with a queue takes them next. While
// one is in flight, background calls wait here instead of joining the batches. A limit on background calls in
// flight lets the target be met: it halves when a call took longer, and grows by a quarter when a call took
// less than half of the target. An answer that is too long for the target on any server is judged by the best
// time per token so far instead.
class InteractiveLlm : public Decorator {
 public:
  InteractiveLlm(std::unique_ptr<Llm> inner, const InteractiveOptions& options)
      : Decorator(std::move(inner)), options_(options) {}

  void Submit(Request request) override;
  void Wait(std::vector<Completion>& done, double seconds = kForever) override;
  void Cancel(uint64_t id) override;
  void Raise(uint64_t id, int priority) override;
  std::optional<Standing> StandingOf(uint64_t id) const override;

  const std::vector<double>& Latencies() const { return latencies_; }  // seconds, in order of completion

 private:
  int PriorityOf(bool is_the_agents, int priority) const;
  bool MayPass() const;
  void Send(Request request);
  void Release(std::vector<Completion>& done);
  void Adapt(double latency_s, int output_tokens);

  InteractiveOptions options_;
  uint64_t num_held_ = 0;  // since the start
  // Background calls by priority and order of arrival.
  std::map<std::pair<int, uint64_t>, Request> waiting_;
  size_t in_flight_ = 0;
  std::unordered_map<uint64_t, double> issued_;  // calls of the agent, by id
  size_t limit_ = SIZE_MAX;
  double s_per_token_ = kForever;  // the best over answers so far
  std::vector<double> latencies_;
  std::mutex mutex_;
  std::vector<uint64_t> cancelled_;  // guarded by mutex_; perhaps ids of waiting calls
};

// The q-quantile (0 to 1) by the nearest rank; 0 if there are no values.
double Quantile(std::vector<double> values, double q);

}  // namespace throng::llm
