#include "studies/pass_times.h"

#include <algorithm>

namespace throng::studies {
namespace {

// Tokens of the answers whose times are compared. A fast server makes more of them, so that the difference
// stands out from what else its machine does.
constexpr int kFew = 4;
constexpr int kMany = 20;
constexpr int kMost = 320;
constexpr double kClearMs = 40;

class Measurement {
 public:
  Measurement(const TimeRequests& time, int repeats) : time_(time), repeats_(repeats) {}

  double Ms(int requests, int prompt, int more) const {
    double best = 1e9;
    for (int i = 0; i < repeats_; ++i) best = std::min(best, time_(requests, prompt, more));
    return best;
  }

  // Chooses how long answers are by the times of single ones.
  void ChooseAnswers(int context) {
    const double few_ms = Ms(1, context, kFew);
    while (many_ < kMost && Ms(1, context, many_) - few_ms < kClearMs) many_ *= 2;
  }

  // Of a pass over a token each of so many sequences.
  double DecodeMs(int sequences, int context) const {
    return (Ms(sequences, context, many_) - Ms(sequences, context, kFew)) / (many_ - kFew);
  }

  // By how much contexts have grown in these passes, on average.
  double Growth() const { return (kFew + many_) / 2.0; }

 private:
  const TimeRequests& time_;
  int repeats_;
  int many_ = kMany;
};

}  // namespace

PassFit FitPasses(const TimeRequests& time, const PassPlan& plan, bool has_request_ms,
                  const std::function<void(const char* what, int n)>& on_progress) {
  Measurement measurement(time, plan.repeats);
  measurement.Ms(1, plan.near, kFew);  // weights are read or repacked
  measurement.ChooseAnswers(plan.near);
  const double near_ms = measurement.DecodeMs(1, plan.near);
  const double kv_ms =
      plan.far <= plan.near
          ? 0
          : std::max(0.0, (measurement.DecodeMs(1, plan.far) - near_ms) / (plan.far - plan.near));
  PassFit fit;
  fit.kv_us = kv_ms * 1e3;
  const auto add = [&](int tokens, double ms) {
    fit.times.push_back({tokens, std::max(ms, fit.times.empty() ? 0.0 : fit.times.back().ms)});
  };
  for (const int batch : plan.batches) {
    on_progress("sequences that decode", batch);
    const double context = batch * (plan.near + measurement.Growth());
    add(batch, measurement.DecodeMs(batch, plan.near) - context * kv_ms);
  }
  if (has_request_ms) {
    llm::LatencyOptions passes;
    passes.pass_ms = fit.times;
    fit.request_ms = std::max(0.0, measurement.Ms(1, plan.near, 0) - passes.ComputeMs(plan.near));
  }
  for (const int prompt : plan.prompts) {
    on_progress("tokens of a prompt", prompt);
    add(prompt, measurement.Ms(1, prompt, 0) - fit.request_ms);
  }
  return fit;
}

}  // namespace throng::studies
