// Kernels that decode, on the emulated GPU, against the attention of this processor.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "attention/attention.h"
#include "attention/reference.h"
#include "base/error.h"
#include "device/cuda/cuda_device.h"
#include "device/emulation/emulated_device.h"
#include "device/kernels/all_kernels.h"
#include "device/testing/codecs_on_device.h"
#include "kv/cache/block_pool.h"
#include "kv/cache/sequence_cache.h"
#include "kv/codec_table.h"
#include "kv/layer_codecs.h"
#include "kv/testing/random_rows.h"

namespace throng::device {
namespace {

using kv::AlignedBytes;
using kv::Part;

class DecodeOnDevice : public testing::TestWithParam<CodecKernels> {};
INSTANTIATE_TEST_SUITE_P(Codecs, DecodeOnDevice, testing::ValuesIn(CodecsOnDevice()), NameOf);

bool HasOutliers(const CodecKernels& codec) { return codec.name == "gear4" || codec.name == "gear2"; }

struct DecodeCase {
  int length = 65;
  int group = 4;
  int window = 0;
};

constexpr int kHeads = 2;

// The last token's attention: by the processor's kernels, and by the device on the same pages.
struct BothWays {
  std::vector<float> expected;
  std::vector<float> got;
};

// Several sequences in one launch; the last token of each attends.
std::vector<BothWays> DecodeBothWays(const CodecKernels& shape, const std::vector<DecodeCase>& cases,
                                     const emulation::Conduct& conduct) {
  const size_t d = static_cast<size_t>(shape.head_dim);
  const auto device = MakeEmulatedDevice(conduct);
  const kv::CodecFlags flags{.kv = std::string(shape.name)};
  const kv::LayerShape layer{kHeads, shape.head_dim, shape.head_dim};
  const auto codec = MakeCodec(shape);
  const size_t page_bytes = kv::RoundUp64(codec->Bytes(Part::kKeys));
  const size_t open_bytes = 64 * d * 2;

  const int group = cases[0].group;
  std::vector<BothWays> results;
  std::vector<std::unique_ptr<DeviceArray<uint8_t>>> memory;
  std::vector<std::unique_ptr<DeviceArray<const uint8_t*>>> tables;
  std::vector<DecodeSequence> sequences;
  std::vector<float> queries;
  int max_splits = 1;
  for (size_t i = 0; i < cases.size(); ++i) {
    const DecodeCase& one = cases[i];
    const size_t length = static_cast<size_t>(one.length);
    const auto keys = kv::Normal(length * kHeads * d, 10 * i + 1);
    const auto values = kv::Normal(length * kHeads * d, 10 * i + 2);
    const auto query = kv::Normal(kHeads * static_cast<size_t>(group) * d, 10 * i + 3, 1.5f);
    kv::BlockPool pool(kv::MakeLayout(flags, {&layer, 1}), size_t{1} << 30);
    kv::SequenceCache cache(pool);
    const auto append = [&](int count) {
      EXPECT_TRUE(cache.Reserve(count));
      const size_t first = static_cast<size_t>(cache.NumTokens());
      cache.BeginChunk(count);
      for (size_t head = 0; head < kHeads; ++head) {
        cache.Append(0, static_cast<int>(head), {keys.data() + (first * kHeads + head) * d, kHeads * d},
                     {values.data() + (first * kHeads + head) * d, kHeads * d});
      }
    };
    const auto end = [&] {
      for (int head = 0; head < kHeads; ++head) cache.FinishLayer(0, head);
      cache.EndChunk();
    };
    if (one.length > 1) {
      append(one.length - 1);
      end();
    }
    append(1);
    BothWays both{std::vector<float>(query.size()), {}};
    attention::AttentionScratch scratch;
    for (int head = 0; head < kHeads; ++head) {
      const size_t at = static_cast<size_t>(head * group) * d;
      const attention::AttentionJob job{.cache = &cache,
                                        .layer = 0,
                                        .kv_head = head,
                                        .group = group,
                                        .first_token = 0,
                                        .num_tokens = 1,
                                        .queries = query.data() + at,
                                        .query_stride = query.size(),
                                        .out = both.expected.data() + at,
                                        .out_stride = query.size(),
                                        .scale = 1.0f / std::sqrt(static_cast<float>(d)),
                                        .window = one.window};
      IsLikeDecoded(shape.name) ? attention::AttendReference(job) : attention::Attend(job, scratch);
    }
    results.push_back(std::move(both));
    queries.insert(queries.end(), query.begin(), query.end());

    const int num_sealed = (one.length - 1) / 64;
    const auto copy = [&](int block, size_t part_bytes, const auto& view_of) {
      std::vector<uint8_t> bytes(2 * kHeads * part_bytes);
      for (int head = 0; head < kHeads; ++head) {
        const kv::PageView view = view_of(head, block);
        std::memcpy(bytes.data() + static_cast<size_t>(2 * head) * part_bytes, view.keys, part_bytes);
        std::memcpy(bytes.data() + static_cast<size_t>(2 * head + 1) * part_bytes, view.values, part_bytes);
      }
      memory.push_back(std::make_unique<DeviceArray<uint8_t>>(*device, std::span<const uint8_t>(bytes)));
      return memory.back()->Data();
    };
    std::vector<const uint8_t*> blocks;
    for (int block = 0; block < num_sealed; ++block) {
      blocks.push_back(copy(block, page_bytes,
                            [&](int head, int b) { return cache.Sealed(0, head, b, kv::Form::kBase); }));
    }
    const uint8_t* open =
        copy(num_sealed, open_bytes, [&](int head, int b) { return cache.Open(0, head, b); });
    tables.push_back(
        std::make_unique<DeviceArray<const uint8_t*>>(*device, std::span<const uint8_t* const>(blocks)));
    sequences.push_back({tables.back()->Data(), open, num_sealed, one.length - 64 * num_sealed,
                         one.window > 0 ? std::max(0, one.length - one.window) : 0, static_cast<int>(i),
                         0.0f});
    max_splits = std::max(max_splits, num_sealed / kSplitPages + 1);
    end();
  }

  const int num = static_cast<int>(cases.size());
  const DeviceArray<DecodeSequence> device_sequences(*device, std::span<const DecodeSequence>(sequences));
  const DeviceArray<float> device_queries(*device, std::span<const float>(queries));
  const DeviceArray<float> out(*device, queries.size());
  const size_t rows = cases.size() * kHeads * static_cast<size_t>(max_splits) * kGroupRows;
  const DeviceArray<float> split_max(*device, rows), split_sum(*device, rows), split_out(*device, rows * d);
  const DecodeArgs args{.attention = {.queries = device_queries.Data(),
                                      .out = out.Data(),
                                      .sinks = nullptr,
                                      .scale = 1.0f / std::sqrt(static_cast<float>(d)),
                                      .group = group,
                                      .kv_heads = kHeads,
                                      .sealed = KeysThenValues(page_bytes),
                                      .open = KeysThenValues(open_bytes)},
                        .sequences = device_sequences.Data(),
                        .split_max = split_max.Data(),
                        .split_sum = split_sum.Data(),
                        .split_out = split_out.Data(),
                        .max_splits = max_splits};
  device->Launch(shape.decode, {max_splits, kHeads, num}, &args);
  device->Launch(shape.merge, {kHeads, num, 1}, &args);
  device->Wait();
  const std::vector<float> all = out.ToHost();
  for (size_t i = 0; i < results.size(); ++i) {
    const size_t size = results[i].expected.size();
    results[i].got.assign(all.begin() + static_cast<ptrdiff_t>(i * size),
                          all.begin() + static_cast<ptrdiff_t>((i + 1) * size));
  }
  return results;
}

// Integer scores are the processor's. Exponentials differ in their last places, so that one weight in some
// thousands is rounded the other way (by 1/255 of the largest), and sums are in another order.
constexpr double kTolerance = 5e-4;

TEST_P(DecodeOnDevice, DecodesAsTheProcessor) {
  const std::vector<DecodeCase> cases = {
      {1}, {64}, {65}, {150}, {300, 4, 100}, {64 * 17 + 5}, {64 * 20, 4, 200}};
  const auto results = DecodeBothWays(GetParam(), cases, {.seed = 21});
  for (size_t i = 0; i < cases.size(); ++i) {
    const double bound = cases[i].length <= 64 ? 1e-6 : kTolerance;
    EXPECT_LT(kv::RelativeError(results[i].got, results[i].expected), bound) << "length " << cases[i].length;
  }
}

TEST_P(DecodeOnDevice, DecodesGroupsOfEverySize) {
  for (const int group : {1, 3, 8}) {
    const auto results = DecodeBothWays(GetParam(), {{200, group}}, {.seed = 22});
    EXPECT_LT(kv::RelativeError(results[0].got, results[0].expected), kTolerance) << group;
  }
}

// Purity: neither the order of threads nor other sequences change a bit.
TEST_P(DecodeOnDevice, DecodesEachSequenceAsIfAlone) {
  const std::vector<DecodeCase> cases = {{1100}, {70}, {333}};
  const auto together = DecodeBothWays(GetParam(), cases, {.seed = 1});
  const auto again = DecodeBothWays(GetParam(), cases, {.seed = 2});
  const auto alone = DecodeBothWays(GetParam(), {cases[0]}, {.seed = 3});
  for (size_t i = 0; i < cases.size(); ++i) EXPECT_TRUE(kv::SameBits(together[i].got, again[i].got)) << i;
  EXPECT_TRUE(kv::SameBits(together[0].got, alone[0].got));
}

TEST_P(DecodeOnDevice, EveryWaitOfDecodeIsNeeded) {
  const std::vector<DecodeCase> cases = {{300}};
  std::vector<emulation::Place> met;
  const auto expected = DecodeBothWays(GetParam(), cases, {.seed = 1, .met = &met});
  EXPECT_EQ(met.size(), HasOutliers(GetParam()) ? 4u : 2u);
  for (const emulation::Place& place : met) {
    int wrong = 0;
    for (uint64_t seed = 1; seed <= 8; ++seed) {
      const auto got = DecodeBothWays(GetParam(), cases, {.seed = seed, .unheeded = place});
      wrong += !kv::SameBits(got[0].got, expected[0].got);
    }
    EXPECT_GE(wrong, 3) << place.file << ":" << place.line;
  }
}

// Scores of 8 rows of queries and a page of keys, by the codec's kernels and on the device, have the same
// bits.
template <typename Page>
void ExpectSameScores(const std::string& name) {
  constexpr int kDim = Page::kHeadDim;
  const auto codec = kv::ParseCodec(name, kDim);
  const auto block = kv::Normal(64 * kDim, 1);
  const auto queries = kv::Normal(kGroupRows * kDim, 2, 0.3f);
  AlignedBytes page(codec->Bytes(Part::kKeys)), prepared(kGroupRows * codec->QueryBytes());
  codec->Encode(Part::kKeys, block.data(), page.data());
  for (size_t r = 0; r < kGroupRows; ++r) {
    codec->PrepareQuery(queries.data() + r * kDim, prepared.data() + r * codec->QueryBytes());
  }
  std::vector<float> expected(kGroupRows * 64), got(kGroupRows * 64, NAN);
  codec->Score(page.data(), prepared.data(), kGroupRows, expected.data());

  const std::function<void()> kernel = [&] {
    auto& rows = *static_cast<QueryRows<kDim>*>(SharedMemory());
    if (Lane() < kGroupRows) {
      const float* row = queries.data() + Lane() * kDim;
      float largest = 0.0f;
      for (int c = 0; c < kDim; ++c) largest = Max(largest, Abs(row[c]));
      for (int c = 0; c < kDim; ++c)
        rows.codes[Lane()][c] = static_cast<int8_t>(Page::QueryCode(row[c], largest));
      rows.largest[Lane()] = largest;
    }
    WarpBarrier();
    NoScratch none;
    PageRow scores;
    Page::Score(page.data(), Page::Query::Of(rows), none, scores);
    for (int e = 0; e < 16; ++e) {
      const int token = TokenOf(e / 8, e / 2 % 4, e % 2);
      got[static_cast<size_t>(Lane() / 4 * 64 + token)] = scores[e / 8][e / 2 % 4][e % 2];
    }
  };
  emulation::RunBlocks({{1, 1, 1},
                        kWarpThreads,
                        sizeof(QueryRows<kDim>),
                        [](const void* f) { (*static_cast<const std::function<void()>*>(f))(); },
                        &kernel},
                       {.seed = 3});
  EXPECT_TRUE(kv::SameBits(got, expected)) << name << " " << kDim;
}

TEST(ScoreOnDevice, HasTheBitsOfTheProcessor) {
  ExpectSameScores<FlashqPage<4, 64>>("flashq4");
  ExpectSameScores<FlashqPage<4, 128>>("flashq4");
  ExpectSameScores<FlashqPage<2, 64>>("flashq2");
  ExpectSameScores<FlashqPage<2, 128>>("flashq2");
  ExpectSameScores<Int8Page<64>>("int8");
  ExpectSameScores<Int8Page<128>>("int8");
}

TEST(CudaDevice, IsRefusedWhereThereIsNone) {
  try {
    MakeCudaDevice(4711);
    FAIL() << "no machine has so many";
  } catch (const Error& error) {
    EXPECT_EQ(error.Code(), ErrorCode::kUnsupported) << error.what();
  }
}

}  // namespace
}  // namespace throng::device
