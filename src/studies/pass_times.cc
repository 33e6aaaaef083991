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
// Parts of a long prompt that are asked for at once: as many tokens, which see fewer before them.
constexpr int kParts = 4;

class Measurement {
 public:
  Measurement(const TimeRequests& time, int repeats) : time_(time), repeats_(repeats) {}

  double Ms(int requests, int prompt, int more) const {
    double best = 1e9;
    for (int i = 0; i < repeats_; ++i) best = std::min(best, time_(requests, prompt, more));
    return best;
  }

  // Passes over a token each of so many sequences: what one takes, and its context on average.
  struct Decode {
    double ms;
    double context;
  };
  Decode TimeDecode(int sequences, int context) const {
    const double few_ms = Ms(sequences, context, kFew);
    int many = kMany;
    double ms = Ms(sequences, context, many) - few_ms;
    for (; ms < kClearMs && many < kMost; ms = Ms(sequences, context, many) - few_ms) many *= 2;
    return {ms / (many - kFew), context + (kFew + many) / 2.0};
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
  double kv_ms = 0;
  if (plan.far > plan.near) {
    const auto near = measurement.TimeDecode(1, plan.near);
    const auto far = measurement.TimeDecode(1, plan.far);
    kv_ms = std::max(0.0, (far.ms - near.ms) / (far.context - near.context));
  }
  PassFit fit;
  fit.kv_us = kv_ms * 1e3;
  const auto add = [&](int tokens, double ms) {
    fit.times.push_back({tokens, std::max(ms, fit.times.empty() ? 0.0 : fit.times.back().ms)});
  };
  for (const int batch : plan.batches) {
    on_progress("sequences that decode", batch);
    const auto decode = measurement.TimeDecode(batch, plan.near);
    add(batch, decode.ms - batch * decode.context * kv_ms);
  }
  if (has_request_ms) {
    llm::LatencyOptions passes;
    passes.pass_ms = fit.times;
    fit.request_ms = std::max(0.0, measurement.Ms(1, plan.near, 0) - passes.ComputeMs(plan.near));
  }
  double attend_ms = 0;
  if (const int part = plan.longest / kParts; part > 0) {
    on_progress("tokens of a prompt, whole and in parts", part * kParts);
    const double parts_ms = measurement.Ms(kParts, part, 0);
    const double whole_ms = measurement.Ms(1, part * kParts, 0);
    attend_ms = std::max(0.0, whole_ms - parts_ms) / (part * part * kParts * (kParts - 1) / 2.0);
  }
  fit.attend_us = attend_ms * 1e3;
  for (const int prompt : plan.prompts) {
    on_progress("tokens of a prompt", prompt);
    add(prompt, measurement.Ms(1, prompt, 0) - fit.request_ms - attend_ms * prompt * prompt / 2.0);
  }
  return fit;
}

}  // namespace throng::studies
