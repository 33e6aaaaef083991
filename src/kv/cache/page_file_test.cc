#include "kv/cache/page_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>

#include "base/error.h"
#include "base/mapped_file.h"
#include "kv/cache/block_pool.h"
#include "kv/codec_table.h"
#include "kv/layer_codecs.h"
#include "kv/testing/random_rows.h"

namespace throng::kv {
namespace {

constexpr int kLayers = 2;
constexpr int kHeads = 2;
constexpr int kDim = 16;
constexpr size_t kLarge = size_t{1} << 30;
const PageSource kSource{{1, 2}, "softmax=exact simd=test"};

constexpr size_t kStateFloats = 700;

// "state " before a codec: with a recurrent layer.
BlockLayout TestLayout(std::string codec) {
  const bool has_state = codec.starts_with("state ");
  if (has_state) codec = codec.substr(6);
  const std::vector<size_t> floats(has_state ? 1 : 0, kStateFloats);
  return WithStates(MakeLayout(CodecFlags{.kv = codec}, AlikeLayers(kLayers, kHeads, kDim)), floats);
}

void Extend(SequenceCache& cache, int count) {
  ASSERT_TRUE(cache.Reserve(count));
  const int first = cache.NumTokens();
  cache.BeginChunk(count);
  for (int layer = 0; layer < kLayers; ++layer) {
    for (int head = 0; head < kHeads; ++head) {
      std::vector<float> rows;
      for (int i = 0; i < count; ++i) {
        const std::vector<float> row = Normal(kDim, ((first + i) * kLayers + layer) * kHeads + head);
        rows.insert(rows.end(), row.begin(), row.end());
      }
      cache.Append(layer, head, {rows.data(), kDim}, {rows.data(), kDim});
      cache.FinishLayer(layer, head);
    }
  }
  for (int position = first; cache.Layout().state_bytes > 0 && position < first + count; ++position) {
    float* state = cache.State(0);
    for (size_t i = 0; i < kStateFloats; ++i) {
      state[i] = 0.5f * state[i] + static_cast<float>((position + 1) * (static_cast<int>(i) + 1) % 97);
    }
  }
  cache.EndChunk();
}

std::vector<int32_t> Tokens(int count) {
  std::vector<int32_t> tokens;
  for (int i = 0; i < count; ++i) tokens.push_back(3 * i + 1);
  return tokens;
}

void ExpectSame(const SequenceCache& a, const SequenceCache& b) {
  ASSERT_EQ(a.NumTokens(), b.NumTokens());
  ASSERT_EQ(a.SealedBlocks().size(), b.SealedBlocks().size());
  for (size_t i = 0; i < a.SealedBlocks().size(); ++i) {
    const SealedBlock &in_a = a.SealedBlocks()[i], &in_b = b.SealedBlocks()[i];
    for (const auto& [x, y] : {std::pair(in_a.base, in_b.base), {in_a.fine, in_b.fine}}) {
      ASSERT_EQ(x == nullptr, y == nullptr);
      if (x != nullptr) {
        ASSERT_EQ(std::memcmp(x->Data(), y->Data(), x->Bytes()), 0);
      }
    }
  }
  ASSERT_EQ(a.LastState() == nullptr, b.LastState() == nullptr);
  if (a.LastState() != nullptr) {
    ASSERT_EQ(std::memcmp(a.LastState()->Data(), b.LastState()->Data(), a.Layout().state_bytes), 0);
  }
  ASSERT_EQ(a.OpenRows() == nullptr, b.OpenRows() == nullptr);
  if (a.OpenRows() == nullptr) return;
  ASSERT_EQ(std::memcmp(a.OpenRows()->Data(), b.OpenRows()->Data(), a.Layout().open_bytes), 0);
}

// The message; empty if nothing was thrown.
std::string Refusal(const std::function<void()>& f, ErrorCode code) {
  try {
    f();
  } catch (const Error& error) {
    EXPECT_EQ(error.Code(), code) << error.what();
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.what();
  }
  return "";
}

class PageFileTest : public testing::Test {
 protected:
  PageFileTest()
      : folder_(std::filesystem::path(testing::TempDir()) / ("page_file_" + std::to_string(getpid()))) {
    std::filesystem::create_directories(folder_);
    path_ = (folder_ / "pages").string();
  }
  ~PageFileTest() override { std::filesystem::remove_all(folder_); }

