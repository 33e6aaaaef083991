#include "studies/pass_times.h"

#include <algorithm>

namespace throng::studies {
namespace {

constexpr int kFew = 4;  // tokens of the answers whose times are compared
constexpr int kMany = 20;

class Measurement {
 public:
  Measurement(const TimeRequests& time, int repeats) : time_(time), repeats_(repeats) {}

  double Ms(int requests, int prompt, int more) const {
    double best = 1e9;
    for (int i = 0; i < repeats_; ++i) best = std::min(best, time_(requests, prompt, more));
    return best;
  }

  // Of a pass over a token each of so many sequences.
  double DecodeMs(int sequences, int context) const {
    return (Ms(sequences, context, kMany) - Ms(sequences, context, kFew)) / (kMany - kFew);
  }

 private:
  const TimeRequests& time_;
  int repeats_;
};

}  // namespace

PassFit FitPasses(const TimeRequests& time, const PassPlan& plan, bool has_request_ms,
                  const std::function<void(const char* what, int n)>& on_progress) {
  const Measurement measurement(time, plan.repeats);
  measurement.Ms(1, plan.near, kFew);  // weights are read or repacked
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
    // The contexts have grown by half of the answers that are compared.
    const double context = batch * (plan.near + (kFew + kMany) / 2.0);
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
