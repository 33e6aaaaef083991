#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <span>

#include "base/error.h"
#include "base/mapped_file.h"
#include "base/rng.h"
#include "base/thread_pool.h"
#include "model/gguf/gguf_writer.h"
#include "model/matmul/block_formats.h"
#include "model/quantize/fit.h"
#include "model/quantize/quantize_model.h"
#include "model/quantize/quantize_row.h"
#include "model/testing/tiny_model.h"

namespace throng::model {
namespace {

namespace fs = std::filesystem;

std::vector<float> Gaussian(size_t count, uint64_t seed) {
  CounterRng rng(seed);
  std::vector<float> x(count);
  for (float& value : x) {
    const double radius = std::sqrt(-2.0 * std::log(1.0 - rng.NextDouble()));
    value = static_cast<float>(radius * std::cos(2 * M_PI * rng.NextDouble()));
  }
  return x;
}

std::vector<float> RoundTrip(TensorType type, const std::vector<float>& x) {
  const BlockSize block = *BlockSizeOf(type);
  std::vector<uint8_t> bytes(x.size() / block.elements * block.bytes);
  QuantizeRow(type, x.data(), x.size(), bytes.data());
  std::vector<float> y(x.size());
  DequantizeRow(type, bytes.data(), y.size(), y.data());
  return y;
}

double RelativeError(const std::vector<float>& x, const std::vector<float>& y) {
  double errors = 0, weights = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    errors += std::pow(static_cast<double>(x[i]) - static_cast<double>(y[i]), 2);
    weights += std::pow(static_cast<double>(x[i]), 2);
  }
  return std::sqrt(errors / weights);
}

TEST(Quantize, PlacesInTheTableChangeAtItsBorders) {
  std::vector<float> tried = {-INFINITY, -1e30f, 1e30f, INFINITY, NAN, -0.0f};
  for (int i = -400 * 16; i <= 400 * 16; ++i) {
    const float x = static_cast<float>(i) / 16;
    tried.insert(tried.end(), {std::nextafter(x, -INFINITY), x, std::nextafter(x, INFINITY)});
  }
  for (const float x : tried) {
    size_t place = 0;
    for (size_t i = 0; i + 1 < kIq4Values.size(); ++i) {
      if (2.0f * x > static_cast<float>(kIq4Values[i] + kIq4Values[i + 1])) ++place;
    }
    ASSERT_EQ(TableCodes::Index(x), place) << x;
    ASSERT_EQ(TableCodes()(x), kIq4Values[place]) << x;
  }
}

// docs/models.md has these figures, and those of llama.cpp beside them.
TEST(Quantize, ErrorsOfGaussianWeights) {
  const std::vector<float> x = Gaussian(1 << 16, 1);
  EXPECT_LT(RelativeError(x, RoundTrip(TensorType::kQ8_0, x)), 0.0055);
  EXPECT_LT(RelativeError(x, RoundTrip(TensorType::kQ6_K, x)), 0.0172);
  EXPECT_LT(RelativeError(x, RoundTrip(TensorType::kQ4_K, x)), 0.0705);
  EXPECT_LT(RelativeError(x, RoundTrip(TensorType::kIQ4_XS, x)), 0.0750);
  EXPECT_LT(RelativeError(x, RoundTrip(TensorType::kQ4_0, x)), 0.0820);
}

TEST(Quantize, OddBlocks) {
  std::vector<float> zeros(256), ones(256, 1.0f), outlier(256, 0.01f), tiny(256), below(256);
  outlier[100] = -50.0f;
  for (size_t i = 0; i < 256; ++i) {
    tiny[i] = 1e-12f * static_cast<float>(i % 7);
    below[i] = -1.0f - static_cast<float>(i % 16) / 16;
  }
  for (const TensorType type : kQuantizedTypes) {
    EXPECT_EQ(RoundTrip(type, zeros), zeros) << TensorTypeName(type);
    EXPECT_LT(RelativeError(ones, RoundTrip(type, ones)), 0.01) << TensorTypeName(type);
    EXPECT_NEAR(RoundTrip(type, outlier)[100], -50.0f, 0.1f) << TensorTypeName(type);
    EXPECT_LT(RelativeError(below, RoundTrip(type, below)), 0.08) << TensorTypeName(type);
    for (const float value : RoundTrip(type, tiny)) EXPECT_LT(std::abs(value), 1e-6f) << TensorTypeName(type);
  }
}

// No change of one code, scale or minimum within a block makes a weight much worse: what comes back is near.
TEST(Quantize, WeightsThatHaveCodesKeepThem) {
  for (const TensorType type : kQuantizedTypes) {
    const std::vector<uint8_t> bytes = RandomBlocks(type, 1024, 1.0f, 5);
    std::vector<float> x(1024);
    DequantizeRow(type, bytes.data(), x.size(), x.data());
    EXPECT_LT(RelativeError(x, RoundTrip(type, x)), 0.05) << TensorTypeName(type);
  }
}

class QuantizeModelTest : public testing::Test {
 protected:
  QuantizeModelTest() {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    path_ =
        (fs::path(testing::TempDir()) / fmt::format("throng_{}_{}.gguf", test->name(), getpid())).string();
  }
  ~QuantizeModelTest() override { fs::remove(path_); }

  QuantizeReport Run(const GgufFile& file, const QuantizeOptions& options, int num_threads = 1) const {
    ThreadPool threads(num_threads);
    return QuantizeModel(file, PlanQuantization(file, options), options, path_, threads,
                         [](uint64_t, uint64_t) {});
  }

