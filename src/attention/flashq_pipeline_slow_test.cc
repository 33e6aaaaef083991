// The published output errors of attention on FlashQ's integers with SAS: the whole pipeline in double
// precision, on the data that they were computed from.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "attention/sas.h"
#include "kv/flashq/flashq_reference.h"
#include "kv/synthetic/synthetic_kv.h"

namespace throng::attention {
namespace {

using kv::FlashqTile;
using kv::KvSample;

constexpr int kTileTokens = 64;

enum class Exponential { kExact, kSas, kSasHalf };
enum class Probabilities { kFloat, kIntPerTile, kIntPerRow };

struct Pipeline {
  Exponential exponential = Exponential::kExact;
  Probabilities probabilities = Probabilities::kFloat;
  int query_bits = 8;  // 0: none of queries, keys and values is quantised
  int key_bits = 8;    // 8: the first stage alone
  int value_bits = 8;
  bool last_query_alone = false;  // with its own scale, instead of one tile of 64 queries
};

double Evaluate(Exponential kind, double x) {
  if (kind == Exponential::kExact) return std::exp(-x);
  return kind == Exponential::kSas ? Sas(x, 6.0) : SasHalf(x);
}

// One head: queries [rows, d] at the last positions of `tokens` keys and values.
struct Head {
  int rows, tokens, d;
  std::vector<double> queries, keys, values;
};

std::vector<double> Quantized(const std::vector<double>& rows, int d, int bits) {
  return kv::FlashqRoundTrip(rows, d, kTileTokens, bits);
}

// Rounds the probabilities [rows, 64] of a page to 119 levels, with one scale for all or for each row.
void RoundProbabilities(std::vector<double>& p, Probabilities kind) {
  if (kind == Probabilities::kFloat) return;
  const size_t group = kind == Probabilities::kIntPerTile ? p.size() : kTileTokens;
  for (size_t first = 0; first < p.size(); first += group) {
    const std::vector<double> part(p.begin() + first, p.begin() + first + group);
    const FlashqTile tile = kv::QuantizeFlashqTile(part);
    for (size_t i = 0; i < group; ++i) p[first + i] = static_cast<double>(tile.scale) * tile.codes[i];
  }
}

std::vector<double> Attend(const Head& head, const Pipeline& pipeline) {
  const auto& [rows, tokens, d, queries, keys, values] = head;
  std::vector<double> max(rows, -std::numeric_limits<double>::infinity()), sum(rows), out(rows * d);
  for (int first = 0; first < tokens; first += kTileTokens) {
    std::vector<double> p(rows * kTileTokens);
    for (int r = 0; r < rows; ++r) {
      const int visible = std::min(kTileTokens, tokens - rows + r + 1 - first);
      double* row = p.data() + r * kTileTokens;
      double top = max[r];
      for (int t = 0; t < visible; ++t) {
        for (int i = 0; i < d; ++i) row[t] += queries[r * d + i] * keys[(first + t) * d + i];
        row[t] /= std::sqrt(d);
        top = std::max(top, row[t]);
      }
      const double rescale = top == max[r] ? 1.0 : Evaluate(pipeline.exponential, top - max[r]);
      for (int t = 0; t < visible; ++t) row[t] = Evaluate(pipeline.exponential, top - row[t]);
      sum[r] *= rescale;
      for (int t = 0; t < visible; ++t) sum[r] += row[t];
      for (int i = 0; i < d; ++i) out[r * d + i] *= rescale;
      max[r] = top;
    }
    RoundProbabilities(p, pipeline.probabilities);
    for (int r = 0; r < rows; ++r) {
      for (int t = 0; t < kTileTokens; ++t) {
        for (int i = 0; i < d; ++i) out[r * d + i] += p[r * kTileTokens + t] * values[(first + t) * d + i];
      }
    }
  }
  for (int i = 0; i < rows * d; ++i) out[i] /= sum[i / d];
  return out;
}

class FlashqPipelineTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { sample_ = new KvSample(kv::MakeKvSample()); }
  static void TearDownTestSuite() { delete sample_; }

