#include "studies/server_preset.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <vector>

#include "engine/local_llm.h"
#include "llm/backends/latency_presets.h"

namespace throng::studies {
namespace {

constexpr const char* kThisMachine = "this-machine";
constexpr int kRepeats = 5;  // repeats of each measurement; the shortest counts, as it was disturbed least

struct Measured {
  double seconds;
  int prompt_tokens;
  int output_tokens;
};

// Runs one request alone. Words differ by `variant`, so that no prompt is a prefix of another.
Measured Ask(llm::Llm& llm, int words, int max_tokens, int variant) {
  llm::Request request;
  request.function = "measure";
  for (int i = 0; i < words; ++i) request.prompt += fmt::format("{} ", (i * 7 + variant * 13) % 97);
  request.max_tokens = max_tokens;
  const double start = llm.Now();
  llm.Submit(std::move(request));
  std::vector<llm::Completion> done;
  while (done.empty()) llm.Wait(done);
  if (done.front().error) throw *done.front().error;
  return {llm.Now() - start, done.front().prompt_tokens, std::max(1, done.front().output_tokens)};
}

// Milliseconds per prompt token, measured with an answer of one token.
double PromptMs(llm::Llm& llm, int words) {
  double best = 1e9;
  for (int i = 0; i < kRepeats; ++i) {
    const Measured measured = Ask(llm, words, 1, i);
    best = std::min(best, measured.seconds * 1e3 / measured.prompt_tokens);
  }
  return best;
}

struct Decoding {
  double ms = 1e9;  // per token of one sequence
  double context = 0;
};

Decoding DecodingAt(llm::Llm& llm, int words, double prompt_ms) {
  constexpr int kTokens = 64;
  Decoding best;
  for (int i = 0; i < kRepeats; ++i) {
    const Measured measured = Ask(llm, words, kTokens, kRepeats + i);
    if (measured.output_tokens < 2) continue;  // ended at once: nothing was decoded
    const double ms =
        (measured.seconds * 1e3 - prompt_ms * measured.prompt_tokens) / (measured.output_tokens - 1);
    if (ms > 0 && ms < best.ms) best = {ms, measured.prompt_tokens + measured.output_tokens / 2.0};
  }
  if (best.context == 0) {
    throw MakeError(ErrorCode::kUnavailable, "--preset {}: the model's answers are too short to time",
                    kThisMachine);
  }
  return best;
}

std::string MeasureThisMachine() {
  engine::LocalOptions options;
  options.prefix_cache = false;
  engine::LocalLlm llm(std::make_shared<engine::LocalModel>(options));
  const double token_ms = PromptMs(llm, 200);
  const Decoding near = DecodingAt(llm, 10, token_ms);
  const Decoding far = DecodingAt(llm, 300, token_ms);
  const double kv_us = std::max(0.0, (far.ms - near.ms) * 1e3 / (far.context - near.context));
  const double weights_ms = std::max(0.0, near.ms - near.context * kv_us * 1e-3);
  const std::string server = fmt::format(
      "latency:weights_ms={:.4f},token_ms={:.5f},kv_us={:.4f},overhead_ms=0,chunk={},batch={},"
      "mixed=1",
      weights_ms, token_ms, kv_us, options.step_tokens, options.max_batch);
  fmt::print(stderr, "{}: {}\n", kThisMachine, server);
  return server;
}

}  // namespace

std::string ServerOf(const std::string& preset) {
  if (preset == kThisMachine) return MeasureThisMachine();
  return "latency:" + llm::PresetParameters(preset);
}

std::string PresetHelp() {
  std::string help = "Servers by name (--preset; docs/latency.md):";
  for (const llm::LatencyPreset& preset : llm::LatencyPresets()) help += fmt::format(" {}", preset.name);
  return help + " " + kThisMachine;
}

}  // namespace throng::studies
