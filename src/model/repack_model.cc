#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <new>

#include "base/cores.h"
#include "base/text/human_bytes.h"
#include "base/thread_pool.h"
#include "model/model.h"

namespace throng::model {
namespace {

// ", over the memory of nodes 0 (16 of our cores), 1 (16 of our cores)"; empty for one.
std::string OverNodes(const std::vector<MemoryNode>& nodes) {
  if (nodes.size() < 2) return "";
  std::string text;
  for (const MemoryNode& node : nodes) {
    text += fmt::format("{} {} ({} of our cores)", text.empty() ? ", over the memory of nodes" : ",", node.id,
                        node.cores);
  }
  return text;
}

}  // namespace

void Repack(Model& model, ThreadPool& pool, const AllocateFn& allocate) {
  std::vector<Matrix*> matrices;
  model.ForEachMatrix([&](Matrix& matrix) { matrices.push_back(&matrix); });
  model.repacked.reserve(matrices.size());
  const auto begin = std::chrono::steady_clock::now();
  size_t copied = 0;
  size_t bytes = 0;
  try {
    for (Matrix* matrix : matrices) {
      RepackedMatrix& repacked = model.repacked.emplace_back(*matrix, allocate);
      pool.ParallelFor(repacked.NumStrips(), [&](size_t strip, int) { repacked.Write(strip); });
      *matrix = repacked.View();
      ++copied;
      bytes += matrix->Bytes();
    }
  } catch (const std::bad_alloc&) {
    spdlog::warn(
        "no memory for a copy of the weights: {} of {} matrices are read where they are mapped, more slowly",
        matrices.size() - copied, matrices.size());
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  constexpr double kNoticed = 0.1;  // seconds
  spdlog::log(took.count() < kNoticed ? spdlog::level::debug : spdlog::level::info,
              "copied {} of weights in {:.1f} s so that tokens come faster (--repack){}",
              HumanBytes(static_cast<double>(bytes)), took.count(), OverNodes(MemoryNodes()));
}

}  // namespace throng::model
