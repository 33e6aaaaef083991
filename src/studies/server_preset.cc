#include "studies/server_preset.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "engine/local_model.h"
#include "llm/backends/latency.h"
#include "llm/backends/latency_presets.h"
#include "studies/pass_times.h"

namespace throng::studies {
namespace {

constexpr const char* kThisMachine = "this-machine";

// Prompts of random tokens, on a model in this process.
class LocalRequests {
 public:
  explicit LocalRequests(engine::LocalModel& model) : model_(model) {}

  // As TimeRequests.
  double Ms(std::span<const int> prompts, int more) {
    std::mutex mutex;
    std::condition_variable wake;
    size_t left = prompts.size();
    std::vector<engine::EngineRequest> asked;
    const auto vocab = static_cast<uint64_t>(model_.Config().vocab_size);
    for (const int prompt : prompts) {
      engine::EngineRequest& request = asked.emplace_back();
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

 private:
  engine::LocalModel& model_;
  CounterRng rng_{1};
};

}  // namespace

std::string MeasureServer(engine::LocalOptions options) {
  // Sequences that decode, and prompts of one pass.
  constexpr std::array kBatches = {1, 2, 3, 4, 6, 8, 12, 16, 24};
  constexpr std::array kPrompts = {32, 48, 64, 96, 128, 256};
  // Sharing is found in steps of 16 tokens once it has been seen, of whole blocks at first.
  constexpr int kPrefix = 32;
  options.prefix_cache = false;
  options.lookup = "off";
  options.chunk_tokens = std::max(options.chunk_tokens, kPrompts.back());
  engine::LocalModel model(options);
  PassPlan plan;
  plan.far = std::min(plan.far, model.Options().max_context - 32);
  plan.longest = plan.far;
  for (const int batch : kBatches) {
    if (batch <= options.max_batch) plan.batches.push_back(batch);
  }
  for (const int prompt : kPrompts) {
    if (prompt < model.Options().max_context) plan.prompts.push_back(prompt);
  }
  LocalRequests requests(model);
  const PassFit fit =
      FitPasses([&](std::span<const int> prompts, int more) { return requests.Ms(prompts, more); }, plan,
                /*has_request_ms=*/false, [](const char*, int) {});
  return fmt::format(
      "latency:pass_ms={},kv_us={:.4f},attend_us={:.4g},overhead_ms=0,chunk={},batch={},mixed=1,prefix={}",
      llm::PassTimesText(fit.times), fit.kv_us, fit.attend_us, options.step_tokens, options.max_batch,
      kPrefix);
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
  return help + " " + kThisMachine + ", or a file of throng bench server --out";
}

}  // namespace throng::studies
