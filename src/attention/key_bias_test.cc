#include "attention/key_bias.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "attention/attention.h"
#include "hwy/targets.h"
#include "kv/cache/block_pool.h"
#include "kv/layer_codecs.h"
#include "kv/testing/random_rows.h"

namespace throng::attention {
namespace {

using kv::kPageTokens;
using kv::Normal;
using kv::RelativeError;
using kv::SameBits;

Rotation MakeRotation(int rotated, bool halves, double base = 10000.0) {
  Rotation rotation{{}, halves};
  for (int i = 0; i < rotated / 2; ++i) rotation.frequencies.push_back(std::pow(base, -2.0 * i / rotated));
  return rotation;
}

// A bias of one head in some pairs, all of the same length.
std::vector<float> BiasInPairs(const Rotation& rotation, int head_dim, std::vector<size_t> pairs,
                               float length) {
  std::vector<float> bias(static_cast<size_t>(head_dim));
  for (const size_t pair : pairs) {
    bias[rotation.First(pair)] = length * std::cos(1.0f + static_cast<float>(pair));
    bias[rotation.Second(pair)] = length * std::sin(1.0f + static_cast<float>(pair));
  }
  return bias;
}

std::shared_ptr<const KeyBias> Make(const std::vector<float>& bias, double average, const Rotation& rotation,
                                    int head_dim, int max_tokens = 1000) {
  const BiasOfLayer layer{bias, std::vector<double>(bias.size() / static_cast<size_t>(head_dim), average),
                          &rotation};
  return MakeKeyBias({&layer, 1}, max_tokens);
}

TEST(KeyBiasTest, PairsAboveTheAverageAreRemoved) {
  const Rotation rotation = MakeRotation(16, true);
  std::vector<float> bias = BiasInPairs(rotation, 32, {0, 3}, 10.0f);
  bias[1] = 0.9f;  // pair 1
  bias[2] = NAN;
  bias[5] = std::numeric_limits<float>::infinity();
  bias[6] = 2e6f;
  bias[20] = 0.1f;  // not rotated
  bias[21] = NAN;
  const auto made = Make(bias, 1.0, rotation, 32);
  const LayerKeyBias& layer = made->front();
  std::vector<float> expected(32);
  for (const size_t i : {0u, 8u, 3u, 11u, 20u}) expected[i] = bias[i];
  EXPECT_EQ(layer.removed, expected);
  ASSERT_EQ(layer.heads[0].pairs.size(), 2u);
  EXPECT_EQ(layer.heads[0].pairs[1].first, 3u);
  EXPECT_EQ(layer.heads[0].pairs[1].second, 11u);
}

// 16 pairs of average 2 have a sum of squares of 64, of which 10.7 may stay.
TEST(KeyBiasTest, TheLongestGoUntilLittleIsLeft) {
  const Rotation rotation = MakeRotation(32, true);
  std::vector<float> bias(32);
  for (size_t i = 0; i < 16; ++i) bias[i] = 0.5f + 0.1f * static_cast<float>(i);  // squares: 28.4 together
  const auto made = Make(bias, 2.0, rotation, 32);
  std::vector<size_t> removed;
  for (const HeadKeyBias::Pair& pair : made->front().heads[0].pairs) removed.push_back(pair.first);
  EXPECT_EQ(removed, (std::vector<size_t>{10, 11, 12, 13, 14, 15}));  // 17.7 to go: 2.25, 2.56, ..., 4
  EXPECT_EQ(made->front().removed[9], 0.0f);
}

TEST(KeyBiasTest, WithoutAPairThatStandsOutThereIsNone) {
  const Rotation rotation = MakeRotation(32, false);
  EXPECT_EQ(Make(BiasInPairs(rotation, 32, {1, 2}, 1.0f), 1.5, rotation, 32), nullptr);
  EXPECT_EQ(Make(std::vector<float>(32), 0.0, rotation, 32), nullptr);
}

TEST(KeyBiasTest, LayersShareTheAnglesOfTheirRotation) {
  const Rotation global = MakeRotation(32, true, 1e6), local = MakeRotation(32, true);
  const std::vector<double> averages = {1.0};
  const std::vector<BiasOfLayer> layers = {{BiasInPairs(global, 32, {4, 9}, 5.0f), averages, &global},
                                           {BiasInPairs(local, 32, {9}, 5.0f), averages, &local},
                                           {BiasInPairs(global, 32, {9, 15}, 5.0f), averages, &global}};
  const auto bias = MakeKeyBias(layers, 100);
  const HeadKeyBias &first = (*bias)[0].heads[0], &second = (*bias)[1].heads[0], &third = (*bias)[2].heads[0];
  EXPECT_EQ(first.angles, third.angles);
  EXPECT_NE(first.angles, second.angles);
  EXPECT_EQ(first.pairs[1].angle, third.pairs[0].angle);
  EXPECT_EQ(third.angles->Frequency(third.pairs[1].angle), global.frequencies[15]);
  EXPECT_EQ(second.angles->Frequency(second.pairs[0].angle), local.frequencies[9]);
}

// All targets, within and beyond the pages whose angles are kept.
TEST(KeyBiasTest, ScoresAreThoseOfTheReference) {
  constexpr int kDim = 64;
  constexpr int kRows = 5;
  constexpr float kScale = 0.125f;
  for (const bool halves : {true, false}) {
    const Rotation rotation = MakeRotation(48, halves);
    for (const std::vector<size_t>& pairs :
         {std::vector<size_t>{7}, std::vector<size_t>{0, 1, 12, 23}, std::vector<size_t>{2, 5, 20}}) {
      const auto made = Make(BiasInPairs(rotation, kDim, pairs, 900.0f), 1.0, rotation, kDim);
      const HeadKeyBias& bias = made->front().heads[0];
      const std::vector<float> queries = Normal(kRows * kDim, 1, 3.0f);
      std::vector<float> rows(kRows * bias.RowSize());
      for (size_t r = 0; r < kRows; ++r) {
        PrepareKeyBias(bias, queries.data() + r * kDim, kScale, rows.data() + r * bias.RowSize());
      }
      for (const auto target : hwy::SupportedAndGeneratedTargets()) {
        hwy::SetSupportedTargetsForTest(target);
        for (const int page : {0, 1, 15, 16, 2000}) {
          const std::vector<float> before = Normal(kRows * kPageTokens, 2);
          std::vector<float> scores = before;
          AddKeyBias(bias, page, rows.data(), kRows, scores.data());
          for (int i = 0; i < kRows * kPageTokens; ++i) {
            const float* query = queries.data() + static_cast<size_t>(i / kPageTokens) * kDim;
            const double exact = KeyBiasReference(bias, query, page * kPageTokens + i % kPageTokens);
            // A few roundings of sums of up to 4 * 900 * 10 * kScale.
            ASSERT_NEAR(scores[static_cast<size_t>(i)], before[static_cast<size_t>(i)] + kScale * exact, 2e-3)
                << hwy::TargetName(target) << " page " << page;
          }
          std::vector<float> last(before.end() - kPageTokens, before.end());
          AddKeyBias(bias, page, rows.data() + (kRows - 1) * bias.RowSize(), 1, last.data());
          EXPECT_TRUE(SameBits(last, {scores.end() - kPageTokens, scores.end()}));
        }
      }
      hwy::SetSupportedTargetsForTest(0);
    }
  }
}

// One head of a sequence, whose queries and keys are rotated here, in double precision.
struct Head {
  Head(const Rotation& rotation_, int dim_, int tokens_)
      : rotation(rotation_),
        dim(dim_),
        tokens(tokens_),
        queries(Normal(Size(), 1, 1.5f)),
        keys(Normal(Size(), 2)),
        values(Normal(Size(), 3)) {}
  size_t Size() const { return static_cast<size_t>(tokens) * static_cast<size_t>(dim); }

