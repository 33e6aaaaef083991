// Products with quantised weights on the emulated GPU, against those of this processor.
#include "gpu/products.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "device/emulation/emulated_device.h"
#include "device/kernels/products.h"
#include "kv/testing/random_rows.h"
#include "model/matmul/block_formats.h"
#include "model/testing/test_matrices.h"

namespace throng::gpu {
namespace {

using device::emulation::Conduct;
using kv::Normal;
using model::Matrix;
using model::TensorType;

constexpr TensorType kTypes[] = {TensorType::kQ8_0, TensorType::kQ4_0, TensorType::kMXFP4, TensorType::kQ4_K,
                                 TensorType::kQ6_K, TensorType::kF32,  TensorType::kF16,   TensorType::kBF16};

class ProductsOnDevice : public testing::TestWithParam<TensorType> {
 protected:
  // Of `outputs` rows.
  Matrix RandomMatrix(size_t outputs, size_t cols) {
    bytes_ = model::RandomBlocks(GetParam(), outputs * cols, 0.5f, 7);
    return {GetParam(), outputs, cols, bytes_.data()};
  }
  std::vector<uint8_t> bytes_;
};
INSTANTIATE_TEST_SUITE_P(Formats, ProductsOnDevice, testing::ValuesIn(kTypes),
                         [](const auto& info) { return model::TensorTypeName(info.param); });

std::vector<float> OnDevice(const Matrix& matrix, const std::vector<float>& x, bool fine,
                            const Conduct& conduct) {
  const auto device = device::MakeEmulatedDevice(conduct);
  const DeviceMatrix weights(*device, matrix, "test");
  const device::DeviceArray<float> device_x(*device, std::span<const float>(x));
  const size_t rows = x.size() / matrix.cols;
  const device::DeviceArray<float> y(*device, rows * matrix.rows);
  Multiplier multiplier(*device);
  multiplier.SetRows(device_x.Data(), static_cast<int>(rows), static_cast<int>(matrix.cols));
  multiplier.Multiply(weights, y.Data(), static_cast<int64_t>(matrix.rows), fine);
  return y.ToHost();
}

std::vector<float> OnHost(const Matrix& matrix, const std::vector<float>& x, bool fine) {
  const size_t rows = x.size() / matrix.cols;
  std::vector<float> y(rows * matrix.rows);
  const model::Product product{matrix, y.data(), matrix.rows, fine};
  model::MatMulScratch scratch;
  model::MatMul(x.data(), rows, matrix.cols, matrix.cols, {&product, 1}, scratch, nullptr);
  return y;
}

// Of integers on processors with fused additions: the same bits, as sums of integers are exact and groups are
// added in the same order.
bool HasProcessorsBits(TensorType type) {
#ifdef __x86_64__
  return model::IsQuantized(type) && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return model::IsQuantized(type);
#endif
}

void ExpectProcessors(const Matrix& matrix, const std::vector<float>& x, bool fine) {
  const auto got = OnDevice(matrix, x, fine, {.seed = 3});
  const auto expected = OnHost(matrix, x, fine);
  EXPECT_LT(kv::RelativeError(got, expected), 1e-6);
  if (HasProcessorsBits(matrix.type)) {
    EXPECT_TRUE(kv::SameBits(got, expected));
  }
}

// Rows beyond the last block of each kernel, outputs and groups too; more than a chunk of groups.
TEST_P(ProductsOnDevice, FewRowsAreTheProcessors) {
  const Matrix matrix = RandomMatrix(21, 768);
  ExpectProcessors(matrix, Normal(768, 1), false);
  ExpectProcessors(matrix, Normal(3 * 768, 2), true);
  ExpectProcessors(matrix, Normal(9 * 768, 3), false);
  ExpectProcessors(matrix, Normal(16 * 768, 4), true);
}

TEST_P(ProductsOnDevice, ManyRowsAreTheProcessors) {
  const Matrix matrix = RandomMatrix(37, 768);
  ExpectProcessors(matrix, Normal(33 * 768, 1), true);
}

// Columns that fill no block of 256.
TEST_P(ProductsOnDevice, OddSizesAreTheProcessors) {
  if (model::BlockSizeOf(GetParam())->elements > 32) return;
  const Matrix matrix = RandomMatrix(5, 96);
  ExpectProcessors(matrix, Normal(2 * 96, 1), false);
}

TEST_P(ProductsOnDevice, ZerosAndTinyRowsAreTheProcessors) {
  const Matrix matrix = RandomMatrix(16, 256);
  auto x = Normal(2 * 256, 1);
  std::fill_n(x.begin(), 100, 0.0f);
  for (size_t i = 256; i < 300; ++i) x[i] *= 1e-30f;
  ExpectProcessors(matrix, x, true);
}

// A row's results depend neither on the rows beside it nor on which kernel multiplies it.
TEST_P(ProductsOnDevice, RowsDoNotDependOnOthers) {
  const Matrix matrix = RandomMatrix(18, 768);
  const auto x = Normal(17 * 768, 1);
  const auto rows_of = [](const std::vector<float>& from, size_t first, size_t count, size_t width) {
    const auto begin = from.begin() + static_cast<ptrdiff_t>(first * width);
    return std::vector<float>(begin, begin + static_cast<ptrdiff_t>(count * width));
  };
  for (const bool fine : {false, true}) {
    const auto many = OnDevice(matrix, x, fine, {.seed = 1});
    for (const auto& [first, count] : {std::pair<size_t, size_t>{0, 1}, {16, 1}, {3, 8}, {4, 13}}) {
      const auto some = OnDevice(matrix, rows_of(x, first, count, 768), fine, {.seed = first});
      EXPECT_TRUE(kv::SameBits(some, rows_of(many, first, count, 18))) << first << " " << count;
    }
  }
}

TEST_P(ProductsOnDevice, EachWaitIsNeeded) {
  const Matrix matrix = RandomMatrix(16, 768);
  for (const size_t rows : {1u, 12u}) {
    const auto x = Normal(rows * 768, 1);
    std::vector<device::emulation::Place> met;
    const auto expected = OnDevice(matrix, x, false, {.seed = 1, .met = &met});
    EXPECT_EQ(met.size(), model::IsQuantized(GetParam()) ? 2u : 0u);
    for (const auto& place : met) {
      int wrong = 0;
      for (uint64_t seed = 1; seed <= 6; ++seed)
        wrong += !kv::SameBits(OnDevice(matrix, x, false, {.seed = seed, .unheeded = place}), expected);
      EXPECT_GE(wrong, 2) << place.file << ":" << place.line << " " << rows;
    }
  }
}

TEST_P(ProductsOnDevice, WeightsAreReadOnceForUpToSixteenRows) {
  const auto device = device::MakeEmulatedDevice({.seed = 4});
  const Matrix matrix = RandomMatrix(16, 256);
  const DeviceMatrix weights(*device, matrix, "test");
  for (int rows = 1; rows <= 16; ++rows)
    EXPECT_EQ(weights.Kernels().ProductOf(rows).Grid(16, rows).y, 1) << rows;
  const bool of_integers = model::IsQuantized(GetParam());
  EXPECT_EQ(weights.Kernels().ProductOf(8).rows, of_integers ? 8 : 16);
  EXPECT_EQ(weights.Kernels().ProductOf(70).Grid(16, 70).y, of_integers ? 3 : 5);
}

TEST_P(ProductsOnDevice, EmbeddingsHaveTheProcessorsBits) {
  const Matrix table = RandomMatrix(6, 512);
  const auto device = device::MakeEmulatedDevice({.seed = 4});
  const DeviceMatrix weights(*device, table, "test");
  const std::vector<int32_t> tokens = {5, 0, 3};
  const device::DeviceArray<int32_t> device_tokens(*device, std::span<const int32_t>(tokens));
  const device::DeviceArray<float> out(*device, tokens.size() * 512);
  const device::EmbedArgs args{weights.Data(), weights.RowBytes(), device_tokens.Data(), out.Data(), 512};
  device->Launch(weights.Kernels().embed, {2, 3, 1}, &args);
  std::vector<float> expected(tokens.size() * 512);
  for (size_t r = 0; r < tokens.size(); ++r) {
    model::DequantizeRow(table.type, table.data + static_cast<size_t>(tokens[r]) * table.RowBytes(), 512,
                         expected.data() + r * 512);
  }
  EXPECT_EQ(out.ToHost(), expected);
}

TEST(DeviceMatrix, RefusesFormatsWithoutKernels) {
  const auto bytes = model::RandomBlocks(TensorType::kQ2_K, 256, 0.5f, 1);
  const auto device = device::MakeEmulatedDevice({.seed = 4});
  try {
    const DeviceMatrix weights(*device, {TensorType::kQ2_K, 1, 256, bytes.data()}, "output.weight");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.Code(), ErrorCode::kUnsupported);
    EXPECT_STREQ(error.what(),
                 "output.weight: emulated GPU has no kernels for Q2_K (it has those for Q8_0, Q4_0, MXFP4, "
                 "Q4_K, Q6_K, F16, BF16 and F32)");
  }
}

}  // namespace
}  // namespace throng::gpu
