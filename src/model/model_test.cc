#include "model/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <new>
#include <vector>

#include "base/error.h"
#include "base/testing/logged_text.h"
#include "base/thread_pool.h"
#include "model/testing/tiny_model.h"
#include "model/transformer.h"

namespace throng::model {
namespace {

using testing::HasSubstr;

struct BuiltModel {
  std::vector<uint8_t> bytes = TinyModel{}.Bytes();
  GgufFile file{bytes, "tiny"};
  std::unique_ptr<Model> model = BuildModel(file);

  std::vector<Matrix> Matrices() {
    std::vector<Matrix> matrices;
    model->ForEachMatrix([&](Matrix& matrix) { matrices.push_back(matrix); });
    return matrices;
  }
  bool IsMapped(const Matrix& matrix) const {
    return matrix.data >= bytes.data() && matrix.data < bytes.data() + bytes.size();
  }
};

// The factors are those of the context that is set, or else of the model's.
TEST(LongRope, TakesTheFactorsOfTheContext) {
  const auto bytes = [](uint32_t original) {
    return TinyModel{.more =
                         [original](GgufWriter& writer) {
                           writer.Add("llama.rope.scaling.type", "longrope");
                           writer.Add("llama.rope.scaling.original_context_length", original);
                           for (const auto& [name, factor] : {std::pair("rope_factors_long.weight", 4.0f),
                                                              std::pair("rope_factors_short.weight", 1.5f)}) {
                             const std::vector<float> factors(8, factor);
                             const uint64_t dims[] = {factors.size()};
                             writer.AddTensor(
                                 name, TensorType::kF32, dims,
                                 {reinterpret_cast<const uint8_t*>(factors.data()), 8 * sizeof(float)});
                           }
                         }}
        .Bytes();
  };
  const std::vector<uint8_t> plain = TinyModel{}.Bytes();
  const auto first_frequency = [](const std::vector<uint8_t>& of, int context) {
    const GgufFile file(of, "tiny");
    return BuildModel(file, context)->ropes[0]->table.Frequencies()[1];
  };
  const double own = first_frequency(plain, 0);
  const std::vector<uint8_t> shorter = bytes(1000), longer = bytes(4000);  // than the model's 2048
  EXPECT_NEAR(first_frequency(shorter, 0), own / 4.0, 1e-6);
  EXPECT_NEAR(first_frequency(shorter, 1001), own / 4.0, 1e-6);
  EXPECT_NEAR(first_frequency(shorter, 1000), own / 1.5, 1e-6);
  EXPECT_NEAR(first_frequency(longer, 0), own / 1.5, 1e-6);
  EXPECT_NEAR(first_frequency(longer, 4001), own / 4.0, 1e-6);
  // What is computed with others must not be mixed up.
  const GgufFile file(shorter, "tiny");
  EXPECT_NE(LoadTransformer(file, {.context = 1000})->WeightsDigest(),
            LoadTransformer(file)->WeightsDigest());
  EXPECT_EQ(LoadTransformer(file, {.context = 2048})->WeightsDigest(),
            LoadTransformer(file)->WeightsDigest());
}

// Beside matrices, as converters write them for NVFP4; none is left unread.
TEST(Scales, AreFoundBesideTheirMatrices) {
  const auto with = [](std::vector<std::pair<std::string, std::vector<float>>> tensors, TensorType type) {
    return TinyModel{.experts = 4,
                     .more =
                         [=](GgufWriter& writer) {
                           for (const auto& [name, values] : tensors) {
                             const uint64_t dims[] = {values.size()};
                             writer.AddTensor(name, type, dims,
                                              {reinterpret_cast<const uint8_t*>(values.data()),
                                               values.size() * (type == TensorType::kF32 ? 4 : 2)});
                           }
                         }}
        .Bytes();
  };
  const std::vector<uint8_t> bytes = with({{"blk.0.attn_q.scale", {2.0f}},
                                           {"blk.0.attn_q.input_scale", {3.0f}},
                                           {"blk.1.ffn_up_exps.scale", {1.0f, 2.0f, 3.0f, 4.0f}},
                                           {"blk.1.ffn_down_exps.input_scale", {1.0f, 1.0f, 1.0f, 1.0f}}},
                                          TensorType::kF32);
  const GgufFile file(bytes, "tiny");
  const auto model = BuildModel(file);
  std::vector<std::vector<float>> found;
  model->ForEachMatrix([&](Matrix& matrix) {
    if (matrix.scales == nullptr) return;
    found.emplace_back(matrix.scales, matrix.scales + matrix.parts);
    if (matrix.parts == 4) {
      EXPECT_EQ(*matrix.Rows(matrix.rows / 2, 1).scales, 3.0f);
    }
  });
  EXPECT_EQ(found, (std::vector<std::vector<float>>{{2.0f}, {1.0f, 2.0f, 3.0f, 4.0f}}));
  const auto refusal = [](const std::vector<uint8_t>& of) -> std::string {
    const GgufFile other(of, "tiny");
    try {
      BuildModel(other);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(refusal(with({{"blk.0.attn_q.scale", {1.0f, 2.0f}}}, TensorType::kF32)),
              HasSubstr("tensor blk.0.attn_q.scale has shape [2]; [1] is expected"));
  EXPECT_THAT(refusal(with({{"blk.0.attn_q.scale", {1.0f}}}, TensorType::kF16)),
              HasSubstr("tensor blk.0.attn_q.scale is F16; scales are F32"));
  EXPECT_THAT(refusal(with({{"blk.0.attn_norm.scale", {1.0f}}}, TensorType::kF32)),
              HasSubstr("blk.0.attn_norm.scale"));
}

TEST(Repack, CopiesAllMatricesAndSaysSo) {
  BuiltModel tiny;
  ThreadPool threads(2);
  const LoggedText log;
  Repack(*tiny.model, threads);
  EXPECT_EQ(tiny.Matrices().size(), 15u);
  for (const Matrix& matrix : tiny.Matrices()) {
    EXPECT_TRUE(matrix.in_strips);
    EXPECT_FALSE(tiny.IsMapped(matrix));
  }
  EXPECT_THAT(log.Text(), HasSubstr("copied 69.6 kB of weights in "));
}

TEST(Repack, LeavesMappedWhatHasNoMemory) {
  BuiltModel tiny;
  ThreadPool threads(2);
  const LoggedText log;
  int left = 3;
  Repack(*tiny.model, threads, [&](size_t bytes) {
    if (left-- == 0) throw std::bad_alloc();
    return AllocateHuge(bytes);
  });
  const std::vector<Matrix> matrices = tiny.Matrices();
  for (size_t i = 0; i < matrices.size(); ++i) {
    EXPECT_EQ(matrices[i].in_strips, i < 3) << i;
    EXPECT_EQ(tiny.IsMapped(matrices[i]), i >= 3) << i;
  }
  EXPECT_THAT(log.Text(), HasSubstr("no memory for a copy of the weights: 12 of 15 matrices are read where"));
}

}  // namespace
}  // namespace throng::model
