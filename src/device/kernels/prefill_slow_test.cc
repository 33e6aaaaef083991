// Prefill on the emulated GPU, against the attention and the codecs of this processor.
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
#include "attention/sas.h"
#include "base/half.h"
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

using attention::SoftmaxKind;
using kv::AlignedBytes;
using kv::Part;

constexpr int kHeads = 2;

struct PrefillOnDevice {
  std::string name;
  int head_dim;
  KernelId kernel, decode, merge;
  SoftmaxKind softmax = SoftmaxKind::kExact;
  // Weights are rounded where exponentials differ in their last places; SAS in f16 has errors of 2^-11 of its
  // own.
  double tolerance = 5e-4;
  size_t waits = 3;
};

std::vector<PrefillOnDevice> Kernels() {
  using enum KernelId;
  constexpr double kSasTolerance = 2e-3;
  constexpr SoftmaxKind kSas = SoftmaxKind::kSas;
  return {
      {"flashq4", 64, kPrefillFlashq4Dim64, kDecodeFlashq4Dim64, kMergeSplitsDim64},
      {"flashq4", 128, kPrefillFlashq4Dim128, kDecodeFlashq4Dim128, kMergeSplitsDim128},
      {"flashq2", 64, kPrefillFlashq2Dim64, kDecodeFlashq2Dim64, kMergeSplitsDim64},
      {"flashq2", 128, kPrefillFlashq2Dim128, kDecodeFlashq2Dim128, kMergeSplitsDim128},
      {"int8", 64, kPrefillInt8Dim64, kDecodeInt8Dim64, kMergeSplitsDim64},
      {"int8", 128, kPrefillInt8Dim128, kDecodeInt8Dim128, kMergeSplitsDim128},
      {"f16", 64, kPrefillF16Dim64, kDecodeF16Dim64, kMergeSplitsDim64, SoftmaxKind::kExact, 2e-6, 0},
      {"f16", 128, kPrefillF16Dim128, kDecodeF16Dim128, kMergeSplitsDim128, SoftmaxKind::kExact, 2e-6, 0},
      {"rot4", 64, kPrefillRot4Dim64, kDecodeRot4Dim64, kMergeSplitsDim64},
      {"rot4", 128, kPrefillRot4Dim128, kDecodeRot4Dim128, kMergeSplitsDim128},
      {"rot3", 64, kPrefillRot3Dim64, kDecodeRot3Dim64, kMergeSplitsDim64},
      {"rot3", 128, kPrefillRot3Dim128, kDecodeRot3Dim128, kMergeSplitsDim128},
      {"rot2", 64, kPrefillRot2Dim64, kDecodeRot2Dim64, kMergeSplitsDim64},
      {"rot2", 128, kPrefillRot2Dim128, kDecodeRot2Dim128, kMergeSplitsDim128},
      {"int4", 64, kPrefillInt4Dim64, kDecodeInt4Dim64, kMergeSplitsDim64},
      {"int4", 128, kPrefillInt4Dim128, kDecodeInt4Dim128, kMergeSplitsDim128},
      {"kivi4", 64, kPrefillKivi4Dim64, kDecodeKivi4Dim64, kMergeSplitsDim64, SoftmaxKind::kExact, 5e-4, 1},
      {"kivi4", 128, kPrefillKivi4Dim128, kDecodeKivi4Dim128, kMergeSplitsDim128, SoftmaxKind::kExact, 5e-4,
       1},
      {"kivi2", 64, kPrefillKivi2Dim64, kDecodeKivi2Dim64, kMergeSplitsDim64, SoftmaxKind::kExact, 5e-4, 1},
      {"kivi2", 128, kPrefillKivi2Dim128, kDecodeKivi2Dim128, kMergeSplitsDim128, SoftmaxKind::kExact, 5e-4,
       1},
      {"gearl4", 64, kPrefillGearl4Dim64, kDecodeGearl4Dim64, kMergeSplitsDim64, SoftmaxKind::kExact, 5e-4,
       1},
      {"gearl4", 128, kPrefillGearl4Dim128, kDecodeGearl4Dim128, kMergeSplitsDim128, SoftmaxKind::kExact,
       5e-4, 1},
      {"gearl2", 64, kPrefillGearl2Dim64, kDecodeGearl2Dim64, kMergeSplitsDim64, SoftmaxKind::kExact, 5e-4,
       1},
      {"gearl2", 128, kPrefillGearl2Dim128, kDecodeGearl2Dim128, kMergeSplitsDim128, SoftmaxKind::kExact,
       5e-4, 1},
      {"gear4", 64, kPrefillGear4Dim64, kDecodeGear4Dim64, kMergeSplitsDim64, SoftmaxKind::kExact, 5e-4, 3},
      {"gear4", 128, kPrefillGear4Dim128, kDecodeGear4Dim128, kMergeSplitsDim128, SoftmaxKind::kExact, 5e-4,
       3},
      {"gear2", 64, kPrefillGear2Dim64, kDecodeGear2Dim64, kMergeSplitsDim64, SoftmaxKind::kExact, 5e-4, 3},
      {"gear2", 128, kPrefillGear2Dim128, kDecodeGear2Dim128, kMergeSplitsDim128, SoftmaxKind::kExact, 5e-4,
       3},
      {"flashq4", 64, kPrefillFlashq4SasDim64, kDecodeFlashq4SasDim64, kMergeSplitsSasDim64, kSas,
       kSasTolerance, 4},
      {"flashq4", 128, kPrefillFlashq4SasDim128, kDecodeFlashq4SasDim128, kMergeSplitsSasDim128, kSas,
       kSasTolerance, 4},
      {"flashq2", 64, kPrefillFlashq2SasDim64, kDecodeFlashq2SasDim64, kMergeSplitsSasDim64, kSas,
       kSasTolerance, 4},
      {"flashq2", 128, kPrefillFlashq2SasDim128, kDecodeFlashq2SasDim128, kMergeSplitsSasDim128, kSas,
       kSasTolerance, 4},
      {"int8", 64, kPrefillInt8SasDim64, kDecodeInt8SasDim64, kMergeSplitsSasDim64, kSas, kSasTolerance, 4},
      {"int8", 128, kPrefillInt8SasDim128, kDecodeInt8SasDim128, kMergeSplitsSasDim128, kSas, kSasTolerance,
       4}};
}