  std::vector<float> Rotated(const std::vector<float>& rows, const std::vector<float>& added) const {
    std::vector<float> rotated = rows;
    for (int t = 0; t < tokens; ++t) {
      float* row = rotated.data() + static_cast<size_t>(t) * static_cast<size_t>(dim);
      for (size_t j = 0; j < added.size(); ++j) row[j] += added[j];
      for (size_t i = 0; i < rotation.frequencies.size(); ++i) {
        float &a = row[rotation.First(i)], &b = row[rotation.Second(i)];
        const double cosine = std::cos(t * rotation.frequencies[i]),
                     sine = std::sin(t * rotation.frequencies[i]);
        const double x = a, y = b;
        a = static_cast<float>(x * cosine - y * sine);
        b = static_cast<float>(y * cosine + x * sine);
      }
    }
    return rotated;
  }

  std::vector<float> Attended(const std::string& codec, const std::vector<float>& stored_keys,
                              const HeadKeyBias* bias, int window) const {
    kv::BlockPool pool(kv::MakeLayout({.kv = codec, .k = "", .v = ""}, kv::AlikeLayers(1, 1, dim)),
                       size_t{1} << 30);
    kv::SequenceCache cache(pool);
    EXPECT_TRUE(cache.Reserve(tokens));
    cache.BeginChunk(tokens);
    const auto stride = static_cast<size_t>(dim);
    cache.Append(0, 0, {stored_keys.data(), stride}, {values.data(), stride});
    const std::vector<float> rotated = Rotated(queries, {});
    std::vector<float> out(Size());
    AttentionScratch scratch;
    Attend({.cache = &cache,
            .layer = 0,
            .kv_head = 0,
            .group = 1,
            .first_token = 0,
            .num_tokens = tokens,
            .queries = rotated.data(),
            .query_stride = stride,
            .out = out.data(),
            .out_stride = stride,
            .scale = 1.0f / std::sqrt(static_cast<float>(dim)),
            .window = window,
            .key_bias = bias},
           scratch);
    cache.FinishLayer(0, 0);
    cache.EndChunk();
    return out;
  }

  Rotation rotation;
  int dim, tokens;
  std::vector<float> queries, keys, values;
};

TEST(KeyBiasTest, AttentionOverKeysWithoutBiasIsThatOverWholeKeys) {
  for (const bool halves : {true, false}) {
    for (const int rotated : {64, 40}) {
      const Head head(MakeRotation(rotated, halves), 64, 200);
      std::vector<float> bias = BiasInPairs(head.rotation, 64, {1, 9, 19}, 20.0f);
      if (rotated < 64) bias[60] = 7.0f;
      const auto made = Make(bias, 1.0, head.rotation, 64);
      for (const int window : {0, 70}) {
        const auto whole = head.Attended("f32", head.Rotated(head.keys, bias), nullptr, window);
        const auto without =
            head.Attended("f32", head.Rotated(head.keys, {}), &made->front().heads[0], window);
        EXPECT_LE(RelativeError(without, whole), 2e-5);
        EXPECT_GE(RelativeError(head.Attended("f32", head.Rotated(head.keys, {}), nullptr, window), whole),
                  0.1);
        // What it is for: eight bits are enough again.
        const double of_whole =
            RelativeError(head.Attended("int8", head.Rotated(head.keys, bias), nullptr, window), whole);
        const double of_without = RelativeError(
            head.Attended("int8", head.Rotated(head.keys, {}), &made->front().heads[0], window), whole);
        EXPECT_LE(of_without, 0.5 * of_whole);
      }
    }
  }
}

}  // namespace
}  // namespace throng::attention
