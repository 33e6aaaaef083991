#include "studies/server_preset.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "engine/local_model.h"
#include "llm/backends/latency.h"
#include "llm/backends/latency_presets.h"

namespace throng::studies {
namespace {

constexpr const char* kThisMachine = "this-machine";
constexpr int kRepeats = 5;  // repeats of each measurement; the shortest counts, as it was disturbed least

class Measurement {
 public:
  explicit Measurement(engine::LocalModel& model) : model_(model) {}

  // Milliseconds until so many requests have their answers: prompts of random tokens, one token of each
  // answer, and `more` after it.
  double Ms(int requests, int prompt, int more) {
    double best = 1e9;
    for (int i = 0; i < kRepeats; ++i) best = std::min(best, Once(requests, prompt, more));
    return best;
  }

  // Of a pass over a token each of so many sequences.
  double DecodeMs(int sequences, int context) {
    constexpr int kFew = 4;
    constexpr int kMany = 20;
    return (Ms(sequences, context, kMany) - Ms(sequences, context, kFew)) / (kMany - kFew);
  }

 private:
  double Once(int requests, int prompt, int more) {
    std::mutex mutex;
    std::condition_variable wake;
    int left = requests;
    std::vector<engine::EngineRequest> asked(static_cast<size_t>(requests));
    const auto vocab = static_cast<uint64_t>(model_.Config().vocab_size);
    for (engine::EngineRequest& request : asked) {
      request.prompt.resize(static_cast<size_t>(prompt));
      for (int32_t& token : request.prompt) token = static_cast<int32_t>(rng_.NextBelow(vocab));
      request.max_tokens = more + 1;
      request.ignore_end = true;
      request.on_done = [&](const engine::EngineResult&) {
        const std::lock_guard lock(mutex);
        if (--left == 0) wake.notify_one();
      };
    }
    const auto begin = std::chrono::steady_clock::now();
    for (engine::EngineRequest& request : asked) model_.Submit(std::move(request));
    std::unique_lock lock(mutex);
    wake.wait(lock, [&] { return left == 0; });
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  }

  engine::LocalModel& model_;
  CounterRng rng_{1};
};

}  // namespace

std::string MeasureServer(engine::LocalOptions options) {
  // Sequences that decode, and prompts of one pass.
  constexpr std::array kBatches = {1, 2, 3, 4, 6, 8, 12, 16, 24};
  constexpr std::array kPrompts = {32, 48, 64, 96, 128, 256};
  constexpr int kNear = 16;
  constexpr int kFar = 512;
  // Sharing is found in steps of 16 tokens once it has been seen, of whole blocks at first.
  constexpr int kPrefix = 32;
  options.prefix_cache = false;
  options.lookup = "off";
  options.chunk_tokens = std::max(options.chunk_tokens, kPrompts.back());
  engine::LocalModel model(options);
  Measurement measurement(model);
  measurement.Ms(1, kNear, 4);  // weights are read or repacked
  const double near_ms = measurement.DecodeMs(1, kNear);
  const int far = std::min(kFar, model.Options().max_context - 32);
  const double kv_ms =
      far <= kNear ? 0 : std::max(0.0, (measurement.DecodeMs(1, far) - near_ms) / (far - kNear));
  std::vector<llm::PassTime> times;
  for (const int batch : kBatches) {
    if (batch > options.max_batch) break;
    const double ms = measurement.DecodeMs(batch, kNear) - batch * kNear * kv_ms;
    times.push_back({batch, std::max(ms, times.empty() ? 0.0 : times.back().ms)});
  }
  for (const int prompt : kPrompts) {
    if (prompt >= model.Options().max_context) break;
    times.push_back({prompt, std::max(measurement.Ms(1, prompt, 0), times.back().ms)});
  }
  return fmt::format("latency:pass_ms={},kv_us={:.4f},overhead_ms=0,chunk={},batch={},mixed=1,prefix={}",
                     llm::PassTimesText(times), kv_ms * 1e3, options.step_tokens, options.max_batch, kPrefix);
}

std::string ServerOf(const std::string& preset) {
  if (preset == kThisMachine) {
    const std::string server = MeasureServer({});
    fmt::print(stderr, "{}: {}\n", kThisMachine, server);
    return server;
  }
  return "latency:" + llm::PresetParameters(preset);
}

std::string PresetHelp() {
  std::string help = "Servers by name (--preset; docs/latency.md):";
  for (const llm::LatencyPreset& preset : llm::LatencyPresets()) help += fmt::format(" {}", preset.name);
  return help + " " + kThisMachine;
}

}  // namespace throng::studies
