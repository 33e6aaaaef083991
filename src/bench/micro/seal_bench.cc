// Sealing: encoding the 64 x d block of keys, or of values, of one page, for each codec.
//
// The counter per_token is the cost of one token on one thread, for a model of 16 layers with 8 KV heads;
// docs/kernels.md compares it with the time of a prefill.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

#include "kv/codec_table.h"
#include "kv/testing/random_rows.h"

namespace throng::kv {
namespace {

constexpr int kPagesOfAToken = 16 * 8;  // layers and KV heads

void Seal(benchmark::State& state, const std::string& name, Part part, int head_dim) {
  const std::shared_ptr<const Codec> codec = ParseCodec(name, head_dim);
  const std::vector<float> block = Normal(static_cast<size_t>(kPageTokens) * head_dim, 1);
  AlignedBytes encoded(codec->Bytes(part));
  for (auto _ : state) {
    codec->Encode(part, block.data(), encoded.data());
    benchmark::DoNotOptimize(encoded.data());
  }
  const double tokens = static_cast<double>(state.iterations()) * kPageTokens / kPagesOfAToken;
  state.counters["per_token"] =
      benchmark::Counter(tokens, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void RegisterAll() {
  for (const CodecEntry& entry : CodecTable()) {
    for (const int head_dim : {64, 128}) {
      for (const Part part : {Part::kKeys, Part::kValues}) {
        const std::string name = std::string("Seal/") + entry.name + "/" + std::to_string(head_dim) +
                                 (part == Part::kKeys ? "/keys" : "/values");
        benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
          Seal(state, entry.name, part, head_dim);
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