  std::string path_;
};

TEST_F(QuantizeModelTest, WeightsShrinkAndTheRestStays) {
  const std::vector<uint8_t> bytes = TinyModel{.type = TensorType::kF32, .dim = 256, .experts = 2}.Bytes();
  const GgufFile file(bytes, "tiny");
  const QuantizeReport report = Run(file, {.type = TensorType::kQ4_K});
  const GgufFile out(path_);
  EXPECT_EQ(out.String("general.architecture"), "llama");
  EXPECT_EQ(out.Uint("llama.block_count"), 2u);
  EXPECT_EQ(out.Uint("general.file_type"), 14u);
  const auto type = [&](const char* name) { return out.FindTensor(name)->type; };
  EXPECT_EQ(type("blk.0.attn_q.weight"), TensorType::kQ4_K);
  EXPECT_EQ(type("blk.0.ffn_up_exps.weight"), TensorType::kQ4_K);
  EXPECT_EQ(type("blk.0.ffn_down_exps.weight"), TensorType::kQ8_0);  // rows of 96
  EXPECT_EQ(type("token_embd.weight"), TensorType::kQ6_K);
  EXPECT_EQ(type("blk.0.attn_norm.weight"), TensorType::kF32);
  EXPECT_EQ(type("blk.0.ffn_gate_inp.weight"), TensorType::kF32);
  uint64_t after = 0;
  for (const TensorInfo& tensor : out.Tensors()) after += tensor.data.size();
  EXPECT_EQ(report.bytes_after, after);
  EXPECT_EQ(report.types.size(), 4u);
  for (const TypeReport& each : report.types) {
    EXPECT_EQ(each.error == 0.0, each.type == TensorType::kF32) << TensorTypeName(each.type);
    EXPECT_LT(each.error, 0.1);
  }
  Run(file, {.type = TensorType::kQ4_K, .pure = true});
  EXPECT_EQ(GgufFile(path_).FindTensor("token_embd.weight")->type, TensorType::kQ4_K);
}

TEST_F(QuantizeModelTest, ThreadsDoNotChangeTheFile) {
  const std::vector<uint8_t> bytes = TinyModel{.type = TensorType::kBF16, .dim = 256}.Bytes();
  const GgufFile file(bytes, "tiny");
  Run(file, {.type = TensorType::kQ4_K}, 1);
  const std::string one = ReadFile(path_);
  Run(file, {.type = TensorType::kQ4_K}, 3);
  EXPECT_EQ(ReadFile(path_), one);
}

TEST_F(QuantizeModelTest, QuantisedModelsNeedAFlag) {
  const std::vector<uint8_t> bytes = TinyModel{}.Bytes();
  const GgufFile file(bytes, "tiny");
  try {
    PlanQuantization(file, {.type = TensorType::kQ4_0});
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "tiny: tensor 'token_embd.weight' is Q8_0 already; take the model in F32, F16 or BF16, or "
                 "--requantize, which loses more than quantising once");
  }
  Run(file, {.type = TensorType::kQ4_0, .requantize = true});
  EXPECT_EQ(GgufFile(path_).FindTensor("blk.1.ffn_up.weight")->type, TensorType::kQ4_0);
}

TEST_F(QuantizeModelTest, FactorsOfFrequenciesMayBeLarge) {
  const std::vector<float> factors = {1.0f, 2.0f, 1e30f};
  GgufWriter writer;
  writer.Add("general.architecture", "gemma4");
  const uint64_t dims[] = {factors.size()};
  const std::span<const uint8_t> data(reinterpret_cast<const uint8_t*>(factors.data()),
                                      factors.size() * sizeof(float));
  writer.AddTensor("rope_freqs.weight", TensorType::kF32, dims, data);
  const std::vector<uint8_t> bytes = writer.Finish();
  Run(GgufFile(bytes, "tiny"), {.type = TensorType::kQ8_0});
  EXPECT_TRUE(std::ranges::equal(GgufFile(path_).FindTensor("rope_freqs.weight")->data, data));
}

TEST_F(QuantizeModelTest, AWeightThatIsNoNumberLeavesNoFile) {
  std::vector<float> weights(64 * 64, 1.0f);
  weights[100] = std::numeric_limits<float>::infinity();
  GgufWriter writer;
  writer.Add("general.architecture", "llama");
  const uint64_t dims[] = {64, 64};
  writer.AddTensor("blk.0.ffn_up.weight", TensorType::kF32, dims,
                   {reinterpret_cast<const uint8_t*>(weights.data()), weights.size() * sizeof(float)});
  const std::vector<uint8_t> bytes = writer.Finish();
  const GgufFile file(bytes, "tiny");
  EXPECT_THROW(Run(file, {.type = TensorType::kQ8_0}), Error);
  EXPECT_FALSE(fs::exists(path_));
}

TEST(Quantize, NamesOfTypes) {
  EXPECT_EQ(ParseQuantizedType("q4_k"), TensorType::kQ4_K);
  EXPECT_EQ(ParseQuantizedType("IQ4_XS"), TensorType::kIQ4_XS);
  try {
    ParseQuantizedType("q3_k");
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "'q3_k' is no type that weights can be quantised to; these are: Q8_0, Q6_K, Q4_K, "
                 "Q4_0, IQ4_XS");
  }
}

}  // namespace
}  // namespace throng::model
