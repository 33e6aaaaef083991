// The steps of recurrent layers' heads: all heads of one layer, over the tokens of a prefill or of a decode.
//
// The counter per_token is the cost of one token of one layer on one thread. docs/recurrent-state.md has
// figures.
#include <benchmark/benchmark.h>

#include <cmath>
#include <string>
#include <vector>

#include "base/rng.h"
#include "model/recurrence.h"
#include "model/testing/test_matrices.h"

namespace throng::model {
namespace {

struct Layer {
  const char* name;
  size_t heads;
  StateShape shape;
};

std::vector<float> Random(size_t count, float size) {
  CounterRng rng(count);
  std::vector<float> out(count);
  for (float& value : out) value = RandomFloat(rng, size);
  return out;
}

DeltaToken Make(const DeltaToken*, const float* query, const float* key, const float* value, float* out) {
  return {.decay = 0.95f, .beta = 0.5f, .query = query, .key = key, .value = value, .out = out};
}
DecayToken Make(const DecayToken*, const float* query, const float* key, const float* value, float* out) {
  return {
      .decay = 0.95f, .weight = 0.5f, .skip = 1.0f, .query = query, .key = key, .value = value, .out = out};
}

template <class Token, void (*kSteps)(const StateShape&, std::span<const Token>, float*)>
void Steps(benchmark::State& state, const Layer& layer, size_t count) {
  const auto [keys, values] = layer.shape;
  const float size = 1.0f / std::sqrt(static_cast<float>(keys));
  const std::vector<float> query = Random(count * layer.heads * keys, 1.0f);
  const std::vector<float> key = Random(count * layer.heads * keys, size);
  const std::vector<float> value = Random(count * layer.heads * values, 1.0f);
  std::vector<float> out(value.size());
  std::vector<float> states(layer.heads * layer.shape.Floats());
  std::vector<std::vector<Token>> tokens(layer.heads);
  for (size_t h = 0; h < layer.heads; ++h) {
    for (size_t t = 0; t < count; ++t) {
      const size_t at = t * layer.heads + h;
      tokens[h].push_back(Make(static_cast<const Token*>(nullptr), &query[at * keys], &key[at * keys],
                               &value[at * values], &out[at * values]));
    }
  }
  for (auto _ : state) {
    for (size_t h = 0; h < layer.heads; ++h) {
      kSteps(layer.shape, tokens[h], states.data() + h * layer.shape.Floats());
    }
    benchmark::DoNotOptimize(out.data());
  }
  state.counters["per_token"] = benchmark::Counter(static_cast<double>(state.iterations() * count),
                                                   benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

constexpr Layer kDeltaNet{"qwen35-0.8b", 16, {128, 128}};
constexpr Layer kMamba2{"falcon-h1-0.5b", 24, {128, 64}};

void RegisterAll() {
  for (const size_t count : {size_t{64}, size_t{1}}) {
    const auto name = [&](const Layer& layer) {
      return std::string(layer.name) + "/" + std::to_string(count);
    };
    benchmark::RegisterBenchmark(("DeltaSteps/" + name(kDeltaNet)).c_str(), [=](benchmark::State& state) {
      Steps<DeltaToken, DeltaSteps>(state, kDeltaNet, count);
    });
    benchmark::RegisterBenchmark(("DecaySteps/" + name(kMamba2)).c_str(), [=](benchmark::State& state) {
      Steps<DecayToken, DecaySteps>(state, kMamba2, count);
    });
  }
}

}  // namespace
}  // namespace throng::model

int main(int argc, char** argv) {
  throng::model::RegisterAll();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}
