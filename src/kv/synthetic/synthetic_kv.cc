#include "kv/synthetic/synthetic_kv.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/check.h"

namespace throng::kv {
namespace {

uint64_t Mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

std::vector<double> Normals(uint64_t stream, size_t count) {
  std::vector<double> result(count + 1);
  for (size_t i = 0; i < count; i += 2) {
    const double radius = std::sqrt(-2.0 * std::log(SampleUniform(stream, i)));
    const double angle = 2.0 * std::numbers::pi * SampleUniform(stream, i + 1);
    result[i] = radius * std::cos(angle);
    result[i + 1] = radius * std::sin(angle);
  }
  result.resize(count);
  return result;
}

void RoundAll(std::vector<double>& x) {
  for (double& y : x) y = RoundToHalf(y);
}

// Rotates the pairs (c, c + d / 2) of rows [rows, d], the first at a position.
void Rope(double* rows, int num_rows, int first_position, int d) {
  const int half = d / 2;
  const std::vector<double> frequencies = SampleFrequencies(d);
  for (int c = 0; c < half; ++c) {
    const double frequency = frequencies[static_cast<size_t>(c)];
    for (int t = 0; t < num_rows; ++t) {
      const double cosine = std::cos((first_position + t) * frequency);
      const double sine = std::sin((first_position + t) * frequency);
      double* row = rows + static_cast<size_t>(t) * d;
      const double x = row[c];
      const double y = row[c + half];
      row[c] = x * cosine - y * sine;
      row[c + half] = y * cosine + x * sine;
    }
  }
}

// The properties of each head's channels, the same for all tokens.
struct Channels {
  std::vector<double> mean, gain;  // [heads, d]
};

Channels KeyChannels(const SampleOptions& o) {
  const size_t d = static_cast<size_t>(o.head_dim);
  Channels channels{Normals(3, o.num_heads * d), Normals(4, o.num_heads * d)};
  for (double& x : channels.mean) x *= 0.5;
  for (double& x : channels.gain) x = std::exp(o.key_spread * x);
  for (int h = 0; h < o.num_heads; ++h) {
    const size_t a = h * d + (60 + h % 4) % d;
    const size_t b = h * d + (124 + h % 4) % d;
    channels.mean[a] = 12.0;
    channels.mean[b] = -9.0;
    channels.gain[a] *= 1.5;
    channels.gain[b] *= 1.5;
  }
  return channels;
}

// x[h, t, c] = mean + gain * x + 0.6 * (a part of rank 4), and one element in a thousand times `rare`.
void AddStructure(const SampleOptions& o, const Channels& channels, uint64_t factor_stream,
                  uint64_t rare_stream, double rare, std::vector<double>& x) {
  constexpr int kRank = 4;
  const size_t n = static_cast<size_t>(o.num_tokens);
  const size_t d = static_cast<size_t>(o.head_dim);
  const std::vector<double> u = Normals(factor_stream, n * kRank);
  const std::vector<double> w = Normals(factor_stream + 1, o.num_heads * kRank * d);
  for (size_t h = 0; h < static_cast<size_t>(o.num_heads); ++h) {
    for (size_t t = 0; t < n; ++t) {
      for (size_t c = 0; c < d; ++c) {
        double low_rank = 0.0;
        for (size_t r = 0; r < kRank; ++r) low_rank += u[t * kRank + r] * w[(h * kRank + r) * d + c];
        const size_t i = (h * n + t) * d + c;
        const double mean = channels.mean.empty() ? 0.0 : channels.mean[h * d + c];
        x[i] = mean + channels.gain[h * d + c] * x[i] + 0.6 * low_rank;
        if (SampleUniform(rare_stream, i) < 0.001) x[i] *= rare;
      }
    }
  }
}

void Structure(KvSample& sample) {
  const SampleOptions& o = sample.options;
  const size_t n = static_cast<size_t>(o.num_tokens);
  const size_t d = static_cast<size_t>(o.head_dim);
  const Channels key_channels = KeyChannels(o);
  AddStructure(o, key_channels, 6, 10, 5.0, sample.keys);

  Channels value_channels{{}, Normals(5, o.num_heads * d)};
  for (double& x : value_channels.gain) x = std::exp(o.value_spread * x);
  AddStructure(o, value_channels, 8, 11, 6.0, sample.values);

  const size_t query_rows = static_cast<size_t>(o.num_queries);
  for (size_t h = 0; h < static_cast<size_t>(o.num_heads); ++h) {
    Rope(sample.keys.data() + h * n * d, o.num_tokens, 0, o.head_dim);
    for (size_t t = 0; t < n; t += 97) {
      for (size_t c = 0; c < d; ++c) sample.values[(h * n + t) * d + c] *= 4.0;
    }
    double* queries = sample.queries.data() + h * query_rows * d;
    for (size_t i = 0; i < query_rows * d; ++i) queries[i] += 0.1 * key_channels.mean[h * d + i % d];
    Rope(queries, o.num_queries, o.num_tokens - o.num_queries, o.head_dim);
  }
}

// Adds the rotated bias to keys.
void AddBias(KvSample& sample) {
  const SampleOptions& o = sample.options;
  const size_t n = static_cast<size_t>(o.num_tokens);
  const size_t d = static_cast<size_t>(o.head_dim);
  THRONG_CHECK(o.bias_pair >= 0 && o.bias_pair + 1 < o.head_dim / 2);
  for (size_t h = 0; h < static_cast<size_t>(o.num_heads); ++h) {
    double* bias = sample.bias.data() + h * d;
    for (size_t c = static_cast<size_t>(o.bias_pair); c < static_cast<size_t>(o.bias_pair) + 2; ++c) {
      const double angle = 2.0 * std::numbers::pi * SampleUniform(13, h * d + c);
      bias[c] = o.key_bias * std::cos(angle);
      bias[c + d / 2] = o.key_bias * std::sin(angle);
    }
    std::vector<double> rows(n * d);
    for (size_t t = 0; t < n; ++t) std::copy_n(bias, d, rows.data() + t * d);
    Rope(rows.data(), o.num_tokens, 0, o.head_dim);
    for (size_t i = 0; i < n * d; ++i) sample.keys[h * n * d + i] += rows[i];
  }
}

}  // namespace

std::vector<double> SampleFrequencies(int head_dim) {
  std::vector<double> frequencies;
  for (int c = 0; c < head_dim / 2; ++c) frequencies.push_back(std::pow(10000.0, -2.0 * c / head_dim));
  return frequencies;
}

uint64_t SampleBits(uint64_t stream, uint64_t i) {
  return Mix(1000003 * stream + 12345 + (i + 1) * 0x9E3779B97F4A7C15u);
}

double SampleUniform(uint64_t stream, uint64_t i) {
  return (static_cast<double>(SampleBits(stream, i) >> 11) + 0.5) * 0x1p-53;
}

double SampleNormal(uint64_t stream, uint64_t i) {
  const double radius = std::sqrt(-2.0 * std::log(SampleUniform(stream, i & ~uint64_t{1})));
  const double angle = 2.0 * std::numbers::pi * SampleUniform(stream, i | 1);
  return i % 2 == 0 ? radius * std::cos(angle) : radius * std::sin(angle);
}

double RoundToHalf(double x) {
  if (!std::isfinite(x) || x == 0.0) return x;
  int exponent;
  std::frexp(x, &exponent);
  const double unit = std::ldexp(1.0, std::max(exponent - 11, -24));
  const double rounded = std::nearbyint(x / unit) * unit;
  return std::abs(rounded) > 65504.0 ? std::copysign(INFINITY, x) : rounded;
}

KvSample MakeKvSample(const SampleOptions& options) {
  THRONG_CHECK(options.num_queries <= options.num_tokens && options.head_dim % 2 == 0);
  const size_t rows = static_cast<size_t>(options.num_heads) * options.num_tokens;
  const size_t d = static_cast<size_t>(options.head_dim);
  KvSample sample;
  sample.options = options;
  sample.keys = Normals(1, rows * d);
  sample.values = Normals(2, rows * d);
  sample.queries = Normals(12, static_cast<size_t>(options.num_heads) * options.num_queries * d);
  if (options.structured) Structure(sample);
  RoundAll(sample.keys);
  RoundAll(sample.values);
  RoundAll(sample.queries);
  sample.bias.resize(static_cast<size_t>(options.num_heads) * d);
  if (options.key_bias != 0.0) AddBias(sample);
  return sample;
}

std::vector<double> SampleAttention(const KvSample& sample, const std::vector<double>& keys,
                                    const std::vector<double>& values) {
  const SampleOptions& o = sample.options;
  THRONG_CHECK(keys.size() == sample.keys.size() && values.size() == keys.size());
  const size_t n = static_cast<size_t>(o.num_tokens);
  const size_t d = static_cast<size_t>(o.head_dim);
  const size_t num_queries = static_cast<size_t>(o.num_queries);
  std::vector<double> out(sample.queries.size());
  std::vector<double> scores(n);
  for (size_t row = 0; row < o.num_heads * num_queries; ++row) {
    const size_t h = row / num_queries;
    const size_t visible = n - num_queries + row % num_queries + 1;
    const double* query = sample.queries.data() + row * d;
    double max = -INFINITY;
    for (size_t t = 0; t < visible; ++t) {
      const double* key = keys.data() + (h * n + t) * d;
      double dot = 0.0;
      for (size_t c = 0; c < d; ++c) dot += query[c] * key[c];
      scores[t] = dot / std::sqrt(static_cast<double>(d));
      max = std::max(max, scores[t]);
    }
    double sum = 0.0;
    for (size_t t = 0; t < visible; ++t) sum += scores[t] = std::exp(scores[t] - max);
    for (size_t t = 0; t < visible; ++t) {
      const double* value = values.data() + (h * n + t) * d;
      for (size_t c = 0; c < d; ++c) out[row * d + c] += scores[t] / sum * value[c];
    }
  }
  return out;
}

double RelativeError(const std::vector<double>& a, const std::vector<double>& b) {
  THRONG_CHECK(a.size() == b.size());
  double difference = 0.0;
  double norm = 0.0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }
  return std::sqrt(norm == 0.0 ? difference : difference / norm);
}

}  // namespace throng::kv