class Prefills : public testing::TestWithParam<PrefillOnDevice> {};
INSTANTIATE_TEST_SUITE_P(Codecs, Prefills, testing::ValuesIn(Kernels()), [](const auto& info) {
  return info.param.name + attention::SoftmaxName(info.param.softmax) + "Dim" +
         std::to_string(info.param.head_dim);
});

// A chunk that follows `before` tokens of its sequence.
struct Chunk {
  int before = 0;
  int tokens = 1;
  int group = 2;
  int window = 0;
  bool sinks = false;
};

// By the kernel that takes many rows, or token by token.
enum class Way { kPrefill, kDecode };

// Keys, values and queries of a chunk, in a cache of this processor.
class ChunkInCache {
 public:
  ChunkInCache(const PrefillOnDevice& shape, const Chunk& chunk)
      : shape_(shape),
        chunk_(chunk),
        d_(static_cast<size_t>(shape.head_dim)),
        pool_(kv::MakeLayout(kv::CodecFlags{.kv = shape.name}, {{{kHeads, shape.head_dim, shape.head_dim}}}),
              size_t{1} << 28),
        cache_(pool_) {
    const auto length = static_cast<size_t>(chunk.before + chunk.tokens);
    keys_ = kv::Normal(length * kHeads * d_, 1);
    values_ = kv::Normal(length * kHeads * d_, 2);
    queries_ = kv::Normal(length * RowFloats(), 3, 1.5f);
    sinks_ = kv::Normal(static_cast<size_t>(kHeads * chunk.group), 4);
    queries_.erase(queries_.begin(), queries_.begin() + chunk.before * static_cast<ptrdiff_t>(RowFloats()));
    if (chunk.before > 0) {
      Append(chunk.before);
      for (int head = 0; head < kHeads; ++head) cache_.FinishLayer(0, head);
      cache_.EndChunk();
    }
    Append(chunk.tokens);
  }
  ~ChunkInCache() {
    for (int head = 0; head < kHeads; ++head) cache_.FinishLayer(0, head);
    cache_.EndChunk();
  }

  // [tokens, heads, group, d], as the device has it.
  size_t RowFloats() const { return static_cast<size_t>(kHeads * chunk_.group) * d_; }
  const std::vector<float>& Queries() const { return queries_; }
  const std::vector<float>& Sinks() const { return sinks_; }
  const kv::SequenceCache& Cache() const { return cache_; }

