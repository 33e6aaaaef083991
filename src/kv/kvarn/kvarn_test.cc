#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "kv/codec_table.h"
#include "kv/kvarn/kvarn_balance.h"
#include "kv/synthetic/synthetic_kv.h"
#include "kv/testing/random_rows.h"

namespace throng::kv {
namespace {

using Matrix = std::vector<std::vector<double>>;

Matrix Transposed(const Matrix& m) {
  Matrix t(m[0].size(), std::vector<double>(m.size()));
  for (size_t i = 0; i < m.size(); ++i) {
    for (size_t j = 0; j < m[i].size(); ++j) t[j][i] = m[i][j];
  }
  return t;
}

// Rows times the orthonormal Hadamard matrix, whose element (i, j) has the sign of the bits that i and j
// share.
Matrix Rotated(const Matrix& m) {
  Matrix rotated = m;
  const size_t d = m[0].size();
  for (size_t t = 0; t < m.size(); ++t) {
    for (size_t j = 0; j < d; ++j) {
      double sum = 0.0;
      for (size_t i = 0; i < d; ++i) sum += std::popcount(i & j) % 2 == 0 ? m[t][i] : -m[t][i];
      rotated[t][j] = sum / std::sqrt(static_cast<double>(d));
    }
  }
  return rotated;
}

double Deviation(const std::vector<double>& x) {
  double mean = 0.0, square = 0.0;
  for (const double y : x) mean += y / static_cast<double>(x.size());
  for (const double y : x) square += (y - mean) * (y - mean);
  return std::sqrt(square / static_cast<double>(x.size() - 1));
}

std::vector<double> Deviations(const Matrix& m) {
  std::vector<double> deviations;
  for (const std::vector<double>& row : m) deviations.push_back(Deviation(row));
  return deviations;
}

double Spread(const Matrix& m) {
  const std::vector<double> d = Deviations(m);
  return *std::max_element(d.begin(), d.end()) / std::max(*std::min_element(d.begin(), d.end()), 1e-8);
}

Matrix Divided(Matrix m, const std::vector<double>& log_rows, const std::vector<double>& log_columns) {
  for (size_t i = 0; i < m.size(); ++i) {
    for (size_t j = 0; j < m[i].size(); ++j) m[i][j] /= std::exp(log_rows[i]) * std::exp(log_columns[j]);
  }
  return m;
}

void AddLogs(const std::vector<double>& deviations, std::vector<double>& logs) {
  for (size_t i = 0; i < logs.size(); ++i) {
    logs[i] = std::clamp(logs[i] + std::log(std::clamp(deviations[i], 1e-3, 1e3)), -0.3, 10.0);
  }
}

struct Balance {
  std::vector<double> rows, columns;  // factors
};

// As published, in logarithms: columns, then rows, 16 times; the most even of all turns counts.
Balance PublishedBalance(const Matrix& m) {
  std::vector<double> rows(m.size()), columns(m[0].size());
  std::vector<double> best_rows = rows, best_columns = columns;
  double least = Spread(m) + Spread(Transposed(m));
  for (int turn = 0; turn < 16; ++turn) {
    AddLogs(Deviations(Transposed(Divided(m, rows, columns))), columns);
    AddLogs(Deviations(Divided(m, rows, columns)), rows);
    const Matrix now = Divided(m, rows, columns);
    const double spread = Spread(now) + Spread(Transposed(now));
    if (spread > least) continue;
    least = spread;
    best_rows = rows;
    best_columns = columns;
  }
  Balance balance{best_rows, best_columns};
  for (double& x : balance.rows) x = std::exp(x);
  for (double& x : balance.columns) x = std::exp(x);
  return balance;
}

// Rounds the balanced rows to their own ranges, and undoes everything. m: rows that share a scale.
Matrix PublishedRoundTrip(const Matrix& m, int bits) {
  const Balance balance = PublishedBalance(m);
  Matrix decoded = m;
  const double levels = (1 << bits) - 1;
  for (size_t i = 0; i < m.size(); ++i) {
    std::vector<double> row = m[i];
    for (size_t j = 0; j < row.size(); ++j) row[j] /= balance.rows[i] * balance.columns[j];
    const auto [low, high] = std::minmax_element(row.begin(), row.end());
    const double zero = *low, scale = std::max((*high - *low) / levels, 1e-10);
    for (size_t j = 0; j < row.size(); ++j) {
      const double code = std::clamp(std::nearbyint((row[j] - zero) / scale), 0.0, levels);
      decoded[i][j] = (code * scale + zero) * balance.rows[i] * balance.columns[j];
    }
  }
  return decoded;
}

// Published: keys share a scale per channel, values per token.
std::vector<double> Published(Part part, const std::vector<float>& block, int d, int bits) {
  Matrix m(kPageTokens, std::vector<double>(static_cast<size_t>(d)));
  for (size_t i = 0; i < block.size(); ++i)
    m[i / static_cast<size_t>(d)][i % static_cast<size_t>(d)] = block[i];
  m = Rotated(m);
  m = part == Part::kKeys ? Transposed(PublishedRoundTrip(Transposed(m), bits)) : PublishedRoundTrip(m, bits);
  std::vector<double> all;
  for (const std::vector<double>& row : Rotated(m)) all.insert(all.end(), row.begin(), row.end());
  return all;
}

std::vector<float> Page(Part part, int d) {
  const KvSample sample = MakeKvSample({.num_tokens = kPageTokens, .num_heads = 1, .head_dim = d});
  const std::vector<double>& x = part == Part::kKeys ? sample.keys : sample.values;
  return {x.begin(), x.end()};
}

std::vector<double> Doubles(const std::vector<float>& x) { return {x.begin(), x.end()}; }

std::vector<double> RoundTrip(const char* spec, Part part, const std::vector<float>& block, int d) {
  const auto codec = ParseCodec(spec, d);
  AlignedBytes encoded(codec->Bytes(part));
  codec->Encode(part, block.data(), encoded.data());
  std::vector<float> decoded(block.size());
  codec->Decode(part, encoded.data(), decoded.data());
  return Doubles(decoded);
}

TEST(KvarnTest, DecodesAsPublished) {
  for (const int d : {64, 128}) {
    for (const Part part : {Part::kKeys, Part::kValues}) {
      for (const auto& [spec, bits] : {std::pair{"kvarn:k=2", 2}, std::pair{"kvarn:v=4", 4}}) {
        const std::vector<float> block = Page(part, d);
        const std::vector<double> published = Published(part, block, d, bits);
        const std::vector<double> ours = RoundTrip(spec, part, block, d);
        // Scales and factors are half floats here, so some codes differ by one.
        const double error = RelativeError(published, Doubles(block));
        EXPECT_LT(RelativeError(ours, published), 0.2 * error) << spec << " " << d;
        EXPECT_NEAR(RelativeError(ours, Doubles(block)) / error, 1.0, 0.01) << spec << " " << d;
      }
    }
  }
}

TEST(KvarnTest, TheFactorsAreThePublishedOnes) {
  // Tokens and channels of very different sizes.
  const std::vector<float> normal = Normal(64 * 16, 3, 2.0f);
  std::vector<double> matrix(normal.begin(), normal.end());
  Matrix rows(64, std::vector<double>(16));
  for (size_t i = 0; i < matrix.size(); ++i) {
    matrix[i] *= std::exp(0.05 * static_cast<double>(i / 16) + 0.2 * static_cast<double>(i % 16));
    rows[i / 16][i % 16] = matrix[i];
  }
  const std::vector<double> ours = BalanceColumns(matrix, 64, 16);
  const Balance published = PublishedBalance(rows);
  for (size_t j = 0; j < 16; ++j) EXPECT_NEAR(ours[j] / published.columns[j], 1.0, 1e-9) << j;
}

// What it is for: a token ten times as large as the others does not cost the others their precision.
TEST(KvarnTest, LargeTokensDoNotDrownTheOthers) {
  const int d = 64;
  std::vector<float> block = Normal(static_cast<size_t>(kPageTokens) * d, 5);
  for (int i = 0; i < d; ++i) block[static_cast<size_t>(7) * d + i] *= 30.0f;
  const auto of_others = [&](const char* spec) {
    const std::vector<double> decoded = RoundTrip(spec, Part::kKeys, block, d);
    double square = 0.0, norm = 0.0;
    for (size_t i = 0; i < block.size(); ++i) {
      if (i / d == 7) continue;
      square += std::pow(decoded[i] - block[i], 2);
      norm += std::pow(block[i], 2);
    }
    return std::sqrt(square / norm);
  };
  EXPECT_LT(of_others("kvarn"), 0.12);
  EXPECT_GT(of_others("kivi4"), 0.4);
}

TEST(KvarnTest, NamesAndRefusals) {
  EXPECT_EQ(ParseCodec("kvarn:k=4,v=2", 64)->Name(), "kvarn");
  EXPECT_EQ(ParseCodec("kvarn:v=4,k=3", 64)->Name(), "kvarn:k=3,v=4");
  EXPECT_THROW(ParseCodec("kvarn:k=5", 64), Error);
  EXPECT_THROW(ParseCodec("kvarn:r=2", 64), Error);
}

}  // namespace
}  // namespace throng::kv