  void Save(const std::string& codec, int count) {
    BlockPool pool(TestLayout(codec), kLarge);
    SequenceCache cache(pool);
    Extend(cache, count);
    SavePages(path_, kSource, Tokens(count + 1), cache);
  }
  std::string Load(const std::string& codec, ErrorCode code, const PageSource& source = kSource) {
    BlockPool pool(TestLayout(codec), kLarge);
    const std::string refusal = Refusal([&] { LoadPages(path_, source, pool); }, code);
    EXPECT_EQ(pool.HeldBytes(), 0u);
    return refusal;
  }
  void Write(const std::string& bytes) const { std::ofstream(path_, std::ios::binary) << bytes; }

  std::filesystem::path folder_;
  std::string path_;
};

TEST_F(PageFileTest, EveryCodecComesBackBitForBitAndGoesOn) {
  std::vector<std::string> codecs = {"flashq4:buffer=int8", "gear2:sink=64,recent=64",
                                     "rot2:sink=128",       "flashq4:buffer=int8,recent=64",
                                     "state f16",           "state rot3:sink=64,recent=64"};
  for (const CodecEntry& entry : CodecTable()) codecs.emplace_back(entry.name);
  for (const std::string& codec : codecs) {
    SCOPED_TRACE(codec);
    BlockPool pool(TestLayout(codec), kLarge);
    for (const int count : {64, 130, 280}) {
      SequenceCache cache(pool);
      Extend(cache, count);
      SavePages(path_, kSource, Tokens(count + 1), cache);
      SavedPages saved = LoadPages(path_, kSource, pool);
      EXPECT_EQ(saved.tokens, Tokens(count + 1));
      ASSERT_NO_FATAL_FAILURE(ExpectSame(saved.cache, cache));
      Extend(saved.cache, 70);
      Extend(cache, 70);
      ASSERT_NO_FATAL_FAILURE(ExpectSame(saved.cache, cache));
    }
    EXPECT_EQ(pool.HeldBytes(), 0u);
  }
}

TEST_F(PageFileTest, LayersAndHeadsMayDiffer) {
  const CodecPair wide{ParseCodec("gear4", kDim), ParseCodec("f32", kDim)};
  const CodecPair narrow{ParseCodec("flashq2", kDim), ParseCodec("rot3", kDim)};
  const auto layout = [&](int special) {
    return MakeLayout([&](int layer, int head) { return layer + head == special ? wide : narrow; },
                      AlikeLayers(kLayers, kHeads, kDim));
  };
  BlockPool pool(layout(2), kLarge);
  SequenceCache cache(pool);
  Extend(cache, 150);
  SavePages(path_, kSource, Tokens(150), cache);
  ASSERT_NO_FATAL_FAILURE(ExpectSame(LoadPages(path_, kSource, pool).cache, cache));
  BlockPool other(layout(0), kLarge);
  EXPECT_NE(Refusal([&] { LoadPages(path_, kSource, other); }, ErrorCode::kInvalid), "");
}

TEST_F(PageFileTest, RefusesPagesOfSomethingElse) {
  Save("gear2", 70);
  EXPECT_EQ(Load("gear2", ErrorCode::kInvalid), "");
  EXPECT_NE(Load("gear2:r=3", ErrorCode::kInvalid).find("another codec: gear2, here it is gear2:r=3"),
            std::string::npos);
  EXPECT_NE(
      Load("gear2", ErrorCode::kInvalid, {{1, 3}, kSource.computation}).find("pages are of another model"),
      std::string::npos);
  EXPECT_NE(Load("gear2", ErrorCode::kInvalid, {{1, 2}, "softmax=sas simd=test"}).find("softmax=exact"),
            std::string::npos);
  BlockPool pool(MakeLayout(CodecFlags{.kv = "gear2"}, AlikeLayers(kLayers, kHeads, 2 * kDim)), kLarge);
  EXPECT_NE(
      Refusal([&] { LoadPages(path_, kSource, pool); }, ErrorCode::kInvalid).find("2 KV heads of size 16"),
      std::string::npos);
}

TEST_F(PageFileTest, RefusesOtherVersionsAndOtherFiles) {
  Save("int8", 70);
  std::string bytes = ReadFile(path_);
  bytes[8] = 9;
  Write(bytes);
  EXPECT_NE(Load("int8", ErrorCode::kCorrupt).find("version 9, this program reads 1"), std::string::npos);
  for (const char* text : {"", "throng", "GGUF and other things"}) {
    Write(text);
    EXPECT_NE(Load("int8", ErrorCode::kCorrupt).find("not a file of KV pages"), std::string::npos);
  }
  path_ = (folder_ / "none").string();
  EXPECT_NE(Load("int8", ErrorCode::kIo), "");
}

TEST_F(PageFileTest, RefusesEveryTruncationAndEveryFlippedBit) {
  for (const char* codec : {"int8", "state int8"}) {
    Save(codec, 70);
    const std::string whole = ReadFile(path_);
    ASSERT_EQ(Load(codec, ErrorCode::kCorrupt), "");
    for (size_t size = 0; size < whole.size(); size += 1 + size / 40) {
      Write(whole.substr(0, size));
      EXPECT_NE(Load(codec, ErrorCode::kCorrupt), "") << size;
    }
    for (size_t at = 0; at < whole.size(); at += 1 + at / 100) {
      std::string damaged = whole;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << at % 8));
      Write(damaged);
      EXPECT_NE(Load(codec, ErrorCode::kCorrupt), "") << at;
    }
    Write(whole + "x");
    EXPECT_NE(Load(codec, ErrorCode::kCorrupt).find("1 bytes follow"), std::string::npos);
  }
}