  std::vector<float> Attend(SoftmaxKind softmax) const {
    std::vector<float> out(queries_.size());
    attention::AttentionScratch scratch;
    for (int head = 0; head < kHeads; ++head) {
      const size_t at = static_cast<size_t>(head * chunk_.group) * d_;
      const attention::AttentionJob job{
          .cache = &cache_,
          .layer = 0,
          .kv_head = head,
          .group = chunk_.group,
          .first_token = 0,
          .num_tokens = chunk_.tokens,
          .queries = queries_.data() + at,
          .query_stride = RowFloats(),
          .out = out.data() + at,
          .out_stride = RowFloats(),
          .scale = 1.0f / std::sqrt(static_cast<float>(d_)),
          .window = chunk_.window,
          .softmax = softmax,
          .sinks = chunk_.sinks ? sinks_.data() + head * chunk_.group : nullptr};
      IsLikeDecoded(shape_.name) ? attention::AttendReference(job) : attention::Attend(job, scratch);
    }
    return out;
  }

 private:
  void Append(int count) {
    const auto first = static_cast<size_t>(cache_.NumTokens());
    EXPECT_TRUE(cache_.Reserve(count));
    cache_.BeginChunk(count);
    for (size_t head = 0; head < kHeads; ++head) {
      cache_.Append(0, static_cast<int>(head), {keys_.data() + (first * kHeads + head) * d_, kHeads * d_},
                    {values_.data() + (first * kHeads + head) * d_, kHeads * d_});
    }
  }

  const PrefillOnDevice shape_;
  const Chunk chunk_;
  const size_t d_;
  kv::BlockPool pool_;
  kv::SequenceCache cache_;
  std::vector<float> keys_, values_, queries_, sinks_;
};

// Both parts of all heads of a block of the cache, in the device's memory.
template <typename View>
std::unique_ptr<DeviceArray<uint8_t>> CopyBlock(Device& device, size_t part_bytes, const View& view_of_head) {
  std::vector<uint8_t> bytes(2 * kHeads * part_bytes);
  for (int head = 0; head < kHeads; ++head) {
    const kv::PageView view = view_of_head(head);
    std::memcpy(bytes.data() + static_cast<size_t>(2 * head) * part_bytes, view.keys, part_bytes);
    std::memcpy(bytes.data() + static_cast<size_t>(2 * head + 1) * part_bytes, view.values, part_bytes);
  }
  return std::make_unique<DeviceArray<uint8_t>>(device, std::span<const uint8_t>(bytes));
}

