// Synthetic keys, values and queries with the traits of real ones (channel outliers, a low-rank part, rare
// large elements, RoPE): the data on which the codecs' published error tables were computed. For tests and
// tools. Counter-based, so any program can make the same numbers; double precision throughout.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace throng::kv {

// Element i of a stream: 64 random bits, uniform in (0, 1), standard normal.
uint64_t SampleBits(uint64_t stream, uint64_t i);
double SampleUniform(uint64_t stream, uint64_t i);
double SampleNormal(uint64_t stream, uint64_t i);

// x rounded once to the nearest half float, ties to even; beyond the range, infinity.
double RoundToHalf(double x);

struct SampleOptions {
  int num_tokens = 1024;
  int num_heads = 8;
  int head_dim = 128;
  int num_queries = 64;  // at the last positions
  // false: plain white noise, without RoPE.
  bool structured = true;
  // Standard deviations of the logarithms of the channels' gains. 1.2 for keys is the "heterogeneous" set.
  double key_spread = 0.4;
  double value_spread = 0.25;
  // The bias of the key projection in models of Qwen2 kind: its length in each of two RoPE pairs of a head,
  // (c, c + d / 2) for c = bias_pair and bias_pair + 1. Each pair's direction differs.
  double key_bias = 0.0;
  int bias_pair = 0;
};

// All elements are half floats, except that a bias is added to keys that are.
struct KvSample {
  SampleOptions options;
  std::vector<double> keys;     // [heads, tokens, d]
  std::vector<double> values;   // [heads, tokens, d]
  std::vector<double> queries;  // [heads, queries, d], not scaled by 1 / sqrt(d)
  std::vector<double> bias;     // [heads, d], before rotation; keys contain it
};

// The frequencies of the sample's RoPE pairs: [d / 2].
std::vector<double> SampleFrequencies(int head_dim);

KvSample MakeKvSample(const SampleOptions& options = {});

// Exact causal softmax attention of the sample's queries over other keys and values of the same shape:
// [heads, queries, d].
std::vector<double> SampleAttention(const KvSample& sample, const std::vector<double>& keys,
                                    const std::vector<double>& values);

// |a - b| / |b| in the Frobenius norm.
double RelativeError(const std::vector<double>& a, const std::vector<double>& b);

}  // namespace throng::kv