TEST_F(PageFileTest, RefusesPagesOfOtherStates) {
  Save("state f16", 70);
  EXPECT_EQ(Load("state f16", ErrorCode::kInvalid), "");
  EXPECT_NE(Load("f16", ErrorCode::kInvalid).find("another encoding"), std::string::npos);
  Save("f16", 70);
  EXPECT_NE(Load("state f16", ErrorCode::kInvalid).find("another encoding"), std::string::npos);
}

TEST_F(PageFileTest, RefusesPagesOfAnotherWindowAndDamagedFineOnes) {
  const std::string codec = "gear2:sink=64,recent=64";
  Save(codec, 200);
  ASSERT_EQ(Load(codec, ErrorCode::kInvalid), "");
  EXPECT_NE(Load("gear2:sink=64", ErrorCode::kInvalid)
                .find("another codec: gear2, sink=64, recent=64, here it is gear2, sink=64"),
            std::string::npos);
  EXPECT_NE(Load("gear2", ErrorCode::kInvalid), "");
  const std::string whole = ReadFile(path_);
  for (size_t at = 0; at < whole.size(); at += 1 + at / 100) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << at % 8));
    Write(damaged);
    EXPECT_NE(Load(codec, ErrorCode::kCorrupt), "") << at;
  }
}

TEST_F(PageFileTest, RefusesWhatTheBudgetCannotHold) {
  Save("f16", 200);
  const BlockPool probe(TestLayout("f16"), kLarge);
  for (const size_t budget : {size_t{0}, 2 * probe.SealedBytes(), 3 * probe.SealedBytes()}) {
    BlockPool pool(TestLayout("f16"), budget);
    EXPECT_NE(Refusal([&] { LoadPages(path_, kSource, pool); }, ErrorCode::kExhausted).find("no room"),
              std::string::npos);
    EXPECT_EQ(pool.HeldBytes(), 0u);
  }
}

