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
constexpr int kFullPasses = 5;
constexpr int kStride = 7;  // so that lengths do not come in order
// A measurement is repeated until it has taken so long in all.
constexpr int kLeastRepeats = 3;
constexpr int kMostRepeats = 10;
constexpr double kEnoughMs = 2000;

class Measurement {
 public:
  explicit Measurement(const TimeRequests& time) : time_(time) {}

  double Ms(std::span<const int> prompts, int more) const {
    return Repeated([&] { return time_(prompts, more); });
  }
  double Ms(int requests, int prompt, int more) const {
    return Ms(std::vector<int>(static_cast<size_t>(requests), prompt), more);
  }

  // Passes over a token each of so many sequences: what one takes, and its context on average.
  struct Decode {
    double ms;
    double context;
  };
  Decode TimeDecode(int sequences, int context) const {
    int many = kMany;
    // Both in turns, so that what changes meanwhile changes both.
    const std::vector<int> prompts(static_cast<size_t>(sequences), context);
    const auto ms = [&] { return time_(prompts, many) - time_(prompts, kFew); };
    double all_ms = Repeated(ms);
    for (; all_ms < kClearMs && many < kMost; all_ms = Repeated(ms)) many *= 2;
    return {all_ms / (many - kFew), context + (kFew + many) / 2.0};
  }

 private:
  // The mean: a run takes the sum of its passes, of which a busy machine makes some far longer than most.
  template <typename Time>
  static double Repeated(const Time& time) {
    double sum = 0;
    int count = 0;
    for (; count < kLeastRepeats || (count < kMostRepeats && sum < kEnoughMs); ++count) sum += time();
    return sum / count;
  }

  const TimeRequests& time_;
};

// The nearest times that never fall with the tokens: where they fall, neighbours share their mean.
void MakeRising(std::vector<llm::PassTime>& times) {
  struct Level {
    double sum;
    int count;
    double Mean() const { return sum / count; }
  };
  std::vector<Level> levels;
  for (const llm::PassTime& time : times) {
    levels.push_back({std::max(time.ms, 0.0), 1});
    while (levels.size() > 1 && levels.back().Mean() < levels[levels.size() - 2].Mean()) {
      const Level last = levels.back();
      levels.pop_back();
      levels.back() = {levels.back().sum + last.sum, levels.back().count + last.count};
    }
  }
  auto time = times.begin();
  for (const Level& level : levels) {
    for (int i = 0; i < level.count; ++i, ++time) time->ms = level.Mean();
  }
}

}  // namespace

PassFit FitPasses(const TimeRequests& time, const PassPlan& plan, bool has_request_ms,
                  const std::function<void(const char* what, int n)>& on_progress) {
  const Measurement measurement(time);
  measurement.Ms(1, plan.near, kFew);  // weights are read or repacked
  double kv_ms = 0;
  if (plan.far > plan.near) {
    const auto near = measurement.TimeDecode(1, plan.near);
    const auto far = measurement.TimeDecode(1, plan.far);
    kv_ms = std::max(0.0, (far.ms - near.ms) / (far.context - near.context));
  }
  PassFit fit;
  fit.kv_us = kv_ms * 1e3;
  for (const int batch : plan.batches) {
    on_progress("sequences that decode", batch);
    const auto decode = measurement.TimeDecode(batch, plan.near);
    fit.times.push_back({batch, decode.ms - batch * decode.context * kv_ms});
  }
  MakeRising(fit.times);
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
    const double ms = measurement.Ms(1, prompt, 0) - fit.request_ms - attend_ms * prompt * prompt / 2.0;
    fit.times.push_back({prompt, ms});
  }
  if (plan.chunk > 0 && plan.batches.back() > 1) {
    // Prompts of unlike lengths that do not fill passes evenly, as those of runs.
    const int length = std::min(plan.longest, plan.chunk) * kFullPasses / 8;
    const int count = std::clamp(kFullPasses * plan.chunk / length, 2, plan.batches.back());
    on_progress("prompts at once", count);
    std::vector<int> prompts;
    int tokens = 0;
    double attention_ms = 0;
    for (int i = 0; i < count; ++i) {
      const int one = length / 2 + length * ((i * kStride) % count) / (count - 1);
      prompts.push_back(one);
      tokens += one;
      attention_ms += attend_ms * one * one / 2.0;
    }
    const int pass = std::min(plan.chunk, tokens);
    const double ms = measurement.Ms(prompts, 0) - fit.request_ms - attention_ms;
    if (fit.times.back().tokens == pass) fit.times.pop_back();
    fit.times.push_back({pass, ms * pass / tokens});
  }
  MakeRising(fit.times);
  return fit;
}

}  // namespace throng::studies
