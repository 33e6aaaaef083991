#include "bench/attention_speed.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "attention/testing/codec_errors.h"
#include "base/thread_pool.h"
#include "kv/codec_table.h"

namespace throng::bench {
namespace {

std::vector<std::string> AllCodecs() {
  std::vector<std::string> names = {"flashq-mixed:bits=24"};
  for (const kv::CodecEntry& entry : kv::CodecTable()) names.emplace_back(entry.name);
  return names;
}

TEST(AttentionSpeedTest, ErrorsAreThoseOfTheCodec) {
  const MeasureInput input({.keys = 200, .queries = 70, .heads = 8, .kv_heads = 4, .head_dim = 64});
  ThreadPool threads(2);
  for (const std::string& codec : AllCodecs()) {
    for (const auto softmax : {attention::SoftmaxKind::kExact, attention::SoftmaxKind::kSas}) {
      MeasureCase measured({.kv = codec}, softmax, input, threads);
      const double error = measured.Error();
      EXPECT_GE(error, attention::CodecErrorOf(codec).low) << codec;
      EXPECT_LT(error, LargestError(codec, input.shape)) << codec;
    }
  }
}

TEST(AttentionSpeedTest, ABiasThatAttentionAddsChangesTheOutputsOnly) {
  const MeasureShape shape{.keys = 200, .queries = 9, .heads = 8, .kv_heads = 4, .head_dim = 64};
  MeasureShape biased = shape;
  biased.bias_pairs = 5;
  const MeasureInput without(shape), with(biased);
  ASSERT_EQ((*with.bias)[0].heads[3].pairs.size(), 5u);
  ThreadPool threads(1);
  MeasureCase a({.kv = "int8"}, attention::SoftmaxKind::kExact, without, threads);
  MeasureCase b({.kv = "int8"}, attention::SoftmaxKind::kExact, with, threads);
  EXPECT_LT(b.Error(), LargestError("int8", biased));
  EXPECT_GT(a.ErrorOf(b.Outputs()), 0.1);
  EXPECT_EQ(a.CacheBytes(), b.CacheBytes());
}

TEST(AttentionSpeedTest, ValuesCanHaveASizeOfTheirOwnOrBeInTheKeys) {
  const MeasureShape narrow{
      .keys = 200, .queries = 9, .heads = 8, .kv_heads = 4, .head_dim = 96, .value_dim = 64};
  const MeasureShape wide{
      .keys = 200, .queries = 9, .heads = 8, .kv_heads = 4, .head_dim = 64, .value_dim = 96};
  MeasureShape latent = narrow;
  latent.heads = 72;
  latent.kv_heads = 2;
  latent.latent = true;
  ThreadPool threads(2);
  for (const MeasureShape& shape : {narrow, wide, latent}) {
    const MeasureInput input(shape);
    for (const std::string& codec : AllCodecs()) {
      MeasureCase measured({.kv = codec}, attention::SoftmaxKind::kExact, input, threads);
      EXPECT_EQ(measured.Outputs().size(), 9u * shape.heads * shape.value_dim);
      EXPECT_LT(measured.Error(), LargestError(codec, shape)) << codec;
    }
  }
}

TEST(AttentionSpeedTest, SumsOverManyPagesAreNoError) {
  const MeasureInput input({.keys = 131072, .queries = 1, .heads = 8, .kv_heads = 1, .head_dim = 64});
  ThreadPool threads(2);
  MeasureCase measured({.kv = "f16"}, attention::SoftmaxKind::kExact, input, threads);
  EXPECT_LT(measured.Error(), LargestError("f16", input.shape));
}

// A fifth more in the outputs of one head, at the first, the middle or the last query, is noticed.
TEST(AttentionSpeedTest, AWrongHeadIsNoticedWhereverItIs) {
  const MeasureInput input({.keys = 130, .queries = 9, .heads = 8, .kv_heads = 4, .head_dim = 64});
  ThreadPool threads(2);
  for (const std::string& codec : AllCodecs()) {
    MeasureCase measured({.kv = codec}, attention::SoftmaxKind::kExact, input, threads);
    const std::span<const float> right = measured.Outputs();
    EXPECT_LT(measured.ErrorOf(right), LargestError(codec, input.shape)) << codec;
    for (const size_t query : {0, 4, 8}) {
      for (size_t head = 0; head < 8; ++head) {
        std::vector<float> wrong(right.begin(), right.end());
        for (size_t i = 0; i < 64; ++i) wrong[(query * 8 + head) * 64 + i] *= 1.2f;
        EXPECT_GT(measured.ErrorOf(wrong), LargestError(codec, input.shape))
            << codec << ", head " << head << " of query " << query;
      }
    }
  }
}

}  // namespace
}  // namespace throng::bench