TEST_F(PageFileTest, AFullDiskIsOneErrorAndLeavesTheOldFile) {
  Save("f16", 10);
  const std::string before = ReadFile(path_);
  signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  getrlimit(RLIMIT_FSIZE, &limit);
  const rlimit small{.rlim_cur = 20000, .rlim_max = limit.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  EXPECT_NE(Refusal([&] { Save("f16", 300); }, ErrorCode::kExhausted), "");
  setrlimit(RLIMIT_FSIZE, &limit);
  EXPECT_EQ(ReadFile(path_), before);
}

TEST(FormatDigestTest, TellsCodecsAndParametersApart) {
  EXPECT_EQ(FormatDigest(TestLayout("gear2")), FormatDigest(TestLayout("gear2")));
  std::vector<Digest> digests;
  for (const char* codec : {"f32", "f16", "int8", "gear2", "gear2:r=3", "gear2:s=5%", "kivi2", "rot2"}) {
    digests.push_back(FormatDigest(TestLayout(codec)));
    for (size_t i = 0; i + 1 < digests.size(); ++i) EXPECT_NE(digests[i], digests.back()) << codec;
  }
}

// Files of layers of one shape are what they were before layers could differ.
TEST(FormatDigestTest, FilesOfAlikeLayersKeepTheirBytes) {
  const std::string path = testing::TempDir() + "/page_file_bytes_" + std::to_string(getpid());
  for (const auto& [codec, digest] : {std::pair("f16", "63fe5d7a41b551558800ebf701e2e570"),
                                      {"int8", "b71da6accfb2481364d18cf55c10979c"},
                                      {"gear2", "7aecaecc648c3cfb4d0fb46b108f721a"},
                                      {"rot2:recent=64", "5a2732899e692ce2dc719421ac1bd0f6"}}) {
    BlockPool pool(TestLayout(codec), kLarge);
    SavePages(path, kSource, {}, SequenceCache(pool));
    EXPECT_EQ(DigestOf(ReadFile(path)).Hex(), digest) << codec;
  }
  std::filesystem::remove(path);
}

TEST(GearAcceptsTest, RefusesOutliersBeyondTheChannelsOfAWideHead) {
  constexpr int kWide = 520;
  const auto codec = ParseCodec("gear2", kWide);
  AlignedBytes encoded(codec->Bytes(Part::kKeys));
  codec->Encode(Part::kKeys, Normal(kPageTokens * kWide, 1).data(), encoded.data());
  EXPECT_TRUE(codec->Accepts(Part::kKeys, encoded.data()));
  encoded.data()[codec->Bytes(Part::kKeys) - 1] |= 0xc0;  // the last position's channel is 768 or more
  EXPECT_FALSE(codec->Accepts(Part::kKeys, encoded.data()));
}

TEST(FlashqAcceptsTest, RefusesScalesThatAreNotFinite) {
  for (const char* name : {"flashq4", "flashq2", "flashq4:buffer=int8"}) {
    const auto codec = ParseCodec(name, kDim);
    for (const Part part : {Part::kKeys, Part::kValues}) {
      AlignedBytes encoded(codec->Bytes(part));
      codec->Encode(part, Normal(kPageTokens * kDim, 1).data(), encoded.data());
      EXPECT_TRUE(codec->Accepts(part, encoded.data()));
      // The page's scale, and with buffer=int8 that of the next page, are last.
      for (size_t at = codec->Count(part).codes + 2 * kDim; at < codec->Bytes(part); at += sizeof(float)) {
        float good;
        std::memcpy(&good, encoded.data() + at, sizeof(good));
        for (const float bad : {NAN, INFINITY, -INFINITY}) {
          std::memcpy(encoded.data() + at, &bad, sizeof(bad));
          EXPECT_FALSE(codec->Accepts(part, encoded.data())) << name << " " << bad;
        }
        std::memcpy(encoded.data() + at, &good, sizeof(good));
      }
      EXPECT_TRUE(codec->Accepts(part, encoded.data()));
    }
  }
}

TEST(GearAcceptsTest, RefusesOutliersOutsideOfThePage) {
  const auto codec = ParseCodec("gear2", kDim);
  for (const Part part : {Part::kKeys, Part::kValues}) {
    AlignedBytes encoded(codec->Bytes(part));
    codec->Encode(part, Normal(kPageTokens * kDim, 1).data(), encoded.data());
    EXPECT_TRUE(codec->Accepts(part, encoded.data()));
    encoded.data()[codec->Bytes(part) - 1] = 64;  // the row of the last position
    EXPECT_FALSE(codec->Accepts(part, encoded.data()));
  }
}

}  // namespace
}  // namespace throng::kv