// What the device makes of the same chunk.
std::vector<float> OnDevice(const PrefillOnDevice& shape, const Chunk& chunk, const ChunkInCache& source,
                            const emulation::Conduct& conduct, Way way = Way::kPrefill) {
  const auto device = MakeEmulatedDevice(conduct);
  const kv::SequenceCache& cache = source.Cache();
  const size_t page_bytes = kv::RoundUp64(kv::ParseCodec(shape.name, shape.head_dim)->Bytes(Part::kKeys));
  const size_t open_bytes = 64 * static_cast<size_t>(shape.head_dim) * 2;
  const int last_block = (chunk.before + chunk.tokens - 1) / 64;
  std::vector<std::unique_ptr<DeviceArray<uint8_t>>> memory;
  std::vector<const uint8_t*> sealed;
  for (int block = 0; block < last_block; ++block) {
    memory.push_back(CopyBlock(*device, page_bytes,
                               [&](int head) { return cache.Sealed(0, head, block, kv::Form::kBase); }));
    sealed.push_back(memory.back()->Data());
  }
  const DeviceArray<const uint8_t*> blocks(*device, std::span<const uint8_t* const>(sealed));
  std::vector<PrefillTile> tiles;
  std::vector<DecodeSequence> tokens;
  std::vector<float> thresholds;
  std::vector<int32_t> first_visible;
  for (int position = chunk.before; position < chunk.before + chunk.tokens; ++position) {
    first_visible.push_back(chunk.window > 0 ? std::max(0, position + 1 - chunk.window) : 0);
    thresholds.push_back(attention::SasThreshold(position + 1 - first_visible.back()));
  }
  const uint8_t* open = nullptr;
  for (int token = 0; token < chunk.tokens;) {
    const int position = chunk.before + token;
    if (token == 0 || position % 64 == 0) {
      memory.push_back(
          CopyBlock(*device, open_bytes, [&](int head) { return cache.Open(0, head, position / 64); }));
      open = memory.back()->Data();
    }
    const int count = std::min({64 - position % 64, kTileRows / chunk.group, chunk.tokens - token});
    tiles.push_back({blocks.Data(), open, position / 64, position % 64, count, token});
    for (const int end = token + count; token < end; ++token) {
      const auto i = static_cast<size_t>(token);
      tokens.push_back({blocks.Data(), open, position / 64, (chunk.before + token) % 64 + 1, first_visible[i],
                        token, thresholds[i]});
    }
  }
  const DeviceArray<PrefillTile> device_tiles(*device, std::span<const PrefillTile>(tiles));
  const DeviceArray<float> device_thresholds(*device, std::span<const float>(thresholds));
  const DeviceArray<float> queries(*device, std::span<const float>(source.Queries()));
  const DeviceArray<float> out(*device, source.Queries().size());
  const DeviceArray<int32_t> device_first_visible(*device, std::span<const int32_t>(first_visible));
  const DeviceArray<float> sinks(*device, std::span<const float>(source.Sinks()));
  const AttentionArgs attention{.queries = queries.Data(),
                                .out = out.Data(),
                                .sinks = chunk.sinks ? sinks.Data() : nullptr,
                                .scale = 1.0f / std::sqrt(static_cast<float>(shape.head_dim)),
                                .group = chunk.group,
                                .kv_heads = kHeads,
                                .sealed = KeysThenValues(page_bytes),
                                .open = KeysThenValues(open_bytes)};
  if (way == Way::kDecode) {
    const DeviceArray<DecodeSequence> device_tokens(*device, std::span<const DecodeSequence>(tokens));
    const int max_splits = last_block / kSplitPages + 1;
    const size_t parts = tokens.size() * kHeads * static_cast<size_t>(max_splits) * kGroupRows;
    const DeviceArray<float> split_max(*device, parts), split_sum(*device, parts),
        split_out(*device, parts * static_cast<size_t>(shape.head_dim));
    const DecodeArgs args{.attention = attention,
                          .sequences = device_tokens.Data(),
                          .split_max = split_max.Data(),
                          .split_sum = split_sum.Data(),
                          .split_out = split_out.Data(),
                          .max_splits = max_splits};
    device->Launch(shape.decode, {max_splits, kHeads, chunk.tokens}, &args);
    device->Launch(shape.merge, {kHeads, chunk.tokens, 1}, &args);
    return out.ToHost();
  }
  const PrefillArgs args{.attention = attention,
                         .tiles = device_tiles.Data(),
                         .first_visible = device_first_visible.Data(),
                         .thresholds = device_thresholds.Data()};
  device->Launch(shape.kernel, {static_cast<int>(tiles.size()), kHeads, 1}, &args);
  device->Wait();
  return out.ToHost();
}

TEST_P(Prefills, AttendsAsTheProcessor) {
  for (const Chunk& chunk : {Chunk{0, 1, 1}, Chunk{0, 70, 2}, Chunk{130, 75, 3}, Chunk{200, 20, 8, 90},
                             Chunk{60, 200, 1, 64}, Chunk{70, 9, 4, 0, true}, Chunk{1100, 3, 4}}) {
    const ChunkInCache source(GetParam(), chunk);
    const std::vector<float> got = OnDevice(GetParam(), chunk, source, {.seed = 5});
    const std::vector<float> exact = source.Attend(SoftmaxKind::kExact);
    double bound = GetParam().tolerance;
    // SAS drops what is far below the largest score of a part, and parts are others here: it is as near to
    // the exact softmax.
    if (GetParam().softmax == SoftmaxKind::kSas)
      bound += kv::RelativeError(source.Attend(SoftmaxKind::kSas), exact);
    EXPECT_LT(kv::RelativeError(got, exact), bound) << chunk.before << " " << chunk.tokens;
  }
}

