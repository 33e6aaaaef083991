// How long an exact search of an agent's memories by embeddings takes, and where it is built with Debian's
// libhnswlib-dev, an approximate one (HNSW, arXiv 1603.09320) beside it, and how many of the ten nearest that
// finds. docs/effects.md says how to repeat its figures.
//
// Usage: memory_bench [NUMBERS]: of an embedding; 384 by default.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <numeric>
#include <vector>

#include "base/rng.h"
#include "town/mind/memory.h"

#if __has_include(<hnswlib/hnswlib.h>)
#include <hnswlib/hnswlib.h>
#define THRONG_HAS_HNSWLIB 1
#else
#define THRONG_HAS_HNSWLIB 0
#endif

namespace throng::town {
namespace {

constexpr size_t kNearest = 10;
constexpr size_t kQueries = 20;
constexpr size_t kTopics = 100;
constexpr size_t kMostForHnsw = 100000;  // making more takes minutes

// Of this thread alone: what else the machine does does not count.
double Milliseconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// A memory of one of kTopics topics: half of it is the topic's direction, half its own.
Embedding MakeEmbedding(uint64_t id, size_t numbers) {
  CounterRng topic(uint64_t{1}, CounterRng(id).NextBelow(kTopics));
  CounterRng own(uint64_t{2}, id);
  Embedding embedding(numbers);
  const auto draw = [](CounterRng& rng) { return static_cast<int>(rng.NextBelow(127)) - 63; };
  for (int8_t& number : embedding) number = static_cast<int8_t>(draw(topic) + draw(own));
  return embedding;
}

std::vector<size_t> NearestOf(const std::vector<int64_t>& cosines) {
  std::vector<size_t> ids(cosines.size());
  std::iota(ids.begin(), ids.end(), size_t{0});
  std::partial_sort(ids.begin(), ids.begin() + kNearest, ids.end(), [&](size_t a, size_t b) {
    return std::pair(-cosines[a], a) < std::pair(-cosines[b], b);
  });
  ids.resize(kNearest);
  return ids;
}

#if THRONG_HAS_HNSWLIB
std::vector<float> UnitOf(const Embedding& embedding) {
  std::vector<float> unit(embedding.begin(), embedding.end());
  const float length = std::sqrt(std::inner_product(unit.begin(), unit.end(), unit.begin(), 0.0f));
  for (float& number : unit) number /= length;
  return unit;
}

void MeasureHnsw(size_t memories, size_t numbers, const std::vector<std::vector<size_t>>& expected) {
  hnswlib::InnerProductSpace space(numbers);
  const double begin = Milliseconds();
  hnswlib::HierarchicalNSW<float> index(&space, memories, /*M=*/16, /*ef_construction=*/100, /*seed=*/1);
  for (size_t id = 0; id < memories; ++id) index.addPoint(UnitOf(MakeEmbedding(id, numbers)).data(), id);
  const double build = Milliseconds() - begin;
  for (const size_t ef : {50, 200}) {
    index.setEf(ef);
    std::vector<double> times;
    size_t found = 0;
    for (size_t query = 0; query < kQueries; ++query) {
      const std::vector<float> unit = UnitOf(MakeEmbedding(memories + query, numbers));
      const double start = Milliseconds();
      auto nearest = index.searchKnn(unit.data(), kNearest);
      times.push_back(Milliseconds() - start);
      for (; !nearest.empty(); nearest.pop()) {
        const std::vector<size_t>& right = expected[query];
        found += static_cast<size_t>(std::count(right.begin(), right.end(), nearest.top().second));
      }
    }
    fmt::print("{:>9} {:<14} {:>9.3f} {:>11.1f} {:>10.3f}\n", memories, fmt::format("hnsw ef={}", ef),
               Median(times), build * 1e3 / static_cast<double>(memories),
               static_cast<double>(found) / (kQueries * kNearest));
  }
}
#endif

void Measure(size_t memories, size_t numbers) {
  MemoryStream stream;
  Embeddings embeddings;
  std::vector<Embedding> all_embeddings;
  for (size_t id = 0; id < memories; ++id) {
    stream.Append(0, static_cast<int32_t>(id / 60), MemoryKind::kSaw, 1 + static_cast<int>(id % 9),
                  fmt::format("You saw somebody at place {}.", id));
    all_embeddings.push_back(MakeEmbedding(id, numbers));
  }
  const double begin = Milliseconds();
  for (const Embedding& embedding : all_embeddings) embeddings.Append(embedding);
  const double append = Milliseconds() - begin;
  std::vector<double> scan;
  std::vector<double> retrieve;
  std::vector<double> by_words;
  std::vector<std::vector<size_t>> nearest;
  const RetrievalLimits limits = {24, 2000, 180};
  for (size_t query = 0; query < kQueries; ++query) {
    const Embedding embedding = MakeEmbedding(memories + query, numbers);
    double start = Milliseconds();
    const std::vector<int64_t> cosines = embeddings.CosinesTo(embedding);
    scan.push_back(Milliseconds() - start);
    nearest.push_back(NearestOf(cosines));
    start = Milliseconds();
    std::vector<const Memory*> all = stream.All();
    Retrieve(all, RelevanceByEmbeddings(all, embeddings, embedding), 0, limits);
    retrieve.push_back(Milliseconds() - start);
    start = Milliseconds();
    all = stream.All();
    Retrieve(all, RelevanceByWords(all, WordsOf("Where is somebody?")), 0, limits);
    by_words.push_back(Milliseconds() - start);
  }
  // Each text is nearest to itself.
  for (size_t id = 0; id < memories; id += memories / 7) {
    if (NearestOf(embeddings.CosinesTo(all_embeddings[id]))[0] != id) {
      fmt::print("memory {} is not nearest to itself\n", id);
      std::exit(1);
    }
  }
  const double each = append * 1e3 / static_cast<double>(memories);
  fmt::print("{:>9} {:<14} {:>9.3f} {:>11.1f} {:>10.3f}\n", memories, "exact", Median(scan), each, 1.0);
  fmt::print("{:>9} {:<14} {:>9.3f}\n", memories, "all of recall", Median(retrieve));
  fmt::print("{:>9} {:<14} {:>9.3f}\n", memories, "by words", Median(by_words));
#if THRONG_HAS_HNSWLIB
  if (memories <= kMostForHnsw) MeasureHnsw(memories, numbers, nearest);
#endif
}

}  // namespace
}  // namespace throng::town

int main(int argc, char** argv) {
  const int numbers = argc > 1 ? std::atoi(argv[1]) : 384;
  if (numbers < 1) {
    fmt::print(stderr, "usage: memory_bench [NUMBERS], at least 1\n");
    return 1;
  }
  fmt::print("embeddings of {} numbers, medians of 20 queries\n", numbers);
  fmt::print("{:>9} {:<14} {:>9} {:>11} {:>10}\n", "memories", "search", "query ms", "append us",
             "recall@10");
  for (const size_t memories : {1000, 10000, 100000, 200000}) {
    throng::town::Measure(memories, static_cast<size_t>(numbers));
  }
}