  static Head HeadOf(int h, bool last_query_alone) {
    const auto& o = sample_->options;
    const auto part = [&](const std::vector<double>& all, int rows, int skip) {
      const auto begin = all.begin() + static_cast<ptrdiff_t>(h) * rows * o.head_dim;
      return std::vector<double>(begin + skip * o.head_dim, begin + rows * o.head_dim);
    };
    const int skip = last_query_alone ? o.num_queries - 1 : 0;
    return {o.num_queries - skip,
            o.num_tokens,
            o.head_dim,
            part(sample_->queries, o.num_queries, skip),
            part(sample_->keys, o.num_tokens, 0),
            part(sample_->values, o.num_tokens, 0)};
  }

  // |O - exact O| / |exact O| over all heads.
  static double Error(const Pipeline& pipeline) {
    std::vector<double> all, expected;
    for (int h = 0; h < sample_->options.num_heads; ++h) {
      Head head = HeadOf(h, pipeline.last_query_alone);
      const std::vector<double> exact = Attend(head, {});
      if (pipeline.query_bits != 0) {
        head.queries = Quantized(head.queries, head.d, 8);
        head.keys = Quantized(head.keys, head.d, pipeline.key_bits);
        head.values = Quantized(head.values, head.d, pipeline.value_bits);
      }
      const std::vector<double> out = Attend(head, pipeline);
      all.insert(all.end(), out.begin(), out.end());
      expected.insert(expected.end(), exact.begin(), exact.end());
    }
    return kv::RelativeError(all, expected);
  }

  static void Expect(const Pipeline& pipeline, double error) {
    EXPECT_NEAR(Error(pipeline), error, std::max(2e-5, 1e-3 * error)) << error;
  }

  static KvSample* sample_;
};

KvSample* FlashqPipelineTest::sample_ = nullptr;

TEST_F(FlashqPipelineTest, WithoutQuantisationItIsExact) {
  const KvSample& sample = *sample_;
  std::vector<double> all;
  for (int h = 0; h < sample.options.num_heads; ++h) {
    const std::vector<double> out = Attend(HeadOf(h, false), {});
    all.insert(all.end(), out.begin(), out.end());
  }
  EXPECT_LT(kv::RelativeError(all, kv::SampleAttention(sample, sample.keys, sample.values)), 1e-12);
}

TEST_F(FlashqPipelineTest, SasAlone) {
  Expect({.exponential = Exponential::kSas, .query_bits = 0}, 0.05757);
  Expect({.exponential = Exponential::kSasHalf, .query_bits = 0}, 0.05755);
}

TEST_F(FlashqPipelineTest, EightBits) {
  using enum Probabilities;
  Expect({}, 0.05053);
  Expect({.probabilities = kIntPerTile}, 0.05264);
  Expect({.probabilities = kIntPerRow}, 0.05106);
  Expect({.exponential = Exponential::kSasHalf, .probabilities = kIntPerTile}, 0.07806);
  Expect({.exponential = Exponential::kSasHalf, .probabilities = kIntPerRow}, 0.07743);
}

TEST_F(FlashqPipelineTest, FourAndTwoBits) {
  const auto pipeline = [](int keys, int values) {
    return Pipeline{Exponential::kSasHalf, Probabilities::kIntPerTile, 8, keys, values};
  };
  Expect(pipeline(4, 4), 0.18769);
  Expect(pipeline(2, 4), 0.36270);
  Expect(pipeline(4, 2), 0.67878);
  Expect(pipeline(2, 2), 0.74814);
}

TEST_F(FlashqPipelineTest, TheLastQueryAlone) {
  const auto pipeline = [](Exponential exponential, int bits) {
    return Pipeline{exponential, Probabilities::kIntPerTile, 8, bits, bits, true};
  };
  Expect(pipeline(Exponential::kExact, 8), 0.04494);
  Expect(pipeline(Exponential::kExact, 4), 0.14427);
  Expect(pipeline(Exponential::kExact, 2), 0.66359);
  Expect(pipeline(Exponential::kSasHalf, 8), 0.07070);
  Expect(pipeline(Exponential::kSasHalf, 4), 0.15714);
  Expect(pipeline(Exponential::kSasHalf, 2), 0.70228);
}

}  // namespace
}  // namespace throng::attention