// Purity: a token has the same bits whether it comes with many or alone, and so whatever kernel computes it.
TEST_P(Prefills, GivesATokenWhatDecodeGivesIt) {
  for (const Chunk& chunk :
       {Chunk{0, 20, 2}, Chunk{1130, 30, 2}, Chunk{320, 9, 8, 100}, Chunk{1280, 3, 4, 0, true}}) {
    const ChunkInCache source(GetParam(), chunk);
    EXPECT_TRUE(kv::SameBits(OnDevice(GetParam(), chunk, source, {.seed = 1}),
                             OnDevice(GetParam(), chunk, source, {.seed = 2}, Way::kDecode)))
        << chunk.before << " " << chunk.tokens;
  }
}

// Purity: neither the order of threads nor where a chunk begins changes a bit.
TEST_P(Prefills, GivesATokenTheSameWhateverTheChunk) {
  const Chunk whole{128, 40, 2};
  const Chunk half{148, 20, 2};  // of the same sequence
  const ChunkInCache source(GetParam(), whole);
  const ChunkInCache half_source(GetParam(), half);
  const std::vector<float> got = OnDevice(GetParam(), whole, source, {.seed = 1});
  EXPECT_TRUE(kv::SameBits(got, OnDevice(GetParam(), whole, source, {.seed = 2})));
  const std::vector<float> second(got.begin() + static_cast<ptrdiff_t>(got.size() / 2), got.end());
  EXPECT_TRUE(kv::SameBits(second, OnDevice(GetParam(), half, half_source, {.seed = 3})));
}

TEST_P(Prefills, EveryWaitIsNeeded) {
  const Chunk chunk{192, 4, 2};
  const Chunk alone{0, 20, 2};  // without sealed pages
  const ChunkInCache source(GetParam(), chunk);
  const ChunkInCache source_alone(GetParam(), alone);
  std::vector<emulation::Place> met;
  const auto expected = OnDevice(GetParam(), chunk, source, {.seed = 1, .met = &met});
  const auto expected_alone = OnDevice(GetParam(), alone, source_alone, {.seed = 1});
  EXPECT_EQ(met.size(), GetParam().waits);
  for (const emulation::Place& place : met) {
    int wrong = 0;
    for (uint64_t seed = 1; seed <= 8; ++seed) {
      const emulation::Conduct conduct{.seed = seed, .unheeded = place};
      wrong += !kv::SameBits(OnDevice(GetParam(), chunk, source, conduct), expected) ||
               !kv::SameBits(OnDevice(GetParam(), alone, source_alone, conduct), expected_alone);
    }
    EXPECT_GE(wrong, 3) << place.file << ":" << place.line;
  }
}

// Those of the kernels that decode with SAS: the others' are tested with all codecs.
TEST_P(Prefills, EveryWaitOfDecodeWithSasIsNeeded) {
  if (GetParam().softmax != SoftmaxKind::kSas) return;
  const Chunk chunk{1090, 2, 2, 0, true};  // two splits
  const ChunkInCache source(GetParam(), chunk);
  std::vector<emulation::Place> met;
  const auto expected = OnDevice(GetParam(), chunk, source, {.seed = 1, .met = &met}, Way::kDecode);
  EXPECT_EQ(met.size(), 3u);
  for (const emulation::Place& place : met) {
    int wrong = 0;
    for (uint64_t seed = 1; seed <= 8; ++seed) {
      const emulation::Conduct conduct{.seed = seed, .unheeded = place};
      wrong += !kv::SameBits(OnDevice(GetParam(), chunk, source, conduct, Way::kDecode), expected);
    }
    EXPECT_GE(wrong, 3) << place.file << ":" << place.line;
  }
}

