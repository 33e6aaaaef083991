#include "model/matmul/matmul.h"

#include <gtest/gtest.h>
#include <hwy/highway.h>

#include <cmath>

#include "base/testing/each_target.h"
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
class MatMulTest : public EachTarget {};

TEST_P(MatMulTest, AgreesWithTheReference) {
  for (const TensorType type : kAllTensorTypes) {
    for (const size_t out : {1, 5, 33, 70}) {
      for (const size_t in : {size_t{96}, size_t{256}, size_t{768}}) {
        if (in % BlockSizeOf(type)->elements != 0) continue;
        const Case c(type, out, in, out + in);
        const size_t most = 20;
        const auto x = RandomRows(most * in, in);
        std::vector<float> expected(most * out);
        MatMulReference(x.data(), most, in, false, {c.w, expected.data(), out});
        for (const size_t rows : {size_t{1}, size_t{7}, most}) {
          const auto y = Multiply(c.w, x.data(), rows);
          for (size_t i = 0; i < y.size(); ++i) {
            ASSERT_NEAR(y[i], expected[i], 2e-4)
                << TensorTypeName(type) << " " << rows << ", " << out << "x" << in << " at " << i;
          }
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
    MatMulReference(x.data(), rows, in, true, {c.w, expected.data(), out});
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

TEST_P(MatMulTest, ExactActivationsAreNotRounded) {
  const size_t rows = 6, in = 172, out = 9;
  for (const TensorType type : {TensorType::kBF16, TensorType::kQ4_0}) {
    const size_t cols = type == TensorType::kBF16 ? in : 192;
    const Case c(type, out, cols, 1);
    const auto x = RandomRows(rows * cols, 2);
    std::vector<float> y(rows * out), expected(rows * out);
    MatMulScratch scratch;
    scratch.exact_activations = true;
    const Product product{c.w, y.data(), out};
    MatMul(x.data(), rows, cols, cols, {&product, 1}, scratch, nullptr);
    MatMulReference(x.data(), rows, cols, true, {c.w, expected.data(), out});
    for (size_t i = 0; i < y.size(); ++i) ASSERT_NEAR(y[i], expected[i], 1e-5) << TensorTypeName(type);
  }
}

TEST_P(MatMulTest, RowsAreTheSameBitsWhateverTheirNumber) {
  // Whole chunks of groups and a part of one; all ways to split few rows, and tiles of many.
  const size_t in = 1280, out = 45, most = 70;
  for (const TensorType type : kAllTensorTypes) {
    const Case c(type, out, in, 3);
    const auto x = RandomRows(most * in, 4);
    for (const bool fine : {false, true}) {
      const auto all = Multiply(c.w, x.data(), most, fine);
      for (const size_t rows : {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 15, 16, 17, 31, 32, 33, 64, 69}) {
        for (const size_t first : {size_t{0}, (most - rows) / 2, most - rows}) {
          const auto some = Multiply(c.w, x.data() + first * in, rows, fine);
          ASSERT_EQ(std::memcmp(some.data(), all.data() + first * out, some.size() * 4), 0)
              << TensorTypeName(type) << " " << rows << " at " << first << (fine ? " fine" : "");
        }
      }
    }
  }
}

RepackedMatrix Repack(const Matrix& w) {
  RepackedMatrix strips(w);
  for (size_t i = 0; i < strips.NumStrips(); ++i) strips.Write(i);
  return strips;
}

TEST_P(MatMulTest, RepackedWeightsGiveTheSameBits) {
  // Part of a chunk, one, and one and a part; strips that are full and not, and fewer outputs than a vector.
  for (const TensorType type : kAllTensorTypes) {
    for (const size_t in : {96, 256, 512, 1280}) {
      if (in % BlockSizeOf(type)->elements != 0) continue;
      for (const size_t out : {1, 8, 16, 45, 64, 130}) {
        const Case c(type, out, in, 3);
        const RepackedMatrix strips = Repack(c.w);
        const size_t most = 21;
        const auto x = RandomRows(most * in, 4);
        for (const bool fine : {false, true}) {
          for (const size_t rows : {size_t{1}, size_t{2}, size_t{3}, size_t{4}, size_t{5}, size_t{6},
                                    size_t{7}, size_t{8}, most}) {
            const auto expected = Multiply(c.w, x.data(), rows, fine);
            const auto y = Multiply(strips.View(), x.data(), rows, fine);
            ASSERT_EQ(std::memcmp(y.data(), expected.data(), y.size() * 4), 0)
                << TensorTypeName(type) << " " << rows << ", " << out << "x" << in << (fine ? " fine" : "");
          }
        }
      }
    }
  }
}

TEST_P(MatMulTest, OutputsAreTheSameBitsWhateverTheirNumber) {
  const size_t in = 512, most = 67;
  for (const TensorType type : kAllTensorTypes) {
    const Case c(type, most, in, 5);
    const auto x = RandomRows(in, 6);
    const auto all = Multiply(c.w, x.data(), 1);
    for (const size_t first : {0, 1, 7}) {
      for (const size_t out : {1, 3, 8, 9, 16, 31, 60}) {
        const auto some = Multiply(c.w.Rows(first, out), x.data(), 1);
        ASSERT_EQ(std::memcmp(some.data(), all.data() + first, out * 4), 0)
            << TensorTypeName(type) << " " << out << " from " << first;
      }
    }
  }
}

TEST_P(MatMulTest, FewRowsOnThreads) {
  const size_t in = 2048, out = 1000;
  for (const TensorType type : {TensorType::kQ4_0, TensorType::kQ6_K, TensorType::kF16, TensorType::kBF16}) {
    const Case c(type, out, in, 7);
    const auto x = RandomRows(3 * in, 8);
    ThreadPool pool(3);
    for (const size_t rows : {1, 3}) {
      const auto expected = Multiply(c.w, x.data(), rows);
      std::vector<float> y(rows * out);
      MatMulScratch scratch;
      const Product product{c.w, y.data(), out};
      MatMul(x.data(), rows, in, in, {&product, 1}, scratch, &pool);
      ASSERT_EQ(std::memcmp(y.data(), expected.data(), y.size() * 4), 0) << TensorTypeName(type);
    }
  }
}

TEST_P(MatMulTest, ManyRowsThreadsAndProducts) {
  for (const TensorType type : {TensorType::kQ8_0, TensorType::kQ6_K, TensorType::kF16, TensorType::kBF16}) {
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

// The codes that are largest, in size, of each format.
void SetLargestCodes(TensorType type, std::vector<uint8_t>& blocks) {
  const BlockSize size = *BlockSizeOf(type);
  for (size_t i = 0; i < blocks.size(); ++i) {
    const size_t at = i % size.bytes;
    switch (type) {
      case TensorType::kQ8_0:
        if (at >= 2) blocks[i] = 0x80;  // -128
        break;
      case TensorType::kQ6_K:
        if (at < 192) blocks[i] = 0xff;
        break;
      case TensorType::kQ3_K:
        if (at < 96) blocks[i] = 0xff;
        break;
      case TensorType::kQ2_K:
        if (at >= 16 && at < 80) blocks[i] = 0xff;
        break;
      case TensorType::kTQ1_0:
      case TensorType::kTQ2_0:
        if (at < size.bytes - 2) blocks[i] = 0xff;
        break;
      case TensorType::kIQ4_NL:
      case TensorType::kIQ4_XS:
        if (at >= (type == TensorType::kIQ4_NL ? 2u : 8u)) blocks[i] = 0;  // -127
        break;
      case TensorType::kMXFP4:
      case TensorType::kNVFP4:
        if (at >= (type == TensorType::kMXFP4 ? 1u : 4u)) blocks[i] = 0x77;
        break;
      case TensorType::kQ4_K:
      case TensorType::kQ5_K:
        if (at >= 16) blocks[i] = 0xff;
        break;
      case TensorType::kIQ3_S:
      case TensorType::kIQ3_XXS:
      case TensorType::kIQ2_S:
      case TensorType::kIQ2_XS:
      case TensorType::kIQ2_XXS:
      case TensorType::kIQ1_M:
      case TensorType::kIQ1_S:
        break;  // no entry of a codebook has the largest size 8 times
      default: {
        const bool has_min = type == TensorType::kQ4_1 || type == TensorType::kQ5_1;
        if (at >= (has_min ? 4u : 2u)) blocks[i] = 0xff;
      }
    }
  }
}

TEST_P(MatMulTest, ExtremesDoNotSaturate) {
  const size_t in = 512, out = 32;
  for (const TensorType type : kAllTensorTypes) {
    if (!IsQuantized(type)) continue;
    Case c(type, out, in, 1);
    SetLargestCodes(type, c.blocks);
    for (const float value : {3.0f, -3.0f}) {
      const std::vector<float> x(20 * in, value);
      std::vector<float> expected(out);
      MatMulReference(x.data(), 1, in, false, {c.w, expected.data(), out});
      float largest = 0;
      for (const float e : expected) largest = std::max(largest, std::abs(e));
      for (const size_t rows : {1, 2, 4, 20}) {
        const auto y = Multiply(c.w, x.data(), rows);
        for (size_t i = 0; i < y.size(); ++i) {
          ASSERT_NEAR(y[i], expected[i % out], 1e-5 * largest) << TensorTypeName(type) << " " << rows;
        }
      }
    }
  }
}

TEST_P(MatMulTest, ZeroAndNotFiniteInputsAreSafe) {
  const Case c(TensorType::kQ4_K, 8, 256, 1);
  std::vector<float> x(256, 0.0f);
  for (const float y : Multiply(c.w, x.data(), 1)) EXPECT_EQ(y, 0.0f);
  x[3] = std::nanf("");
  x[100] = INFINITY;
  Multiply(c.w, x.data(), 1);
}

// The largest size of a weight.
float LargestWeight(const Matrix& w) {
  std::vector<float> row(w.cols);
  float largest = 0;
  for (size_t o = 0; o < w.rows; ++o) {
    DequantizeRow(w.type, w.data + o * w.RowBytes(), w.cols, row.data());
    for (const float value : row) largest = std::max(largest, std::isnan(value) ? INFINITY : std::abs(value));
  }
  return largest;
}

// Lookups stay within their tables.
TEST_P(MatMulTest, AnyBytesAreBlocks) {
  const size_t in = 512, out = 18, most = 9;
  const auto x = RandomRows(most * in, 1);
  for (const TensorType type : kAllTensorTypes) {
    if (!IsQuantized(type)) continue;
    for (const int fill : {0x00, 0x3c, 0x7f, 0x80, 0xff}) {
      Case c(type, out, in, 2);
      std::fill(c.blocks.begin(), c.blocks.end(), static_cast<uint8_t>(fill));
      std::vector<float> expected(most * out);
      MatMulReference(x.data(), most, in, false, {c.w, expected.data(), out});
      const float largest = LargestWeight(c.w);
      const RepackedMatrix strips = Repack(c.w);
      for (const Matrix& w : {c.w, strips.View()}) {
        for (const size_t rows : {size_t{1}, most}) {
          const auto y = Multiply(w, x.data(), rows);
          for (size_t i = 0; i < y.size(); ++i) {
            if (largest > 1e30f) continue;
            ASSERT_NEAR(y[i], expected[i], 1e-6 * in * 2 * largest) << TensorTypeName(type) << " " << fill;
          }
        }
      }
    }
  }
}

TEST_P(MatMulTest, ScalesThatAreNotNumbersShow) {
  const auto x = RandomRows(9 * 256, 1);
  const auto is_finite = [&](TensorType type, size_t rows) {
    Case c(type, 1, 256, 2);
    std::fill(c.blocks.begin(), c.blocks.end(), uint8_t{0xff});
    const auto y = Multiply(c.w, x.data(), rows);
    return std::ranges::all_of(y, [](float value) { return std::isfinite(value); });
  };
  // Without instructions for halves, Highway reads their infinities as large numbers.
  const bool halves_are_finite = is_finite(TensorType::kF16, 1);
  for (const TensorType type : kAllTensorTypes) {
    if (!IsQuantized(type) || type == TensorType::kNVFP4) continue;  // whose scales are all numbers
    for (const size_t rows : {1, 9}) {
      EXPECT_EQ(is_finite(type, rows), type != TensorType::kMXFP4 && halves_are_finite)
          << TensorTypeName(type);
    }
  }
}

TEST_P(MatMulTest, ScalesOfMatricesMultiplyWhatTheyGive) {
  const size_t in = 256, out = 70;
  const Case c(TensorType::kNVFP4, out, in, 1);
  const auto x = RandomRows(20 * in, 2);
  const std::vector<float> scales{3.0f, 0.5f};
  Matrix two = c.w;
  two.parts = 2;
  two.scales = scales.data();
  for (const size_t rows : {1, 20}) {
    for (const size_t part : {0, 1}) {
      const Matrix scaled = two.Rows(part * 35 + 3, 30);
      Matrix plain = scaled;
      plain.scales = nullptr;
      std::vector<float> expected = Multiply(plain, x.data(), rows);
      for (float& value : expected) value *= scales[part];
      EXPECT_EQ(Multiply(scaled, x.data(), rows), expected);
      std::vector<float> reference(rows * 30);
      MatMulReference(x.data(), rows, in, false, {scaled, reference.data(), 30});
      for (size_t i = 0; i < reference.size(); ++i) EXPECT_NEAR(reference[i], expected[i], 1e-3);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, MatMulTest, testing::ValuesIn(TargetsAndAmx()), TargetOf);

TEST(MatMulWithAmx, GivesTheBitsOfAvx512) {
  if (!AmxInt8Usable()) GTEST_SKIP() << "this machine has no AMX";
  // Part of a chunk of 256 inputs, whole ones, and a part after them, of even and odd numbers of groups;
  // tiles of 16 rows and, for the last ones, of 4, 8 and 12; and more rows than the 256 that share what is
  // packed.
  for (const TensorType type : kAllTensorTypes) {
    if (!IsQuantized(type)) continue;
    for (const size_t in : {size_t{32}, size_t{96}, size_t{256}, size_t{416}, size_t{1280}}) {
      if (in % BlockSizeOf(type)->elements != 0) continue;
      for (const size_t out : {1, 31, 70}) {
        const Case c(type, out, in, in + out);
        const RepackedMatrix strips = Repack(c.w);
        const auto x = RandomRows(259 * in, out);
        for (const size_t rows : {11, 13, 16, 20, 24, 28, 48, 259}) {
          for (const bool fine : {false, true}) {
            for (const Matrix& w : {c.w, strips.View()}) {
              LimitToTarget(HWY_AVX3_DL);
              const auto expected = Multiply(w, x.data(), rows, fine);
              LimitToTarget(0);
              const auto y = Multiply(w, x.data(), rows, fine);
              ASSERT_EQ(std::memcmp(y.data(), expected.data(), y.size() * 4), 0)
                  << TensorTypeName(type) << " " << rows << ", " << out << "x" << in << (fine ? " fine" : "");
            }
          }
        }
      }
    }
  }
}

TEST(BlockFormats, BitsInTheOrderOfCodes) {
  std::vector<uint8_t> block{0x00, 0x40, 0b00000101, 0b10000000};  // 2.0 in half precision
  block.resize(18);
  std::vector<float> ones(128), twos(64);
  DequantizeRow(TensorType::kQ1_0, block.data(), 128, ones.data());
  for (size_t i = 0; i < 128; ++i) EXPECT_EQ(ones[i], i == 0 || i == 2 || i == 15 ? 2.0f : -2.0f) << i;
  block[2] = 0b11100100;
  block[3] = 0b01000000;
  DequantizeRow(TensorType::kQ2_0, block.data(), 64, twos.data());
  for (size_t i = 0; i < 64; ++i) {
    const float expected[] = {-2.0f, 0.0f, 2.0f, 4.0f, -2.0f, -2.0f, -2.0f, 0.0f};
    EXPECT_EQ(twos[i], i < 8 ? expected[i] : -2.0f) << i;
  }
}

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
