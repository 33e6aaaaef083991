// Measures again what GEAR (arXiv 2403.05527, v4) and TurboAttention (arXiv 2412.08585) report of compressed
// KV caches, as far as this machine and a small model can (docs/paper-kv.md says what they cannot).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "studies/paper_metropolis.h"

namespace throng {
class ThreadPool;
}
namespace throng::engine {
struct LoadedModel;
}
namespace throng::eval {
struct Question;
}

namespace throng::studies {

struct PaperKvFlags {
  std::string shape = "llama-1b";  // of the model with random weights whose throughput is measured
  int batch = 3;                   // sequences that f16 holds in the KV budget
  int prompt = 1024;
  int answer = 16;
  int keys = 32768;   // that one token attends to
  int queries = 512;  // of a prefill, after an eighth of the keys
  int rounds = 3;     // of each timing; the median counts
  std::function<void(const std::string&)> on_progress;
};

// Quality on the questions, with the model; times, bytes and throughput without it. One value per row.
std::vector<PaperRow> MeasureKv(const PaperKvFlags& flags, const engine::LoadedModel& model,
                                const std::vector<eval::Question>& questions, ThreadPool& threads);

}  // namespace throng::studies
