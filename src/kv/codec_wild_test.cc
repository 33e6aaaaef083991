// Every input gives finite output, with every codec.

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "kv/codec_table.h"
#include "kv/finite.h"
#include "kv/testing/random_rows.h"

namespace throng::kv {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kMax = std::numeric_limits<float>::max();

std::vector<float> Filled(size_t count, const std::function<float(size_t)>& at) {
  std::vector<float> numbers(count);
  for (size_t i = 0; i < count; ++i) numbers[i] = at(i);
  return numbers;
}

struct Wild {
  const char* name;
  std::vector<float> numbers;
};

// count numbers in rows of d, one set for each kind of input that has broken a codec.
std::vector<Wild> WildNumbers(size_t count, size_t d) {
  std::vector<Wild> all;
  for (const float x : {0.0f, -0.0f, 1.0f, NAN, kInf, -kInf, kMax, -kMax, 65504.0f, 1e-45f, -1e-39f, 6e-8f}) {
    all.push_back({"constant", std::vector<float>(count, x)});
  }
  all.push_back({"largest of both signs", Filled(count, [](size_t i) { return i % 3 == 0 ? kMax : -kMax; })});
  all.push_back(
      {"rows of both signs", Filled(count, [&](size_t i) { return i / d % 2 == 0 ? kMax : -kMax; })});
  all.push_back({"denormal", Filled(count, [](size_t i) { return static_cast<float>(i % 7) * 1e-42f; })});
  all.push_back(
      {"barely different", Filled(count, [](size_t i) { return 1000.0f + (i % 5 == 0 ? 1e-4f : 0); })});
  all.push_back({"one NaN", Normal(count, 1)});
  all.back().numbers[count / 2] = NAN;
  all.push_back({"one outlier", Normal(count, 2)});
  all.back().numbers[count / 3] = -3e38f;
  all.push_back({"a channel of outliers", Normal(count, 3)});
  for (size_t i = 1; i < count; i += d) all.back().numbers[i] *= 1e6f;
  all.push_back({"all magnitudes", Filled(count, [](size_t i) {
                   return std::ldexp(i % 2 == 0 ? 1.0f : -1.0f, static_cast<int>(i % 277) - 149);
                 })});
  CounterRng rng(count, d);
  for (int i = 0; i < 3; ++i) {
    all.push_back({"random bits", Filled(count, [&](size_t) {
                     return std::bit_cast<float>(static_cast<uint32_t>(rng.NextBelow(uint64_t{1} << 32)));
                   })});
  }
  return all;
}

bool AllFinite(const std::vector<float>& numbers) {
  return std::all_of(numbers.begin(), numbers.end(), [](float x) { return std::isfinite(x); });
}

class CodecWildTest : public testing::TestWithParam<std::string> {
 protected:
  static constexpr int kRows = 3;

  AlignedBytes Encode(const Codec& codec, Part part, const std::vector<float>& block) {
    AlignedBytes encoded(codec.Bytes(part));
    codec.Encode(part, block.data(), encoded.data());
    EXPECT_TRUE(codec.Accepts(part, encoded.data()));
    return encoded;
  }
  // queries: [kRows, d].
  std::vector<float> Score(const Codec& codec, int d, const AlignedBytes& keys,
                           const std::vector<float>& queries) {
    AlignedBytes prepared(kRows * codec.QueryBytes());
    for (int r = 0; r < kRows; ++r) {
      codec.PrepareQuery(queries.data() + r * d, prepared.data() + r * codec.QueryBytes());
    }
    std::vector<float> scores(kRows * kPageTokens, NAN);
    codec.Score(keys.data(), prepared.data(), kRows, scores.data());
    return scores;
  }
};

TEST_P(CodecWildTest, BlocksAndQueriesOfAnyNumbersGiveFiniteResults) {
  for (const int d : {8, 64, 80, 576}) {
    const auto codec = ParseCodec(GetParam(), d);
    const size_t size = static_cast<size_t>(kPageTokens) * d;
    const std::vector<Wild> queries = WildNumbers(kRows * d, d);
    const AlignedBytes usual = Encode(*codec, Part::kKeys, Normal(size, 4));
    for (const Wild& wild : WildNumbers(size, d)) {
      SCOPED_TRACE(wild.name);
      const AlignedBytes keys = Encode(*codec, Part::kKeys, wild.numbers);
      const AlignedBytes values = Encode(*codec, Part::kValues, wild.numbers);
      std::vector<float> decoded(size);
      codec->Decode(Part::kKeys, keys.data(), decoded.data());
      EXPECT_TRUE(AllFinite(decoded));
      codec->Decode(Part::kValues, values.data(), decoded.data());
      EXPECT_TRUE(AllFinite(decoded));
      for (const Wild& query : queries)
        EXPECT_TRUE(AllFinite(Score(*codec, d, keys, query.numbers))) << query.name;
      for (const float p : {0.0f, 1e-42f, 1e-7f, 1.0f}) {
        std::vector<float> out(kRows * d, 65504.0f);
        const std::vector<float> probabilities = Filled(kRows * kPageTokens, [&](size_t i) {
          return i % 4 == 0 ? 1.0f : i % 4 == 1 ? 0.0f : p;
        });
        codec->Mix(values.data(), probabilities.data(), std::vector<float>(kRows, 1.0f).data(), kRows,
                   out.data());
        EXPECT_TRUE(AllFinite(out));
      }
    }
    for (const Wild& query : queries)
      EXPECT_TRUE(AllFinite(Score(*codec, d, usual, query.numbers))) << query.name;
  }
}

// NaN encodes to the same bytes as 0, and a value out of range to those of the end of the range.
TEST_P(CodecWildTest, ClampsAsDocumented) {
  constexpr int d = 16;
  const auto codec = ParseCodec(GetParam(), d);
  const float largest = codec->Open() == OpenType::kF32 ? kLargestInF32 : kLargestElement;
  for (const Part part : {Part::kKeys, Part::kValues}) {
    for (const Wild& wild : WildNumbers(static_cast<size_t>(kPageTokens) * d, d)) {
      std::vector<float> finite = wild.numbers;
      for (float& x : finite) x = Finite(x, largest);
      const AlignedBytes a = Encode(*codec, part, wild.numbers);
      const AlignedBytes b = Encode(*codec, part, finite);
      EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size()), 0) << wild.name;
    }
  }
  const AlignedBytes keys = Encode(*codec, Part::kKeys, Normal(static_cast<size_t>(kPageTokens) * d, 5));
  for (const Wild& wild : WildNumbers(kRows * d, d)) {
    std::vector<float> finite = wild.numbers;
    for (float& x : finite) x = Finite(x);
    EXPECT_TRUE(SameBits(Score(*codec, d, keys, wild.numbers), Score(*codec, d, keys, finite))) << wild.name;
  }
}

std::vector<std::string> AllCodecs() {
  std::vector<std::string> names = {"gear2:r=16,s=10%,g=16,kcvt=1", "gear4:s=0%", "flashq4:buffer=int8"};
  for (const CodecEntry& entry : CodecTable()) names.push_back(entry.name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(All, CodecWildTest, testing::ValuesIn(AllCodecs()), [](const auto& info) {
  std::string name = info.param;
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
});

}  // namespace
}  // namespace throng::kv
