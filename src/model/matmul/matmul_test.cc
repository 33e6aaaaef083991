#include "model/matmul/matmul.h"

#include <gtest/gtest.h>
#include <hwy/highway.h>
#include <hwy/targets.h>

#include <cmath>

#include "base/thread_pool.h"
#include "model/matmul/block_formats.h"
#include "model/testing/test_matrices.h"

namespace throng::model {
namespace {

std::vector<float> RandomRows(size_t count, uint64_t seed) {
  CounterRng rng(seed);
  std::vector<float> out(count);
  for (float& value : out) value = RandomFloat(rng, 2.0f);
  return out;
}

struct Case {
  Case(TensorType type, size_t out, size_t in, uint64_t seed)
      : blocks(RandomBlocks(type, out * in, 0.1f, seed)), w{type, out, in, blocks.data()} {}
  std::vector<uint8_t> blocks;
  Matrix w;
};

// [rows, w.rows]
std::vector<float> Multiply(const Matrix& w, const float* x, size_t rows, bool fine = false) {
  std::vector<float> y(rows * w.rows, -1.0f);
  MatMulScratch scratch;
  const Product product{w, y.data(), w.rows, fine};
  MatMul(x, rows, w.cols, w.cols, {&product, 1}, scratch, nullptr);
  return y;
}

// Runs each test on every SIMD target of this machine.
class MatMulTest : public testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override {
    hwy::SetSupportedTargetsForTest(GetParam());
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
  void TearDown() override {
    hwy::SetSupportedTargetsForTest(0);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
};

TEST_P(MatMulTest, AgreesWithTheReference) {
  for (const TensorType type : kAllTensorTypes) {
    for (const size_t out : {1, 5, 33, 70}) {
      for (const size_t in : {size_t{256}, size_t{768}}) {
        const Case c(type, out, in, out + in);
        const size_t rows = 7;
        const auto x = RandomRows(rows * in, in);
        const auto y = Multiply(c.w, x.data(), rows);
        std::vector<float> expected(y.size());
        MatMulReference(x.data(), rows, in, IsQuantized(type), {c.w, expected.data(), out});
        for (size_t i = 0; i < y.size(); ++i) {
          ASSERT_NEAR(y[i], expected[i], 2e-4)
              << TensorTypeName(type) << " " << out << "x" << in << " at " << i;
        }
      }
    }
  }
}

TEST_P(MatMulTest, FineProductsAreNearlyExact) {
  for (const TensorType type : kAllTensorTypes) {
    const size_t rows = 7, in = 768, out = 33;
    const Case c(type, out, in, 11);
    const auto x = RandomRows(rows * in, 12);
    std::vector<float> expected(rows * out);
    MatMulReference(x.data(), rows, in, false, {c.w, expected.data(), out});
    const auto error = [&](bool fine) {
      const auto y = Multiply(c.w, x.data(), rows, fine);
      double sum = 0;
      for (size_t i = 0; i < y.size(); ++i) sum += std::pow(y[i] - expected[i], 2);
      return std::sqrt(sum);
    };
    if (IsQuantized(type)) {
      EXPECT_LT(error(true), error(false) / 100) << TensorTypeName(type);
    } else {
      EXPECT_EQ(error(true), error(false)) << TensorTypeName(type);
    }
  }
}

TEST_P(MatMulTest, OddSizesOfFloatWeights) {
  for (const TensorType type : {TensorType::kF32, TensorType::kF16, TensorType::kBF16}) {
    for (const size_t in : {1, 3, 8, 31, 172}) {
      const Case c(type, 9, in, in);
      const auto x = RandomRows(6 * in, in);
      const auto y = Multiply(c.w, x.data(), 6);
      std::vector<float> expected(y.size());
      MatMulReference(x.data(), 6, in, false, {c.w, expected.data(), 9});
      for (size_t i = 0; i < y.size(); ++i) ASSERT_NEAR(y[i], expected[i], 1e-5);
    }
  }
}

TEST_P(MatMulTest, RowsAreTheSameBitsWhateverTheirNumber) {
  for (const TensorType type : kAllTensorTypes) {
    const size_t in = 512, out = 45, most = 70;
    const Case c(type, out, in, 3);
    const auto x = RandomRows(most * in, 4);
    const bool fine = type != TensorType::kQ8_0;
    const auto all = Multiply(c.w, x.data(), most, fine);
    for (size_t rows = 1; rows < most; ++rows) {
      const size_t first = (most - rows) / 2;
      const auto some = Multiply(c.w, x.data() + first * in, rows, fine);
      ASSERT_EQ(std::memcmp(some.data(), all.data() + first * out, some.size() * 4), 0)
          << TensorTypeName(type) << " " << rows;
    }
  }
}

TEST_P(MatMulTest, ManyRowsThreadsAndProducts) {
  for (const TensorType type : {TensorType::kQ8_0, TensorType::kQ6_K, TensorType::kF16}) {
    const size_t in = 512, rows = 300;
    const Case a(type, 70, in, 5), b(TensorType::kQ4_K, 39, in, 6);
    const auto x = RandomRows(rows * in, 7);
    const auto expected_a = Multiply(a.w, x.data(), rows);
    const auto expected_b = Multiply(b.w, x.data(), rows);
    ThreadPool pool(3);
    MatMulScratch scratch;
    const size_t stride = 112;
    std::vector<float> y(rows * stride);
    const Product products[] = {{a.w, y.data(), stride}, {b.w, y.data() + 70, stride}};
    MatMul(x.data(), rows, in, in, products, scratch, &pool);
    for (size_t r = 0; r < rows; ++r) {
      ASSERT_EQ(std::memcmp(&y[r * stride], &expected_a[r * 70], 70 * 4), 0);
      ASSERT_EQ(std::memcmp(&y[r * stride + 70], &expected_b[r * 39], 39 * 4), 0);
    }
  }
}

TEST_P(MatMulTest, ExtremesDoNotSaturate) {
  const size_t in = 256, out = 32;
  Case c(TensorType::kQ8_0, out, in, 1);
  for (size_t i = 0; i < c.blocks.size(); ++i) {
    if (i % 34 >= 2) c.blocks[i] = 0x80;  // -128
  }
  std::vector<float> x(in, 3.0f);
  const auto y = Multiply(c.w, x.data(), 1);
  std::vector<float> expected(out);
  MatMulReference(x.data(), 1, in, true, {c.w, expected.data(), out});
  for (size_t i = 0; i < out; ++i) EXPECT_NEAR(y[i] / expected[i], 1.0, 1e-5);
}

TEST_P(MatMulTest, ZeroAndNotFiniteInputsAreSafe) {
  const Case c(TensorType::kQ4_K, 8, 256, 1);
  std::vector<float> x(256, 0.0f);
  for (const float y : Multiply(c.w, x.data(), 1)) EXPECT_EQ(y, 0.0f);
  x[3] = std::nanf("");
  x[100] = INFINITY;
  Multiply(c.w, x.data(), 1);
}

INSTANTIATE_TEST_SUITE_P(Targets, MatMulTest, testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         [](const auto& info) { return std::string(hwy::TargetName(info.param)); });

TEST(BlockFormats, QuantizedRowsComeBack) {
  const auto x = RandomRows(256, 9);
  std::vector<uint8_t> row(256 / 32 * 34);
  QuantizeRowQ8_0(x.data(), 256, row.data());
  std::vector<float> back(256);
  DequantizeRow(TensorType::kQ8_0, row.data(), 256, back.data());
  for (size_t i = 0; i < 256; ++i) EXPECT_NEAR(back[i], x[i], 2.0 / 127 * 0.51);
}

}  // namespace
}  // namespace throng::model
