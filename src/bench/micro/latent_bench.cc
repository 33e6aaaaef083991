// Latent pages, whose values are the first elements of their keys: Score and MixKeys of one page by rows, for
// each codec, on one thread. Four pages in turns, so that they are in the processor's cache.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kv/codec_table.h"
#include "kv/testing/random_rows.h"

namespace throng::kv {
namespace {

constexpr LatentDims kDims = {.key = 576, .value = 512};
constexpr int kPages = 4;

class Pages {
 public:
  explicit Pages(const Codec& codec) {
    for (int i = 0; i < kPages; ++i) {
      pages_.emplace_back(codec.Bytes(Part::kKeys));
      codec.Encode(Part::kKeys, Normal(kPageTokens * kDims.key, i).data(), pages_.back().data());
    }
  }
  const uint8_t* Next() { return pages_[++next_ % kPages].data(); }

 private:
  std::vector<AlignedBytes> pages_;
  size_t next_ = 0;
};

void Score(benchmark::State& state, const std::string& name, int num_rows) {
  const std::shared_ptr<const Codec> codec = ParseCodec(name, kDims.key);
  Pages pages(*codec);
  const std::vector<float> query = Normal(kDims.key, 10);
  AlignedBytes prepared(num_rows * codec->QueryBytes());
  for (int r = 0; r < num_rows; ++r)
    codec->PrepareQuery(query.data(), prepared.data() + r * codec->QueryBytes());
  std::vector<float> scores(static_cast<size_t>(num_rows) * kPageTokens);
  for (auto _ : state) {
    codec->Score(pages.Next(), prepared.data(), num_rows, scores.data());
    benchmark::DoNotOptimize(scores.data());
  }
}

void Mix(benchmark::State& state, const std::string& name, int num_rows) {
  const std::shared_ptr<const Codec> codec = ParseCodec(name, kDims.key);
  Pages pages(*codec);
  std::vector<float> probabilities = Normal(num_rows * kPageTokens, 11);
  for (float& p : probabilities) p *= p;
  const std::vector<float> rescale(num_rows, 0.5f);
  std::vector<float> out(static_cast<size_t>(num_rows) * kDims.value);
  for (auto _ : state) {
    codec->MixKeys(pages.Next(), probabilities.data(), rescale.data(), kDims, num_rows, out.data());
    benchmark::DoNotOptimize(out.data());
  }
}

void RegisterAll() {
  for (const CodecEntry& entry : CodecTable()) {
    for (const auto& [part, run] : {std::pair("Score", &Score), std::pair("Mix", &Mix)}) {
      for (const int num_rows : {32, 128}) {
        const std::string name = std::string(part) + "/" + entry.name + "/" + std::to_string(num_rows);
        benchmark::RegisterBenchmark(name.c_str(), [run, &entry, num_rows](benchmark::State& state) {
          run(state, entry.name, num_rows);
        })->Unit(benchmark::kMicrosecond);
      }
    }
  }
}

}  // namespace
}  // namespace throng::kv

int main(int argc, char** argv) {
  throng::kv::RegisterAll();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}