// Scores of 16 rows of queries and a page of keys, by the codec's kernels and on the device, have the same
// bits.
template <typename Tiles>
void ExpectSameScores(const std::string& name) {
  constexpr int kDim = Tiles::kHeadDim;
  constexpr size_t kRows = 16;
  const auto codec = kv::ParseCodec(name, kDim);
  const auto block = kv::Normal(64 * kDim, 1);
  const auto queries = kv::Normal(kRows * kDim, 2, 0.3f);
  AlignedBytes page(codec->Bytes(Part::kKeys)), prepared(kRows * codec->QueryBytes());
  codec->Encode(Part::kKeys, block.data(), page.data());
  for (size_t r = 0; r < kRows; ++r) {
    codec->PrepareQuery(queries.data() + r * kDim, prepared.data() + r * codec->QueryBytes());
  }
  std::vector<float> expected(kRows * 64), got(kRows * 64, NAN);
  codec->Score(page.data(), prepared.data(), kRows, expected.data());

  const std::function<void()> kernel = [&] {
    auto& tiles = *static_cast<PageTiles<kDim>*>(SharedMemory());
    Tiles::ExpandKeys(page.data(), tiles);
    Barrier();
    Words4 operands[kDim / 32];
    EncodedQuery encoded[2];
    for (int r = 0; r < 2; ++r) {
      const float* row = queries.data() + (Lane() / 4 + 8 * r) * kDim;
      encoded[r] =
          EncodeQueryRow<typename Tiles::Page>([&](int channel) { return row[channel]; }, r, operands);
    }
    PageSums sums[2];
    ScoreTiles<kDim>(operands, tiles, sums);
    for (int r = 0; r < 2; ++r) {
      PageRow scores;
      Tiles::Scale(page.data(), sums[r], encoded[r], scores);
      for (int e = 0; e < 16; ++e) {
        const int token = TokenOf(e / 8, e / 2 % 4, e % 2);
        got[static_cast<size_t>((Lane() / 4 + 8 * r) * 64 + token)] = scores[e / 8][e / 2 % 4][e % 2];
      }
    }
  };
  emulation::RunBlocks({{1, 1, 1},
                        kWarpThreads,
                        sizeof(PageTiles<kDim>),
                        [](const void* f) { (*static_cast<const std::function<void()>*>(f))(); },
                        &kernel},
                       {.seed = 3});
  EXPECT_TRUE(kv::SameBits(got, expected)) << name << " " << kDim;
}

TEST(PrefillScores, HaveTheBitsOfTheProcessor) {
  ExpectSameScores<FlashqTiles<4, 64>>("flashq4");
  ExpectSameScores<FlashqTiles<4, 128>>("flashq4");
  ExpectSameScores<FlashqTiles<2, 64>>("flashq2");
  ExpectSameScores<FlashqTiles<2, 128>>("flashq2");
  ExpectSameScores<Int8Tiles<64>>("int8");
  ExpectSameScores<Int8Tiles<128>>("int8");
  ExpectSameScores<RotTiles<4, 64, 1>>("rot4");
  ExpectSameScores<RotTiles<4, 128, 1>>("rot4");
  ExpectSameScores<RotTiles<3, 128, 1>>("rot3");
  ExpectSameScores<RotTiles<2, 64, 1>>("rot2");
  ExpectSameScores<RotTiles<4, 128, 0>>("int4");
}

TEST(SasOnDevice, IsSasHalfOfEveryNumber) {
  uint16_t powers[SasSoftmax::kPowers];
  for (int k = 0; k < SasSoftmax::kPowers; ++k) powers[k] = SasSoftmax::Power(k);
  const SasSoftmax sas{powers, 6.0f};
  for (int bits = 0; bits < 0x7c00; bits += 2) {
    const float x0 = HalfToFloat(static_cast<uint16_t>(bits));
    const float x1 = HalfToFloat(static_cast<uint16_t>(bits + 1));
    float p0;
    float p1;
    sas.Pair(x0, x1, p0, p1);
    ASSERT_EQ(p0, static_cast<float>(attention::SasHalf(x0))) << x0;
    ASSERT_EQ(p1, static_cast<float>(attention::SasHalf(x1))) << x1;
  }
  // What comes of scores that are no numbers reads nothing beyond the table.
  for (const float odd : {NAN, -1e30f, -INFINITY}) {
    float p0;
    float p1;
    sas.Pair(odd, odd, p0, p1);
    EXPECT_EQ(p0, 0.0f);
    EXPECT_EQ(p1, 0.0f);
  }
  // Beyond 6, as rows of many keys need it.
  const SasSoftmax wide{powers, attention::kLargestSasThreshold};
  for (float x = 0.0f; x < attention::kLargestSasThreshold; x += 0.37f) {
    float p0;
    float p1;
    wide.Pair(x, x, p0, p1);
    EXPECT_NEAR(p0, std::exp(-x), 2e-3 * std::exp(-std::floor(x)) + 0x1p-24) << x;  // subnormal beyond 9.7
    EXPECT_EQ(p0, p1);
  }
}

}  // namespace
}  // namespace throng::device
